// Gradients of attention over tiles by warp groups (warpgroup.cuh), in the two kernels of
// attention_gradient.cu, which has every other type, width and card.

#define SLOTS 3  // tiles that are walked over: one in use, one still read by products, one on its way

// dk dv [T, G·P]. A warp group owns TILE keys and walks over the queries that see them, for every
// query head of its key head. Grid: (tiles, G).
extern "C" __global__ void __launch_bounds__(128, 2) attentionKeyValueGradient(
    Element *dk, Element *dv, const Element *dy, const Element *q, const Element *k,
    const Element *v, const float *logSumExp, const float *delta, const RowTile *tiles,
    Geometry geometry) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  unsigned char *sharedK = raw;                        // a tile
  unsigned char *sharedV = sharedK + TILE_BYTES;       // a tile
  unsigned char *sharedQ = sharedV + TILE_BYTES;
  unsigned char *sharedDY = sharedQ + SLOTS * TILE_BYTES;
  float *sharedRows = (float *)(sharedDY + SLOTS * TILE_BYTES);  // [SLOTS, log | delta, TILE]
  const RowTile tile = tiles[blockIdx.x];
  const int kvHead = blockIdx.y, ratio = geometry.heads / geometry.keyValueHeads;
  const i64 qStride = (i64)geometry.heads * HEAD_WIDTH;
  const i64 kvStride = (i64)geometry.keyValueHeads * HEAD_WIDTH;
  const i64 kvBase = tile.first * kvStride + kvHead * HEAD_WIDTH;
  const int rows = min(TILE, tile.end - tile.first);
  const int key = tile.first + GROUP_WARP * 16 + QUAD_ROW;  // of this lane, and key + 8
  const int begin = geometry.causal ? tile.first : tile.start;
  const int steps = ratio * ((tile.end - begin + TILE - 1) / TILE);

  // What is brought next: queries from `nextFirst` on of head `nextHead`.
  int nextHead = kvHead * ratio, nextFirst = begin;
  const auto bring = [&](int slot) {
    if (nextHead < (kvHead + 1) * ratio) {
      const int count = tile.end - nextFirst;
      const i64 base = nextFirst * qStride + nextHead * HEAD_WIDTH;
      loadTile(sharedQ + slot * TILE_BYTES, q + base, qStride, count);
      loadTile(sharedDY + slot * TILE_BYTES, dy + base, qStride, count);
      const int row = threadIdx.x % TILE;
      copyFloatAsync(
          sharedRows + slot * 2 * TILE + threadIdx.x,
          (threadIdx.x < TILE ? logSumExp : delta)
              + (i64)(nextFirst + min(row, count - 1)) * geometry.heads + nextHead,
          row < count);
      nextFirst += TILE;
      if (nextFirst >= tile.end) nextFirst = begin, nextHead++;
    }
    commitCopies();
  };
  loadTile(sharedK, k + kvBase, kvStride, rows);
  loadTile(sharedV, v + kvBase, kvStride, rows);
  bring(0);
  bring(1);

  Accumulator sumK[PADDED / 8] = {}, sumV[PADDED / 8] = {};
  Accumulator p[TILE / 8], ds[TILE / 8];  // [keys, queries]
  const float scale = geometry.scale * LOG2E;
  shareCopies<1>();
  beginProducts();
  multiplyTiles(p, sharedK, sharedQ);
  multiplyTiles(ds, sharedV, sharedDY);
  commitProducts();
  waitForProducts<0>();

  int slot = 0, first = begin;
  for (int step = 0; step < steps; step++) {
    const int next = slot + 1 == SLOTS ? 0 : slot + 1;
    const float *logs = sharedRows + slot * 2 * TILE, *deltas = logs + TILE;
#pragma unroll
    for (int n = 0; n < TILE / 8; n++) {
      const float2 log = *(const float2 *)(logs + n * 8 + QUAD_COLUMN);
      const float bases[2] = {log.x * LOG2E, log.y * LOG2E};
#pragma unroll
      for (int e = 0; e < 4; e++) p[n].c[e] = power(p[n].c[e] * scale - bases[e % 2]);
    }
    if (geometry.causal && first < tile.first + TILE)
#pragma unroll
      for (int n = 0; n < TILE / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          if (key + 8 * (e / 2) > first + n * 8 + QUAD_COLUMN + e % 2) p[n].c[e] = 0;
    TileWeights weights;
    asWeights(weights, p);
    beginProducts();
    multiplyWeights(sumV, weights, sharedDY + slot * TILE_BYTES);
    commitProducts();
#pragma unroll
    for (int n = 0; n < TILE / 8; n++) {
      const float2 shift = *(const float2 *)(deltas + n * 8 + QUAD_COLUMN);
#pragma unroll
      for (int e = 0; e < 4; e++)
        ds[n].c[e] = p[n].c[e] * (ds[n].c[e] - (e % 2 ? shift.y : shift.x));
    }
    TileWeights slopes;
    asWeights(slopes, ds);

    // The next step's first products are asked for together with this one's last. Behind the barrier
    // nobody reads the tiles of the step before any more.
    shareCopies<0>();
    beginProducts();
    multiplyWeights(sumK, slopes, sharedQ + slot * TILE_BYTES);
    multiplyTiles(p, sharedK, sharedQ + next * TILE_BYTES);
    multiplyTiles(ds, sharedV, sharedDY + next * TILE_BYTES);
    commitProducts();
    bring(next + 1 == SLOTS ? 0 : next + 1);
    waitForProducts<0>();
    slot = next;
    first = first + TILE < tile.end ? first + TILE : begin;
  }
  const float scales[2] = {geometry.scale, geometry.scale}, ones[2] = {1, 1};
  storeTile(dk + kvBase, kvStride, sumK, rows, scales);
  storeTile(dv + kvBase, kvStride, sumV, rows, ones);
}

