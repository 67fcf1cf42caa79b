// The RMS norm of gated rows in groups, forward and backward. The weight's gradient is added up per
// slab of rows, and the slabs by sumRows, so that the order is fixed.

#define GRADIENT_ROWS 16  // a slab of gatedRMSNormGradientPacks

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

// As many groups as fit lie side by side in a warp, a pack a lane.
struct WarpGroups {
  int packs;  // of a group
  int together, own;

  __device__ __forceinline__ WarpGroups(int width)
      : packs(width / LANES), together(32 / packs), own(LANE / packs) {}

  // Of the group, where the lane's pack begins.
  __device__ __forceinline__ int column() const { return LANE % packs * LANES; }

  // The sum over the lanes of a group, which each of them gets.
  __device__ __forceinline__ float sum(float x) const {
    for (int d = 1; d < packs; d *= 2) {
      const float other = __shfl_down_sync(0xffffffffu, x, d);
      if (LANE % packs + d < packs) x += other;
    }
    return __shfl_sync(0xffffffffu, x, own * packs);
  }
};

// What a lane reads of a row to take its gradient back.
struct GatedPacks {
  Pack dy, x, gate;
  __device__ __forceinline__ void load(
      const Element *dyRows, const Element *xRows, const Element *gateRows, i64 at) {
    dy = *(const Pack *)(dyRows + at);
    x = *(const Pack *)(xRows + at);
    gate = *(const Pack *)(gateRows + at);
  }
};

// Groups of whole packs, 32 at most. Grid: ⌈T · D / group / (32 / packs) / 8⌉, block 256.
extern "C" __global__ void gatedRMSNormPacks(
    Element *y, const Element *x, const Element *gate, const float *weight, i64 count, int width,
    int group, float epsilon) {
  beginKernel();
  const WarpGroups groups(group);
  const i64 at = (groupOfWarp() * groups.together + groups.own) * group + groups.column();
  const bool counts = groups.own < groups.together && at < count * group;
  Pack in = {}, gates = {};
  if (counts) {
    in = *(const Pack *)(x + at);
    gates = *(const Pack *)(gate + at);
  }
  float gated[LANES], squares = 0;
#pragma unroll
  for (int i = 0; i < LANES; i++) {
    const float z = toFloat(gates.v[i]);
    gated[i] = toFloat(in.v[i]) * z * sigmoid(z);
    squares += gated[i] * gated[i];
  }
  const float inverse = rsqrtf(groups.sum(squares) / group + epsilon);
  if (!counts) return;
  weight += at % width;
#pragma unroll
  for (int i = 0; i < LANES; i++) assign(in.v[i], gated[i] * inverse * weight[i]);
  *(Pack *)(y + at) = in;
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

// The same for groups of whole packs, 32 at most, and the sums of the weight's gradient: a warp walks down
// the rows of a slab with as many groups as fit side by side. dWeight float32 [⌈T / GRADIENT_ROWS⌉, D].
// Grid: warps of ⌈T / GRADIENT_ROWS⌉ · ⌈D / group / (32 / packs)⌉, block 256.
extern "C" __global__ void gatedRMSNormGradientPacks(
    Element *dx, Element *dGate, float *dWeight, const Element *dy, const Element *x,
    const Element *gate, const float *weight, int rows, int width, int group, float epsilon) {
  beginKernel();
  const WarpGroups groups(group);
  const int across = (width / group + groups.together - 1) / groups.together;
  const int warp = blockIdx.x * 8 + threadIdx.x / 32, slab = warp / across;
  const int column = (warp % across * groups.together + groups.own) * group + groups.column();
  const int first = slab * GRADIENT_ROWS, last = min(rows, first + GRADIENT_ROWS);
  if (first >= rows) return;
  const bool counts = groups.own < groups.together && column < width;
  float weights[LANES] = {}, sums[LANES] = {};
  if (counts)
#pragma unroll
    for (int i = 0; i < LANES; i++) weights[i] = weight[column + i];
  GatedPacks next = {};
  if (counts) next.load(dy, x, gate, (i64)first * width + column);
  for (int t = first; t < last; t++) {
    GatedPacks row = next;
    if (counts && t + 1 < last) next.load(dy, x, gate, (i64)(t + 1) * width + column);
    float gated[LANES], squares = 0, products = 0;
#pragma unroll
    for (int i = 0; i < LANES; i++) {
      const float z = toFloat(row.gate.v[i]), above = toFloat(row.dy.v[i]);
      gated[i] = toFloat(row.x.v[i]) * z * sigmoid(z);
      squares += gated[i] * gated[i];
      products += above * weights[i] * gated[i];
    }
    squares = groups.sum(squares);
    products = groups.sum(products);
    const float inverse = rsqrtf(squares / group + epsilon);
    const float pull = products * inverse * inverse * inverse / group;
    if (!counts) continue;
#pragma unroll
    for (int i = 0; i < LANES; i++) {
      const float z = toFloat(row.gate.v[i]), above = toFloat(row.dy.v[i]);
      const float dg = above * weights[i] * inverse - gated[i] * pull;
      sums[i] += above * gated[i] * inverse;
      assign(row.gate.v[i], dg * toFloat(row.x.v[i]) * siluGradient(z));
      assign(row.x.v[i], dg * z * sigmoid(z));
    }
    *(Pack *)(dx + (i64)t * width + column) = row.x;
    *(Pack *)(dGate + (i64)t * width + column) = row.gate;
  }
  if (!counts) return;
#pragma unroll
  for (int i = 0; i < LANES; i++) dWeight[(i64)slab * width + column + i] = sums[i];
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
