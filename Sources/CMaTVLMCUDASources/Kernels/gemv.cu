// Products of few rows: bound by reading the weights once, so the weights' way to the processors
// decides. Compiled for one INPUT_WIDTH, so that a lane asks for all its packs of sixteen bytes
// without a question in between; nothing lies in shared memory, so that blocks are light and all of a
// matrix is on its way at once.

#define WARPS 4
#define DEPTH 10  // packs that a lane has on their way
#define PACKS (INPUT_WIDTH / LANES)

// Pack `offset` of every STEP packs from pack `first` on, DEPTH of them; zero where the row has ended.
// `first` is a constant once loops are unrolled, and a pack that all lanes have is not asked about.
template <int STEP>
__device__ __forceinline__ void loadPacks(
    uint4 *packs, const uint4 *row, int first, int offset) {
#pragma unroll
  for (int j = 0; j < DEPTH; j++) {
    const int start = first + STEP * j;
    packs[j] = start + STEP <= PACKS || start + offset < PACKS ? loadOnce(row + start + offset)
                                                               : uint4{};
  }
}

__device__ __forceinline__ float dot(const uint4 &a, const uint4 &b, float sum) {
  const u32 p[4] = {a.x, a.y, a.z, a.w}, q[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
  for (int i = 0; i < 4; i++)
    if (sizeof(Element) == 2) {  // two bfloat16, each the upper half of a float
      sum += __uint_as_float(p[i] << 16) * __uint_as_float(q[i] << 16);
      sum += __uint_as_float(p[i] & 0xffff0000u) * __uint_as_float(q[i] & 0xffff0000u);
    } else {
      sum += __uint_as_float(p[i]) * __uint_as_float(q[i]);
    }
  return sum;
}

// One of several layers that read the same rows.
struct Layer {
  const Element *weight;  // [O, INPUT_WIDTH]
  const float *bias;      // [O] or null
  Element *y;             // [INPUT_ROWS, O]
  int outputs;
  int activation;  // negative: none
};
#define LAYERS_AT_ONCE 4
struct Layers { Layer of[LAYERS_AT_ONCE]; };

// Warps that have a row of the weights together, and rows that a block has.
#define SHARING (PACKS <= 32 * DEPTH ? 1 : WARPS)
#define ROWS (WARPS / SHARING)

// y [INPUT_ROWS, O] ← activation(x [INPUT_ROWS, INPUT_WIDTH] weightᵀ + bias) for each layer.
// Grid: Σ ⌈O / ROWS⌉.
extern "C" __global__ void __launch_bounds__(32 * WARPS) linearRows(
    const __grid_constant__ Layers layers, const Element *x) {
  const int warp = threadIdx.x / 32;
  int block = blockIdx.x, which = 0;
  while (block >= (layers.of[which].outputs + ROWS - 1) / ROWS)
    block -= (layers.of[which++].outputs + ROWS - 1) / ROWS;
  const Layer layer = layers.of[which];
  const int output = block * ROWS + warp / SHARING;
  const uint4 *row = (const uint4 *)layer.weight + (i64)min(output, layer.outputs - 1) * PACKS;
  constexpr int step = 32 * SHARING;
  const int offset = warp % SHARING * 32 + LANE;

  float sum[INPUT_ROWS] = {};
  uint4 w[DEPTH];
  // Above beginKernel(), kernels read weights and biases only: the host sees to it that nothing that
  // is still running can have written them.
  loadPacks<step>(w, row, 0, offset);
  const float bias = layer.bias && output < layer.outputs ? layer.bias[output] : 0.0f;
  beginKernel();
#pragma unroll
  for (int first = 0; first < PACKS; first += step * DEPTH) {
    if (first > 0) loadPacks<step>(w, row, first, offset);
#pragma unroll
    for (int r = 0; r < INPUT_ROWS; r++) {
      const uint4 *from = (const uint4 *)x + r * PACKS;
#pragma unroll
      for (int j = 0; j < DEPTH; j++) {
        const int start = first + step * j;
        if (start + step <= PACKS || start + offset < PACKS)
          sum[r] = dot(w[j], from[start + offset], sum[r]);
      }
    }
  }

  __shared__ float parts[WARPS][INPUT_ROWS];
#pragma unroll
  for (int r = 0; r < INPUT_ROWS; r++) {
    const float total = warpSum(sum[r]);
    if (LANE == 0) parts[warp][r] = total;
  }
  if (SHARING > 1) __syncthreads(); else __syncwarp();
  if (warp % SHARING != 0 || LANE >= INPUT_ROWS || output >= layer.outputs) return;
  float total = bias;
#pragma unroll
  for (int i = 0; i < SHARING; i++) total += parts[warp + i][LANE];
  if (layer.activation >= 0) total = activation(toFloat(element(total)), layer.activation);
  assign(layer.y[(i64)LANE * layer.outputs + output], total);
}

// INPUT_WIDTH columns of one of several products that add up: the work of one warp.
struct Slab {
  const Element *x;       // where its columns begin
  const Element *weight;  // where they begin in the first row
  const float *bias;      // [O] for the first slab of a product that has one, or null
  i64 packs;              // from one row of weights to the next
};
#define SLABS_AT_ONCE 8
struct Slabs { Slab of[SLABS_AT_ONCE]; };

// y [O] ← stream [O] + Σ over slabs of x weightᵀ + bias. A warp keeps its slab of x in registers and
// stays for many rows, the next of which is on its way; PACKS is at most 32 · DEPTH.
// Block: 32 · slabs. Grid: as the card holds.
extern "C" __global__ void __launch_bounds__(32 * SLABS_AT_ONCE, 2) addLinear(
    Element *y, const Element *stream, const __grid_constant__ Slabs slabs, int outputs) {
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const uint4 *weight = (const uint4 *)slabs.of[warp].weight;
  const float *bias = slabs.of[warp].bias;
  const i64 stride = slabs.of[warp].packs;
  __shared__ float parts[2][SLABS_AT_ONCE];
  uint4 w[DEPTH], x[DEPTH];
  if (blockIdx.x < outputs) loadPacks<32>(w, weight + blockIdx.x * stride, 0, LANE);
  beginKernel();
  loadPacks<32>(x, (const uint4 *)slabs.of[warp].x, 0, LANE);
  for (int row = blockIdx.x, turn = 0; row < outputs; row += gridDim.x, turn ^= 1) {
    uint4 next[DEPTH];
    if (row + gridDim.x < outputs)
      loadPacks<32>(next, weight + (row + gridDim.x) * stride, 0, LANE);
    // What a row has besides products is asked for here, so that nobody waits for it at the end.
    const float constant = bias ? bias[row] : 0.0f;
    const float before = warp == 0 ? toFloat(stream[row]) : 0.0f;
    float sum = 0;
#pragma unroll
    for (int j = 0; j < DEPTH; j++) {
      keepPacked(x[j]);
      sum = dot(w[j], x[j], sum);
    }
    sum = warpSum(sum);
    if (LANE == 0) parts[turn][warp] = sum + constant + before;
    __syncthreads();
    if (threadIdx.x == 0) {
      float total = 0;
      for (int i = 0; i < warps; i++) total += parts[turn][i];
      assign(y[row], total);
    }
#pragma unroll
    for (int j = 0; j < DEPTH; j++) w[j] = next[j];
  }
}