// dq [T, H·P]. A warp group owns TILE queries and walks over the keys that they see. Grid: (tiles, H).
extern "C" __global__ void __launch_bounds__(128, 2) attentionQueryGradient(
    Element *dq, const Element *dy, const Element *q, const Element *k, const Element *v,
    const float *logSumExp, const float *delta, const RowTile *tiles, Geometry geometry) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  unsigned char *sharedQ = raw;                    // a tile
  unsigned char *sharedDY = sharedQ + TILE_BYTES;  // a tile
  unsigned char *sharedK = sharedDY + TILE_BYTES;
  unsigned char *sharedV = sharedK + SLOTS * TILE_BYTES;
  const RowTile tile = tiles[gridDim.x - 1 - blockIdx.x];  // the longest rows first
  const int head = blockIdx.y, kvHead = head / (geometry.heads / geometry.keyValueHeads);
  const i64 qStride = (i64)geometry.heads * HEAD_WIDTH;
  const i64 kvStride = (i64)geometry.keyValueHeads * HEAD_WIDTH;
  const i64 qBase = tile.first * qStride + head * HEAD_WIDTH;
  const int rows = min(TILE, tile.end - tile.first);
  const int query = tile.first + GROUP_WARP * 16 + QUAD_ROW;  // of this lane, and query + 8
  const int end = geometry.causal ? tile.first + rows : tile.end;

  const int steps = (end - tile.start + TILE - 1) / TILE;

  const auto bring = [&](int step, int slot) {
    if (step < steps) {
      const int first = tile.start + step * TILE;
      const i64 base = first * kvStride + kvHead * HEAD_WIDTH;
      loadTile(sharedK + slot * TILE_BYTES, k + base, kvStride, end - first);
      loadTile(sharedV + slot * TILE_BYTES, v + base, kvStride, end - first);
    }
    commitCopies();
  };
  loadTile(sharedQ, q + qBase, qStride, rows);
  loadTile(sharedDY, dy + qBase, qStride, rows);
  bring(0, 0);
  bring(1, 1);

  float bases[2], deltas[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const i64 at = (i64)min(query + 8 * i, tile.end - 1) * geometry.heads + head;
    bases[i] = logSumExp[at] * LOG2E;
    deltas[i] = delta[at];
  }
  Accumulator sum[PADDED / 8] = {}, p[TILE / 8], ds[TILE / 8];  // p ds [queries, keys]
  const float scale = geometry.scale * LOG2E;
  shareCopies<1>();
  beginProducts();
  multiplyTiles(p, sharedQ, sharedK);
  multiplyTiles(ds, sharedDY, sharedV);
  commitProducts();
  waitForProducts<0>();

  int slot = 0;
  for (int step = 0; step < steps; step++) {
    const int next = slot + 1 == SLOTS ? 0 : slot + 1;
    const int first = tile.start + step * TILE;
#pragma unroll
    for (int n = 0; n < TILE / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) p[n].c[e] = power(p[n].c[e] * scale - bases[e / 2]);
    if (first + TILE > (geometry.causal ? tile.first : end))
#pragma unroll
      for (int n = 0; n < TILE / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const int key = first + n * 8 + QUAD_COLUMN + e % 2;
          if (key >= end || (geometry.causal && key > query + 8 * (e / 2))) p[n].c[e] = 0;
        }
#pragma unroll
    for (int n = 0; n < TILE / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        ds[n].c[e] = p[n].c[e] * (ds[n].c[e] - deltas[e / 2]);
    TileWeights slopes;
    asWeights(slopes, ds);

    shareCopies<0>();
    beginProducts();
    multiplyWeights(sum, slopes, sharedK + slot * TILE_BYTES);
    multiplyTiles(p, sharedQ, sharedK + next * TILE_BYTES);
    multiplyTiles(ds, sharedDY, sharedV + next * TILE_BYTES);
    commitProducts();
    bring(step + 2, next + 1 == SLOTS ? 0 : next + 1);
    waitForProducts<0>();
    slot = next;
  }
  const float scales[2] = {geometry.scale, geometry.scale};
  storeTile(dq + qBase, qStride, sum, rows, scales);
}
