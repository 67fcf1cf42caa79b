// Layer norm, forward and backward. Gradients of parameters are added up per slab of rows, and the
// slabs by sumRows, so that the order is fixed.

// Packs of a row that a lane keeps in registers between passes.
#define KEPT 12

// A block a row and a pack a thread, for rows so few that one warp would take long over each.
// Grid: T, block: ⌈D / LANES / 32⌉ · 32.
extern "C" __global__ void layerNormOfBlock(
    Element *y, const Element *x, const float *weight, const float *bias, int width,
    float epsilon) {
  const int column = threadIdx.x * LANES;
  const bool isInside = column < width;
  float scales[LANES], shifts[LANES];
#pragma unroll
  for (int i = 0; i < LANES; i++) {
    scales[i] = isInside ? weight[column + i] : 0.0f;
    shifts[i] = isInside ? bias[column + i] : 0.0f;
  }
  beginKernel();
  const i64 at = (i64)blockIdx.x * width + column;
  const Pack in = isInside ? *(const Pack *)(x + at) : Pack{};
  float sum = 0;
#pragma unroll
  for (int i = 0; i < LANES; i++) sum += toFloat(in.v[i]);
  const float mean = blockSum(sum) / width;
  sum = 0;
#pragma unroll
  for (int i = 0; i < LANES; i++) {
    const float centred = toFloat(in.v[i]) - mean;
    if (isInside) sum += centred * centred;
  }
  const float inverse = rsqrtf(blockSum(sum) / width + epsilon);
  Pack out;
#pragma unroll
  for (int i = 0; i < LANES; i++)
    assign(out.v[i], (toFloat(in.v[i]) - mean) * inverse * scales[i] + shifts[i]);
  if (isInside) *(Pack *)(y + at) = out;
}

// A warp a row: y, x [T, D]; weight, bias float32 [D]; D a multiple of LANES and at most
// 32 · KEPT · LANES. Grid: ⌈T/8⌉, block 256.
extern "C" __global__ void __launch_bounds__(256) layerNormOfWarp(
    Element *y, const Element *x, const float *weight, const float *bias, int rows, int width,
    float epsilon) {
  beginKernel();
  const i64 row = (i64)blockIdx.x * 8 + threadIdx.x / 32;
  if (row >= rows) return;
  const Pack *source = (const Pack *)(x + row * width);
  const int packs = width / LANES;
  Pack kept[KEPT];
#pragma unroll
  for (int k = 0; k < KEPT; k++)
    if (k * 32 + LANE < packs) kept[k] = source[k * 32 + LANE];
  float sum = 0;
#pragma unroll
  for (int k = 0; k < KEPT; k++)
    if (k * 32 + LANE < packs)
#pragma unroll
      for (int i = 0; i < LANES; i++) sum += toFloat(kept[k].v[i]);
  const float mean = warpSum(sum) / width;
  sum = 0;
#pragma unroll
  for (int k = 0; k < KEPT; k++)
    if (k * 32 + LANE < packs)
#pragma unroll
      for (int i = 0; i < LANES; i++) {
        const float centred = toFloat(kept[k].v[i]) - mean;
        sum += centred * centred;
      }
  const float inverse = rsqrtf(warpSum(sum) / width + epsilon);
#pragma unroll
  for (int k = 0; k < KEPT; k++) {
    const int pack = k * 32 + LANE;
    if (pack >= packs) continue;
#pragma unroll
    for (int i = 0; i < LANES; i += 4) {
      const float4 w = ((const float4 *)weight)[(pack * LANES + i) / 4];
      const float4 b = ((const float4 *)bias)[(pack * LANES + i) / 4];
      assign(kept[k].v[i], (toFloat(kept[k].v[i]) - mean) * inverse * w.x + b.x);
      assign(kept[k].v[i + 1], (toFloat(kept[k].v[i + 1]) - mean) * inverse * w.y + b.y);
      assign(kept[k].v[i + 2], (toFloat(kept[k].v[i + 2]) - mean) * inverse * w.z + b.z);
      assign(kept[k].v[i + 3], (toFloat(kept[k].v[i + 3]) - mean) * inverse * w.w + b.w);
    }
    ((Pack *)(y + row * width))[pack] = kept[k];
  }
}

