// Products of few rows with a block a multiprocessor (row_products.cuh). Compiled for one
// INPUT_WIDTH, so that a lane asks for all its packs without a question in between.

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

#define ROW_PACKS (INPUT_WIDTH / LANES)
#define PIECES ((ROW_PACKS + PIECE - 1) / PIECE)  // of a row

// The layer that has a row of all layers' rows; the row becomes the layer's.
__device__ __forceinline__ const Layer &layerOf(const Layers &layers, int &row) {
  int which = 0;
  while (row >= layers.of[which].outputs) row -= layers.of[which++].outputs;
  return layers.of[which];
}

// y [INPUT_ROWS, O] ← activation(x [INPUT_ROWS, INPUT_WIDTH] weightᵀ + bias) for each layer.
// - outputs: Σ O.
// Shared: STAGES stages, then (PIECES · INPUT_ROWS + 1) floats for each row of a block. Block:
// THREADS.
extern "C" __global__ void __launch_bounds__(THREADS) linearRows(
    const __grid_constant__ Layers layers, const Element *x, int outputs) {
  extern __shared__ uint4 ring[];
  const Share share = shareOf(outputs);
  const int rows = share.end - share.begin, count = rows * PIECES, warp = threadIdx.x / 32;
  float *parts = (float *)(ring + STAGES * STAGE);  // [INPUT_ROWS, rows, PIECES]
  float *biases = parts + count * INPUT_ROWS;       // [rows]
  auto ask = [&](int i, int turn) {
    if (i < count) {
      int row = share.begin + i / PIECES;
      const Layer &layer = layerOf(layers, row);
      const int first = i % PIECES * PIECE;
      askFor(
          ring + turn % STAGES * STAGE,
          (const uint4 *)layer.weight + (i64)row * ROW_PACKS + first, ROW_PACKS - first);
    }
    commitCopies();
  };
  // Above the kernel's beginning weights and biases only are read: the host sees to it that nothing
  // that is still running can have written them.
#pragma unroll
  for (int s = 0; s < STAGES; s++) ask(warp + s * WARPS, s);
  for (int o = threadIdx.x; o < rows; o += THREADS) {
    int row = share.begin + o;
    const Layer &layer = layerOf(layers, row);
    biases[o] = layer.bias ? layer.bias[row] : 0.0f;
  }
  beginKernelInTurn();

  const bool isKept = PIECES == 1 && INPUT_ROWS == 1;
  uint4 kept[DEPTH];
  if (isKept) loadRow(kept, (const uint4 *)x, ROW_PACKS);
  for (int i = warp, turn = 0; i < count; i += WARPS, turn++) {
    uint4 w[DEPTH];
    waitForCopies<STAGES - 1>();
    take(w, ring + turn % STAGES * STAGE);
    ask(i + STAGES * WARPS, turn + STAGES);
#pragma unroll
    for (int r = 0; r < INPUT_ROWS; r++) {
      const int first = i % PIECES * PIECE;
      if (!isKept) loadRow(kept, (const uint4 *)x + r * ROW_PACKS + first, ROW_PACKS - first);
      const float sum = multiply(w, kept);
      if (LANE == 0) parts[r * count + i] = sum;
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < rows * INPUT_ROWS; i += THREADS) {
    const int r = i / rows, o = i % rows;
    int row = share.begin + o;
    const Layer &layer = layerOf(layers, row);
    float total = biases[o];
    for (int p = 0; p < PIECES; p++) total += parts[r * count + o * PIECES + p];
    if (layer.activation >= 0) total = activation(toFloat(element(total)), layer.activation);
    assign(layer.y[(i64)r * layer.outputs + row], total);
  }
}

// y [O] ← stream [O] + Σ over slabs of x weightᵀ + bias. Block: THREADS; see addProducts.
extern "C" __global__ void __launch_bounds__(THREADS) addLinear(
    Element *y, const Element *stream, const __grid_constant__ Slabs slabs, int outputs) {
  extern __shared__ uint4 ring[];
  addProducts<STAGES>(y, stream, slabs, outputs, ring, [] { beginKernel(); }, [] {});
}
