// Layer norm and gated RMS norm, forward and backward. One block a row or group; gradients of
// parameters are added up per slab of rows, and the slabs by sumRows, so that the order is fixed.

// Packs of a row that a thread keeps in registers between passes; wider rows are read again.
#define KEPT 4

// y, x [T, D]; weight, bias float32 [D]. Grid: T.
extern "C" __global__ void __launch_bounds__(256) layerNorm(
    Element *y, const Element *x, const float *weight, const float *bias, int width,
    float epsilon) {
  beginKernel();
  x += (i64)blockIdx.x * width;
  y += (i64)blockIdx.x * width;
  const int packs = width / LANES;
  if (width % LANES == 0 && packs <= KEPT * (int)blockDim.x) {
    Pack kept[KEPT];
    float sum = 0;
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
      const int pack = k * blockDim.x + threadIdx.x;
      if (pack >= packs) continue;
      kept[k] = ((const Pack *)x)[pack];
#pragma unroll
      for (int i = 0; i < LANES; i++) sum += toFloat(kept[k].v[i]);
    }
    const float mean = blockSum(sum) / width;
    sum = 0;
#pragma unroll
    for (int k = 0; k < KEPT; k++)
      if (k * blockDim.x + threadIdx.x < packs)
#pragma unroll
        for (int i = 0; i < LANES; i++) {
          const float centred = toFloat(kept[k].v[i]) - mean;
          sum += centred * centred;
        }
    const float inverse = rsqrtf(blockSum(sum) / width + epsilon);
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
      const int pack = k * blockDim.x + threadIdx.x;
      if (pack >= packs) continue;
#pragma unroll
      for (int i = 0; i < LANES; i++) {
        const int d = pack * LANES + i;
        assign(kept[k].v[i], (toFloat(kept[k].v[i]) - mean) * inverse * weight[d] + bias[d]);
      }
      ((Pack *)y)[pack] = kept[k];
    }
    return;
  }
  float sum = 0;
  for (int d = threadIdx.x; d < width; d += blockDim.x) sum += toFloat(x[d]);
  const float mean = blockSum(sum) / width;
  sum = 0;
  for (int d = threadIdx.x; d < width; d += blockDim.x) {
    float centred = toFloat(x[d]) - mean;
    sum += centred * centred;
  }
  const float inverse = rsqrtf(blockSum(sum) / width + epsilon);
  for (int d = threadIdx.x; d < width; d += blockDim.x)
    assign(y[d], (toFloat(x[d]) - mean) * inverse * weight[d] + bias[d]);
}

// dx [T, D]; statistics float32 [T, 2] ← mean and 1/√(variance + ε) of each row. Grid: T.
extern "C" __global__ void layerNormGradient(
    Element *dx, float *statistics, const Element *dy, const Element *x, const float *weight,
    int width, float epsilon) {
  beginKernel();
  x += (i64)blockIdx.x * width;
  dy += (i64)blockIdx.x * width;
  dx += (i64)blockIdx.x * width;
  float sum = 0;
  for (int d = threadIdx.x; d < width; d += blockDim.x) sum += toFloat(x[d]);
  const float mean = blockSum(sum) / width;
  sum = 0;
  for (int d = threadIdx.x; d < width; d += blockDim.x) {
    float centred = toFloat(x[d]) - mean;
    sum += centred * centred;
  }
  const float inverse = rsqrtf(blockSum(sum) / width + epsilon);
  float sumG = 0, sumGX = 0;
  for (int d = threadIdx.x; d < width; d += blockDim.x) {
    float g = toFloat(dy[d]) * weight[d];
    sumG += g;
    sumGX += g * (toFloat(x[d]) - mean) * inverse;
  }
  sumG = blockSum(sumG) / width;
  sumGX = blockSum(sumGX) / width;
  for (int d = threadIdx.x; d < width; d += blockDim.x) {
    float normal = (toFloat(x[d]) - mean) * inverse;
    assign(dx[d], inverse * (toFloat(dy[d]) * weight[d] - sumG - normal * sumGX));
  }
  if (threadIdx.x == 0) {
    statistics[2 * blockIdx.x] = mean;
    statistics[2 * blockIdx.x + 1] = inverse;
  }
}

