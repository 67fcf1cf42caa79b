// Gradients of attention over tiles, from the saved log of each row's denominator: one kernel for
// keys and values, one for queries, so that nothing is added up in an order that could change.
// Compiled for one HEAD_WIDTH.

#define PADDED ((HEAD_WIDTH + 15) / 16 * 16)
#define LD (PADDED + 8)
#define WARPS 4
#define THREADS (32 * WARPS)
#define ROWS (16 * WARPS)  // rows that a block owns: keys in one kernel, queries in the other
#define STEP (sizeof(Element) == 2 ? 32 : 16)  // rows that it walks over at once

// delta float32 [T, H] ← Σ over a head's columns of dy ⊙ output. Eight lanes have a head, so that a
// warp has four of them on their way. Grid: T.
extern "C" __global__ void attentionDelta(
    float *delta, const Element *dy, const Element *output, int heads) {
  beginKernel();
  const int lane = threadIdx.x % 8;
  for (int first = threadIdx.x / 32 * 4; first < heads; first += blockDim.x / 8) {
    const int head = first + LANE / 8;
    const i64 base = ((i64)blockIdx.x * heads + min(head, heads - 1)) * HEAD_WIDTH;
    float sum = 0;
#pragma unroll
    for (int d = lane * LANES; d < HEAD_WIDTH; d += 8 * LANES) {
      const uint4 a = loadColumns<HEAD_WIDTH>(dy + base, d);
      const uint4 b = loadColumns<HEAD_WIDTH>(output + base, d);
#pragma unroll
      for (int i = 0; i < LANES; i++) sum += column(a, i) * column(b, i);
    }
#pragma unroll
    for (int d = 4; d; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
    if (lane == 0 && head < heads) delta[(i64)blockIdx.x * heads + head] = sum;
  }
}

// Writes rows 0 ..< rows of a block's accumulators, 16 rows a warp, at `target`.
__device__ __forceinline__ void storeRows(
    Element *target, i64 stride, const Accumulator *x, int rows, float factor) {
  for (int i = 0; i < 2; i++) {
    const int row = threadIdx.x / 32 * 16 + QUAD_ROW + 8 * i;
    if (row >= rows) continue;
    for (int n = 0; n < PADDED / 8; n++)
      for (int j = 0; j < 2; j++) {
        int column = n * 8 + QUAD_COLUMN + j;
        if (column < HEAD_WIDTH)
          assign(target[row * stride + column], x[n].c[2 * i + j] * factor);
      }
  }
}

// dk dv [T, G·P]. A block owns ROWS keys and walks over the queries that see them, for every query
// head of its key head. Grid: (tiles, G).
extern "C" __global__ void __launch_bounds__(THREADS) attentionKeyValueGradient(
    Element *dk, Element *dv, const Element *dy, const Element *q, const Element *k,
    const Element *v, const float *logSumExp, const float *delta, const RowTile *tiles,
    Geometry geometry) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  Element *sharedK = (Element *)raw;            // [ROWS, LD]
  Element *sharedV = sharedK + ROWS * LD;       // [ROWS, LD]
  Element *sharedQ = sharedV + ROWS * LD;       // [STEP, LD]
  Element *sharedDY = sharedQ + STEP * LD;      // [STEP, LD]
  float *sharedLog = (float *)(sharedDY + STEP * LD);  // [STEP]
  float *sharedDelta = sharedLog + STEP;               // [STEP]
  const RowTile tile = tiles[blockIdx.x];
  const int kvHead = blockIdx.y, ratio = geometry.heads / geometry.keyValueHeads;
  const i64 qStride = (i64)geometry.heads * HEAD_WIDTH;
  const i64 kvStride = (i64)geometry.keyValueHeads * HEAD_WIDTH;
  const i64 kvBase = tile.first * kvStride + kvHead * HEAD_WIDTH;
  const int rows = min(ROWS, tile.end - tile.first);
  const int warpRow = threadIdx.x / 32 * 16;
  const int myKey = tile.first + warpRow + QUAD_ROW;  // and myKey + 8

  loadTile<ROWS, HEAD_WIDTH, PADDED, THREADS>(sharedK, LD, k + kvBase, kvStride, rows);
  loadTile<ROWS, HEAD_WIDTH, PADDED, THREADS>(sharedV, LD, v + kvBase, kvStride, rows);
  Accumulator sumK[PADDED / 8] = {}, sumV[PADDED / 8] = {};
  const int begin = geometry.causal ? tile.first : tile.start;

  for (int head = kvHead * ratio; head < (kvHead + 1) * ratio; head++)
    for (int first = begin; first < tile.end; first += STEP) {
      const int count = min(STEP, tile.end - first);
      const i64 base = first * qStride + head * HEAD_WIDTH;
      __syncthreads();
      loadTile<STEP, HEAD_WIDTH, PADDED, THREADS>(sharedQ, LD, q + base, qStride, count);
      loadTile<STEP, HEAD_WIDTH, PADDED, THREADS>(sharedDY, LD, dy + base, qStride, count);
      commitCopies();
      for (int i = threadIdx.x; i < STEP; i += THREADS) {
        const i64 at = (i64)(first + i) * geometry.heads + head;
        sharedLog[i] = i < count ? logSumExp[at] * LOG2E : INFINITY_F;
        sharedDelta[i] = i < count ? delta[at] : 0.0f;
      }
      waitForCopies<0>();
      __syncthreads();

      Accumulator p[STEP / 8] = {}, ds[STEP / 8] = {};  // [keys, queries]
      multiplyRows<PADDED, STEP>(p, sharedK, LD, warpRow, sharedQ, LD);
      multiplyRows<PADDED, STEP>(ds, sharedV, LD, warpRow, sharedDY, LD);
#pragma unroll
      for (int n = 0; n < STEP / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const int column = n * 8 + QUAD_COLUMN + e % 2, key = myKey + 8 * (e / 2);
          const bool seen = !geometry.causal || key <= first + column;
          float x = seen ? power(p[n].c[e] * geometry.scale * LOG2E - sharedLog[column]) : 0.0f;
          p[n].c[e] = x;
          ds[n].c[e] = x * (ds[n].c[e] - sharedDelta[column]);
        }
      multiplyWeights<STEP, PADDED>(sumV, p, sharedDY, LD);
      multiplyWeights<STEP, PADDED>(sumK, ds, sharedQ, LD);
    }
  storeRows(dk + kvBase, kvStride, sumK, rows, geometry.scale);
  storeRows(dv + kvBase, kvStride, sumV, rows, 1.0f);
}

