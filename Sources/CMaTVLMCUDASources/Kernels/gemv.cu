// Products of few rows: bound by reading the weights once, so the weights' way to the processors
// decides. Each lane asks for DEPTH packs of sixteen bytes before it needs the first; nothing lies in
// shared memory, so that blocks are light and all of a matrix is on its way at once.

#define WARPS 4
#define DEPTH 10  // packs that a lane has on their way

// One of several layers that read the same rows.
struct Layer {
  const Element *weight;  // [O, I]
  const float *bias;      // [O] or null
  Element *y;             // [INPUT_ROWS, O]
  int outputs;
  int activation;  // negative: none
};
#define LAYERS_AT_ONCE 4
struct Layers { Layer of[LAYERS_AT_ONCE]; };

// Adds up what the warps of a row of weights have found.
template <int SHARING>
__device__ __forceinline__ void finishRow(const Layer &layer, const float *sum, int output) {
  __shared__ float parts[WARPS][INPUT_ROWS];
  const int warp = threadIdx.x / 32;
#pragma unroll
  for (int r = 0; r < INPUT_ROWS; r++) {
    const float total = warpSum(sum[r]);
    if (LANE == 0) parts[warp][r] = total;
  }
  if (SHARING > 1) __syncthreads(); else __syncwarp();
  if (warp % SHARING != 0 || LANE >= INPUT_ROWS || output >= layer.outputs) return;
  float total = layer.bias ? layer.bias[output] : 0.0f;
#pragma unroll
  for (int i = 0; i < SHARING; i++) total += parts[warp + i][LANE];
  if (layer.activation >= 0) total = activation(toFloat(element(total)), layer.activation);
  assign(layer.y[(i64)LANE * layer.outputs + output], total);
}

// SHARING warps have a row of the weights.
template <int SHARING>
__device__ __forceinline__ void linearFewRows(
    const Layers &layers, const Element *x, int inputs) {
  const int warp = threadIdx.x / 32, rowsOfBlock = WARPS / SHARING;
  int block = blockIdx.x, which = 0;
  while (block >= (layers.of[which].outputs + rowsOfBlock - 1) / rowsOfBlock)
    block -= (layers.of[which++].outputs + rowsOfBlock - 1) / rowsOfBlock;
  const Layer &layer = layers.of[which];
  const int output = block * rowsOfBlock + warp / SHARING;
  const uint4 *row = (const uint4 *)(layer.weight + (i64)min(output, layer.outputs - 1) * inputs);
  const int packs = inputs / LANES, step = 32 * SHARING, begin = warp % SHARING * 32 + LANE;

  float sum[INPUT_ROWS] = {};
  uint4 w[DEPTH];
  // The only reads above beginKernel() in all kernels are of weights: the host sees to it that
  // nothing that is still running can have written them.
#pragma unroll
  for (int j = 0; j < DEPTH; j++)
    if (begin + step * j < packs) w[j] = loadOnce(row + begin + step * j);
  beginKernel();
  for (int first = begin; first < packs; first += step * DEPTH) {
    if (first != begin)
#pragma unroll
      for (int j = 0; j < DEPTH; j++)
        if (first + step * j < packs) w[j] = loadOnce(row + first + step * j);
#pragma unroll
    for (int j = 0; j < DEPTH; j++) {
      const int pack = first + step * j;
      if (pack >= packs) break;
      const Pack p = *(const Pack *)&w[j];
#pragma unroll
      for (int r = 0; r < INPUT_ROWS; r++) {
        const Pack v = ((const Pack *)(x + (i64)r * inputs))[pack];
#pragma unroll
        for (int i = 0; i < LANES; i++) sum[r] += toFloat(p.v[i]) * toFloat(v.v[i]);
      }
    }
  }
  finishRow<SHARING>(layer, sum, output);
}

// y [INPUT_ROWS, O] ← activation(x [INPUT_ROWS, I] weight [O, I]ᵀ + bias) for each layer. I is a
// multiple of LANES. Grid: Σ ⌈O / 4⌉ for a warp a row.
extern "C" __global__ void __launch_bounds__(32 * WARPS) linearShortRows(
    const __grid_constant__ Layers layers, const Element *x, int inputs) {
  linearFewRows<1>(layers, x, inputs);
}

// The same with all four warps on a row. Grid: Σ O.
extern "C" __global__ void __launch_bounds__(32 * WARPS) linearLongRows(
    const __grid_constant__ Layers layers, const Element *x, int inputs) {
  linearFewRows<WARPS>(layers, x, inputs);
}

// Some columns of one of several products that add up, the work of one warp.
struct Slab {
  const Element *x;       // where its columns begin
  const Element *weight;  // where they begin in the first row
  const float *bias;      // [O] for the first slab of a product that has one, or null
  int inputs;             // from one row of weights to the next
  int packs;              // in the slab, up to 32 · DEPTH
};
#define SLABS_AT_ONCE 8
struct Slabs { Slab of[SLABS_AT_ONCE]; };

__device__ __forceinline__ void loadSlab(uint4 *w, const Slab &slab, int row) {
  const uint4 *from = (const uint4 *)(slab.weight + (i64)row * slab.inputs);
#pragma unroll
  for (int j = 0; j < DEPTH; j++)
    w[j] = LANE + 32 * j < slab.packs ? loadOnce(from + LANE + 32 * j) : uint4{};
}

// Hides from the compiler what x is, or it would convert all of it once, and run out of registers.
__device__ __forceinline__ void keepPacked(uint4 &x) {
  asm volatile("" : "+r"(x.x), "+r"(x.y), "+r"(x.z), "+r"(x.w));
}

// y [O] ← stream [O] + Σ over slabs of x weightᵀ + bias. A warp keeps its slab of x in registers and
// stays for many rows, the next of which is on its way. Block: 32 · slabs. Grid: as the card holds.
extern "C" __global__ void __launch_bounds__(32 * SLABS_AT_ONCE, 2) addLinear(
    Element *y, const Element *stream, const __grid_constant__ Slabs slabs, int outputs) {
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const Slab &slab = slabs.of[warp];
  __shared__ float parts[2][SLABS_AT_ONCE];
  uint4 w[DEPTH], next[DEPTH], x[DEPTH];
  if (blockIdx.x < outputs) loadSlab(w, slab, blockIdx.x);
  beginKernel();
#pragma unroll
  for (int j = 0; j < DEPTH; j++)
    x[j] = LANE + 32 * j < slab.packs ? ((const uint4 *)slab.x)[LANE + 32 * j] : uint4{};
  for (int row = blockIdx.x, turn = 0; row < outputs; row += gridDim.x, turn ^= 1) {
    if (row + gridDim.x < outputs) loadSlab(next, slab, row + gridDim.x);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < DEPTH; j++) {
      keepPacked(x[j]);
      const Pack p = *(const Pack *)&w[j], v = *(const Pack *)&x[j];
#pragma unroll
      for (int i = 0; i < LANES; i++) sum += toFloat(p.v[i]) * toFloat(v.v[i]);
    }
    sum = warpSum(sum);
    if (LANE == 0) parts[turn][warp] = slab.bias ? sum + slab.bias[row] : sum;
    __syncthreads();
    if (threadIdx.x == 0) {
      float total = toFloat(stream[row]);
      for (int i = 0; i < warps; i++) total += parts[turn][i];
      assign(y[row], total);
    }
#pragma unroll
    for (int j = 0; j < DEPTH; j++) w[j] = next[j];
  }
}
