// The RMS norm of gated rows in groups, forward and backward. The weight's gradient is added up per
// slab of rows, and the slabs by sumRows, so that the order is fixed.

// The row and group of a warp: groups of one row lie side by side. Grid: ⌈T · D / group / 8⌉, block
// 256.
__device__ __forceinline__ i64 groupOfWarp() { return (i64)blockIdx.x * 8 + threadIdx.x / 32; }

// y x gate [T, D], weight float32 [D].
extern "C" __global__ void gatedRMSNorm(
    Element *y, const Element *x, const Element *gate, const float *weight, i64 count, int width,
    int group, float epsilon) {
  beginKernel();
  if (groupOfWarp() >= count) return;
  const i64 base = groupOfWarp() * group;
  weight += base % width;
  float sum = 0;
  for (int d = LANE; d < group; d += 32) {
    float z = toFloat(gate[base + d]), g = toFloat(x[base + d]) * z * sigmoid(z);
    sum += g * g;
  }
  const float inverse = rsqrtf(warpSum(sum) / group + epsilon);
  for (int d = LANE; d < group; d += 32) {
    float z = toFloat(gate[base + d]), g = toFloat(x[base + d]) * z * sigmoid(z);
    assign(y[base + d], g * inverse * weight[d]);
  }
}

// Where a lane's pack lies when as many groups as fit lie side by side in a warp, a pack a lane.
struct PackPlace {
  int packs;  // of a group
  i64 group;
  bool counts;

  __device__ __forceinline__ PackPlace(i64 count, int width) : packs(width / LANES) {
    const int together = 32 / packs, own = LANE / packs;
    group = groupOfWarp() * together + own;
    counts = own < together && group < count;
  }
  __device__ __forceinline__ i64 column() const {
    return (group * packs + LANE % packs) * LANES;
  }
  // The sum over the lanes of a group, which each of them gets.
  __device__ __forceinline__ float sum(float x) const {
    for (int d = 1; d < packs; d *= 2) {
      const float other = __shfl_down_sync(0xffffffffu, x, d);
      if (LANE % packs + d < packs) x += other;
    }
    return __shfl_sync(0xffffffffu, x, LANE / packs * packs);
  }
};

// Groups of whole packs, 32 at most. Grid: ⌈T · D / group / (32 / packs) / 8⌉, block 256.
extern "C" __global__ void gatedRMSNormPacks(
    Element *y, const Element *x, const Element *gate, const float *weight, i64 count, int width,
    int group, float epsilon) {
  beginKernel();
  const PackPlace place(count, group);
  Pack in = {}, gates = {};
  if (place.counts) {
    in = *(const Pack *)(x + place.column());
    gates = *(const Pack *)(gate + place.column());
  }
  float gated[LANES], squares = 0;
#pragma unroll
  for (int i = 0; i < LANES; i++) {
    const float z = toFloat(gates.v[i]);
    gated[i] = toFloat(in.v[i]) * z * sigmoid(z);
    squares += gated[i] * gated[i];
  }
  const float inverse = rsqrtf(place.sum(squares) / group + epsilon);
  if (!place.counts) return;
  weight += place.column() % width;
#pragma unroll
  for (int i = 0; i < LANES; i++) assign(in.v[i], gated[i] * inverse * weight[i]);
  *(Pack *)(y + place.column()) = in;
}

// dx dGate [T, D]; inverses float32 [T, D / group] ← 1/√(mean(g²) + ε).
extern "C" __global__ void gatedRMSNormGradient(
    Element *dx, Element *dGate, float *inverses, const Element *dy, const Element *x,
    const Element *gate, const float *weight, i64 count, int width, int group, float epsilon) {
  beginKernel();
  if (groupOfWarp() >= count) return;
  const i64 base = groupOfWarp() * group;
  weight += base % width;
  float squares = 0, products = 0;
  for (int d = LANE; d < group; d += 32) {
    float z = toFloat(gate[base + d]), g = toFloat(x[base + d]) * z * sigmoid(z);
    squares += g * g;
    products += toFloat(dy[base + d]) * weight[d] * g;
  }
  squares = warpSum(squares);
  products = warpSum(products);
  const float inverse = rsqrtf(squares / group + epsilon);
  const float pull = products * inverse * inverse * inverse / group;
  for (int d = LANE; d < group; d += 32) {
    float z = toFloat(gate[base + d]), s = sigmoid(z), v = toFloat(x[base + d]);
    float g = v * z * s;
    float dg = toFloat(dy[base + d]) * weight[d] * inverse - g * pull;
    assign(dx[base + d], dg * z * s);
    assign(dGate[base + d], dg * v * s * (1.0f + z * (1.0f - s)));
  }
  if (LANE == 0) inverses[groupOfWarp()] = inverse;
}

// The same for groups of whole packs; grid as for gatedRMSNormPacks.
extern "C" __global__ void gatedRMSNormGradientPacks(
    Element *dx, Element *dGate, float *inverses, const Element *dy, const Element *x,
    const Element *gate, const float *weight, i64 count, int width, int group, float epsilon) {
  beginKernel();
  const PackPlace place(count, group);
  Pack in = {}, gates = {}, above = {};
  if (place.counts) {
    in = *(const Pack *)(x + place.column());
    gates = *(const Pack *)(gate + place.column());
    above = *(const Pack *)(dy + place.column());
  }
  weight += place.counts ? place.column() % width : 0;
  float dNormal[LANES], squares = 0, products = 0;
#pragma unroll
  for (int i = 0; i < LANES; i++) {
    const float z = toFloat(gates.v[i]), g = toFloat(in.v[i]) * z * sigmoid(z);
    dNormal[i] = toFloat(above.v[i]) * weight[i];
    squares += g * g;
    products += dNormal[i] * g;
  }
  squares = place.sum(squares);
  products = place.sum(products);
  const float inverse = rsqrtf(squares / group + epsilon);
  const float pull = products * inverse * inverse * inverse / group;
  if (!place.counts) return;
#pragma unroll
  for (int i = 0; i < LANES; i++) {
    const float z = toFloat(gates.v[i]), s = sigmoid(z), v = toFloat(in.v[i]);
    const float dg = dNormal[i] * inverse - v * z * s * pull;
    assign(in.v[i], dg * z * s);
    assign(gates.v[i], dg * v * s * (1.0f + z * (1.0f - s)));
  }
  *(Pack *)(dx + place.column()) = in;
  *(Pack *)(dGate + place.column()) = gates;
  if (LANE % place.packs == 0) inverses[place.group] = inverse;
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