// dq [T, H·P]. A block owns ROWS queries and walks over the keys that they see. Grid: (tiles, H).
extern "C" __global__ void __launch_bounds__(THREADS) attentionQueryGradient(
    Element *dq, const Element *dy, const Element *q, const Element *k, const Element *v,
    const float *logSumExp, const float *delta, const RowTile *tiles, Geometry geometry) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  Element *sharedQ = (Element *)raw;            // [ROWS, LD]
  Element *sharedDY = sharedQ + ROWS * LD;      // [ROWS, LD]
  Element *sharedK = sharedDY + ROWS * LD;      // [STEP, LD]
  Element *sharedV = sharedK + STEP * LD;       // [STEP, LD]
  const RowTile tile = tiles[blockIdx.x];
  const int head = blockIdx.y, kvHead = head / (geometry.heads / geometry.keyValueHeads);
  const i64 qStride = (i64)geometry.heads * HEAD_WIDTH;
  const i64 kvStride = (i64)geometry.keyValueHeads * HEAD_WIDTH;
  const i64 qBase = tile.first * qStride + head * HEAD_WIDTH;
  const int rows = min(ROWS, tile.end - tile.first);
  const int warpRow = threadIdx.x / 32 * 16;
  const int myRow = tile.first + warpRow + QUAD_ROW;  // and myRow + 8

  loadTile<ROWS, HEAD_WIDTH, PADDED, THREADS>(sharedQ, LD, q + qBase, qStride, rows);
  loadTile<ROWS, HEAD_WIDTH, PADDED, THREADS>(sharedDY, LD, dy + qBase, qStride, rows);
  float logs[2], deltas[2];
  for (int i = 0; i < 2; i++) {
    const bool real = myRow + 8 * i < tile.end;
    const i64 at = (i64)(myRow + 8 * i) * geometry.heads + head;
    logs[i] = real ? logSumExp[at] * LOG2E : INFINITY_F;
    deltas[i] = real ? delta[at] : 0.0f;
  }
  Accumulator sum[PADDED / 8] = {};
  const int end = geometry.causal ? tile.first + rows : tile.end;

  for (int first = tile.start; first < end; first += STEP) {
    const i64 base = first * kvStride + kvHead * HEAD_WIDTH;
    __syncthreads();
    loadTile<STEP, HEAD_WIDTH, PADDED, THREADS>(sharedK, LD, k + base, kvStride, end - first);
    loadTile<STEP, HEAD_WIDTH, PADDED, THREADS>(sharedV, LD, v + base, kvStride, end - first);
    commitCopies();
    waitForCopies<0>();
    __syncthreads();

    Accumulator p[STEP / 8] = {}, ds[STEP / 8] = {};  // [queries, keys]
    multiplyRows<PADDED, STEP>(p, sharedQ, LD, warpRow, sharedK, LD);
    multiplyRows<PADDED, STEP>(ds, sharedDY, LD, warpRow, sharedV, LD);
#pragma unroll
    for (int n = 0; n < STEP / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const int key = first + n * 8 + QUAD_COLUMN + e % 2;
        const bool seen = key < end && (!geometry.causal || key <= myRow + 8 * (e / 2));
        float x = seen ? power(p[n].c[e] * geometry.scale * LOG2E - logs[e / 2]) : 0.0f;
        ds[n].c[e] = x * (ds[n].c[e] - deltas[e / 2]);
      }
    multiplyWeights<STEP, PADDED>(sum, ds, sharedK, LD);
  }
  storeRows(dq + qBase, qStride, sum, rows, geometry.scale);
}