// Partial sums over a slab of rows: dWeight dBias float32 [slabs, D]. Grid: (⌈D/256⌉, slabs).
extern "C" __global__ void layerNormParameterGradient(
    float *dWeight, float *dBias, const Element *dy, const Element *x, const float *statistics,
    int rows, int width, int slab) {
  beginKernel();
  const int d = blockIdx.x * blockDim.x + threadIdx.x;
  if (d >= width) return;
  float weightSum = 0, biasSum = 0;
  const int end = min(rows, (int)(blockIdx.y + 1) * slab);
  for (int t = blockIdx.y * slab; t < end; t++) {
    float g = toFloat(dy[(i64)t * width + d]);
    float normal = (toFloat(x[(i64)t * width + d]) - statistics[2 * t]) * statistics[2 * t + 1];
    weightSum += g * normal;
    biasSum += g;
  }
  dWeight[(i64)blockIdx.y * width + d] = weightSum;
  dBias[(i64)blockIdx.y * width + d] = biasSum;
}

// y x gate [T, D], weight float32 [D]. Grid: (T, D / group); the block is one group.
extern "C" __global__ void gatedRMSNorm(
    Element *y, const Element *x, const Element *gate, const float *weight, int width, int group,
    float epsilon) {
  beginKernel();
  const i64 base = (i64)blockIdx.x * width + (i64)blockIdx.y * group;
  weight += (i64)blockIdx.y * group;
  float sum = 0;
  for (int d = threadIdx.x; d < group; d += blockDim.x) {
    float z = toFloat(gate[base + d]), g = toFloat(x[base + d]) * z * sigmoid(z);
    sum += g * g;
  }
  const float inverse = rsqrtf(blockSum(sum) / group + epsilon);
  for (int d = threadIdx.x; d < group; d += blockDim.x) {
    float z = toFloat(gate[base + d]), g = toFloat(x[base + d]) * z * sigmoid(z);
    assign(y[base + d], g * inverse * weight[d]);
  }
}

// dx dGate [T, D]; inverses float32 [T, D / group] ← 1/√(mean(g²) + ε). Grid: (T, D / group).
extern "C" __global__ void gatedRMSNormGradient(
    Element *dx, Element *dGate, float *inverses, const Element *dy, const Element *x,
    const Element *gate, const float *weight, int width, int group, float epsilon) {
  beginKernel();
  const i64 base = (i64)blockIdx.x * width + (i64)blockIdx.y * group;
  weight += (i64)blockIdx.y * group;
  float squares = 0, products = 0;
  for (int d = threadIdx.x; d < group; d += blockDim.x) {
    float z = toFloat(gate[base + d]), g = toFloat(x[base + d]) * z * sigmoid(z);
    squares += g * g;
    products += toFloat(dy[base + d]) * weight[d] * g;
  }
  squares = blockSum(squares);
  products = blockSum(products);
  const float inverse = rsqrtf(squares / group + epsilon);
  const float pull = products * inverse * inverse * inverse / group;
  for (int d = threadIdx.x; d < group; d += blockDim.x) {
    float z = toFloat(gate[base + d]), s = sigmoid(z), v = toFloat(x[base + d]);
    float g = v * z * s;
    float dg = toFloat(dy[base + d]) * weight[d] * inverse - g * pull;
    assign(dx[base + d], dg * z * s);
    assign(dGate[base + d], dg * v * s * (1.0f + z * (1.0f - s)));
  }
  if (threadIdx.x == 0) inverses[(i64)blockIdx.x * gridDim.y + blockIdx.y] = inverse;
}

// Partial sums over a slab of rows: dWeight float32 [slabs, D]. Grid: (⌈D/256⌉, slabs).
extern "C" __global__ void gatedRMSNormParameterGradient(
    float *dWeight, const Element *dy, const Element *x, const Element *gate,
    const float *inverses, int rows, int width, int group, int slab) {
  beginKernel();
  const int d = blockIdx.x * blockDim.x + threadIdx.x;
  if (d >= width) return;
  const int groups = width / group;
  float sum = 0;
  const int end = min(rows, (int)(blockIdx.y + 1) * slab);
  for (int t = blockIdx.y * slab; t < end; t++) {
    i64 i = (i64)t * width + d;
    float z = toFloat(gate[i]);
    sum += toFloat(dy[i]) * toFloat(x[i]) * z * sigmoid(z) * inverses[(i64)t * groups + d / group];
  }
  dWeight[(i64)blockIdx.y * width + d] = sum;
}