// Rows of any width. Grid: T.
extern "C" __global__ void layerNorm(
    Element *y, const Element *x, const float *weight, const float *bias, int width,
    float epsilon) {
  beginKernel();
  x += (i64)blockIdx.x * width;
  y += (i64)blockIdx.x * width;
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

// What a lane keeps of a row for more than one pass over it: packs LANE, LANE + 32, ….
struct Row {
  Pack of[KEPT];
  int packs;

  __device__ __forceinline__ Row(const Element *source, int width) : packs(width / LANES) {
#pragma unroll
    for (int k = 0; k < KEPT; k++)
      if (k * 32 + LANE < packs) of[k] = ((const Pack *)source)[k * 32 + LANE];
  }

  __device__ __forceinline__ void keepPacked() {
#pragma unroll
    for (int k = 0; k < KEPT; k++) ::keepPacked(*(uint4 *)(of + k));
  }

  // Calls body(k, i) for each column of this lane, which is of[k].v[i].
  template <class F>
  __device__ __forceinline__ void each(F body) const {
#pragma unroll
    for (int k = 0; k < KEPT; k++)
      if (k * 32 + LANE < packs)
#pragma unroll
        for (int i = 0; i < LANES; i++) body(k, i);
  }

  // Calls body(k, pack, scales) for each pack of this lane, which is of[k], with its columns of weight.
  template <class F>
  __device__ __forceinline__ void eachScaled(const float *weight, F body) const {
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
      const int pack = k * 32 + LANE;
      if (pack >= packs) continue;
      float4 scales[LANES / 4];
#pragma unroll
      for (int i = 0; i < LANES / 4; i++)
        scales[i] = ((const float4 *)weight)[pack * (LANES / 4) + i];
      body(k, pack, (const float *)scales);
    }
  }
};

// A warp a row, for the widths of layerNormOfWarp; see layerNormGradient. Grid: ⌈T/8⌉, block 256.
extern "C" __global__ void __launch_bounds__(256, 2) layerNormGradientOfWarp(
    Element *dx, float *statistics, const Element *dy, const Element *x, const float *weight,
    int rows, int width, float epsilon) {
  beginKernel();
  const i64 row = (i64)blockIdx.x * 8 + threadIdx.x / 32;
  if (row >= rows) return;
  Row in(x + row * width, width);
  Row above(dy + row * width, width);
  float sum = 0;
  in.each([&](int k, int i) { sum += toFloat(in.of[k].v[i]); });
  const float mean = warpSum(sum) / width;
  in.keepPacked();
  sum = 0;
  in.each([&](int k, int i) {
    const float centred = toFloat(in.of[k].v[i]) - mean;
    sum += centred * centred;
  });
  const float inverse = rsqrtf(warpSum(sum) / width + epsilon);
  in.keepPacked();
  float sumG = 0, sumGX = 0;
  in.eachScaled(weight, [&](int k, int, const float *scales) {
#pragma unroll
    for (int i = 0; i < LANES; i++) {
      const float g = toFloat(above.of[k].v[i]) * scales[i];
      sumG += g;
      sumGX += g * (toFloat(in.of[k].v[i]) - mean) * inverse;
    }
  });
  sumG = warpSum(sumG) / width;
  sumGX = warpSum(sumGX) / width;
  in.keepPacked();
  above.keepPacked();
  in.eachScaled(weight, [&](int k, int pack, const float *scales) {
#pragma unroll
    for (int i = 0; i < LANES; i++) {
      const float g = toFloat(above.of[k].v[i]) * scales[i];
      const float normal = (toFloat(in.of[k].v[i]) - mean) * inverse;
      assign(in.of[k].v[i], inverse * (g - sumG - normal * sumGX));
    }
    ((Pack *)(dx + row * width))[pack] = in.of[k];
  });
  if (LANE == 0) {
    statistics[2 * row] = mean;
    statistics[2 * row + 1] = inverse;
  }
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
