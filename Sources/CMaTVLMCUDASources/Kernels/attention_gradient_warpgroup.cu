// Gradients of attention over tiles by warp groups (warpgroup.cuh), in the two kernels of
// attention_gradient.cu, which has every other type, width and card.

// dk dv [T, G·P]. A warp group owns TILE keys and walks over the queries that see them, for every
// query head of its key head. Grid: (tiles, G).
extern "C" __global__ void __launch_bounds__(128, 2) attentionKeyValueGradient(
    Element *dk, Element *dv, const __grid_constant__ TileMap dy,
    const __grid_constant__ TileMap q, const __grid_constant__ TileMap k,
    const __grid_constant__ TileMap v, const float *logSumExp, const float *delta,
    const RowTile *tiles, Geometry geometry) {
  beginKernel();
  extern __shared__ __align__(TILE_ALIGNMENT) unsigned char raw[];
  __shared__ Arrivals arrivals;
  unsigned char *sharedK = raw;                        // a tile
  unsigned char *sharedV = sharedK + TILE_BYTES;       // a tile
  unsigned char *sharedQ = sharedV + TILE_BYTES;
  unsigned char *sharedDY = sharedQ + SLOTS * TILE_BYTES;
  float *sharedRows = (float *)(sharedDY + SLOTS * TILE_BYTES);  // [SLOTS, log | delta, TILE]
  const RowTile tile = tiles[blockIdx.x];
  const int kvHead = blockIdx.y, ratio = geometry.heads / geometry.keyValueHeads;
  const i64 kvStride = (i64)geometry.keyValueHeads * HEAD_WIDTH;
  const i64 kvBase = tile.first * kvStride + kvHead * HEAD_WIDTH;
  const int rows = min(TILE, tile.end - tile.first);
  const int key = tile.first + GROUP_WARP * 16 + QUAD_ROW;  // of this lane, and key + 8
  const int begin = geometry.causal ? tile.first : tile.start;
  const int steps = ratio * ((tile.end - begin + TILE - 1) / TILE);

  // What is brought next: queries from `nextFirst` on of head `nextHead`.
  int nextHead = kvHead * ratio, nextFirst = begin;
  const auto bring = [&](int slot, int others) {
    if (nextHead < (kvHead + 1) * ratio) {
      if (threadIdx.x == 0) {
        arrivals.expect(slot, 2 + others);
        bringTile(sharedQ + slot * TILE_BYTES, q, nextFirst, nextHead, arrivals, slot);
        bringTile(sharedDY + slot * TILE_BYTES, dy, nextFirst, nextHead, arrivals, slot);
      }
      const int row = threadIdx.x % TILE, count = tile.end - nextFirst;
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
  const auto await = [&](int first, Place place) {
    awaitTiles(arrivals, place, sharedQ + place.slot * TILE_BYTES,
               sharedDY + place.slot * TILE_BYTES, tile.end - first);
  };
  if (threadIdx.x == 0) arrivals.begin();
  bring(0, 2);
  if (threadIdx.x == 0) {
    bringTile(sharedK, k, tile.first, kvHead, arrivals, 0);
    bringTile(sharedV, v, tile.first, kvHead, arrivals, 0);
  }
  bring(1, 0);

  Accumulator sumK[PADDED / 8] = {}, sumV[PADDED / 8] = {};
  Accumulator p[TILE / 8], ds[TILE / 8];  // [keys, queries]
  const float scale = geometry.scale * LOG2E;
  waitForCopies<1>();
  __syncthreads();
  Place place;
  await(begin, place);
  beginProducts();
  multiplyTiles(p, sharedK, sharedQ);
  multiplyTiles(ds, sharedV, sharedDY);
  commitProducts();
  waitForProducts<0>();

  int first = begin;
  for (int step = 0; step < steps; step++) {
    const Place next = place.next();
    const int following = first + TILE < tile.end ? first + TILE : begin;
    const float *logs = sharedRows + place.slot * 2 * TILE, *deltas = logs + TILE;
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
    multiplyWeights(sumV, weights, sharedDY + place.slot * TILE_BYTES);
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
    waitForCopies<0>();
    __syncthreads();
    bring(next.next().slot, 0);
    if (step + 1 < steps) await(following, next);
    beginProducts();
    multiplyWeights(sumK, slopes, sharedQ + place.slot * TILE_BYTES);
    multiplyTiles(p, sharedK, sharedQ + next.slot * TILE_BYTES);
    multiplyTiles(ds, sharedV, sharedDY + next.slot * TILE_BYTES);
    commitProducts();
    waitForProducts<0>();
    place = next;
    first = following;
  }
  const float scales[2] = {geometry.scale, geometry.scale}, ones[2] = {1, 1};
  storeTile(dk + kvBase, kvStride, sumK, rows, scales);
  storeTile(dv + kvBase, kvStride, sumV, rows, ones);
}

// dq [T, H·P]. A warp group owns TILE queries and walks over the keys that they see. Grid: (tiles, H).
extern "C" __global__ void __launch_bounds__(128, 2) attentionQueryGradient(
    Element *dq, const __grid_constant__ TileMap dy, const __grid_constant__ TileMap q,
    const __grid_constant__ TileMap k, const __grid_constant__ TileMap v,
    const float *logSumExp, const float *delta, const RowTile *tiles, Geometry geometry) {
  beginKernel();
  extern __shared__ __align__(TILE_ALIGNMENT) unsigned char raw[];
  __shared__ Arrivals arrivals;
  unsigned char *sharedQ = raw;                    // a tile
  unsigned char *sharedDY = sharedQ + TILE_BYTES;  // a tile
  unsigned char *sharedK = sharedDY + TILE_BYTES;
  unsigned char *sharedV = sharedK + SLOTS * TILE_BYTES;
  const RowTile tile = tiles[gridDim.x - 1 - blockIdx.x];  // the longest rows first
  const int head = blockIdx.y, kvHead = head / (geometry.heads / geometry.keyValueHeads);
  const i64 qStride = (i64)geometry.heads * HEAD_WIDTH;
  const i64 qBase = tile.first * qStride + head * HEAD_WIDTH;
  const int rows = min(TILE, tile.end - tile.first);
  const int query = tile.first + GROUP_WARP * 16 + QUAD_ROW;  // of this lane, and query + 8
  const int end = geometry.causal ? tile.first + rows : tile.end;

  const int steps = (end - tile.start + TILE - 1) / TILE;

  const auto bring = [&](int step, int slot, int others) {
    if (step >= steps) return;
    const int first = tile.start + step * TILE;
    arrivals.expect(slot, 2 + others);
    bringTile(sharedK + slot * TILE_BYTES, k, first, kvHead, arrivals, slot);
    bringTile(sharedV + slot * TILE_BYTES, v, first, kvHead, arrivals, slot);
  };
  const auto await = [&](int step, Place place) {
    awaitTiles(arrivals, place, sharedK + place.slot * TILE_BYTES,
               sharedV + place.slot * TILE_BYTES, end - tile.start - step * TILE);
  };
  if (threadIdx.x == 0) {
    arrivals.begin();
    bring(0, 0, 2);
    bringTile(sharedQ, q, tile.first, head, arrivals, 0);
    bringTile(sharedDY, dy, tile.first, head, arrivals, 0);
    bring(1, 1, 0);
  }
  __syncthreads();

  float bases[2], deltas[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const i64 at = (i64)min(query + 8 * i, tile.end - 1) * geometry.heads + head;
    bases[i] = logSumExp[at] * LOG2E;
    deltas[i] = delta[at];
  }
  Accumulator sum[PADDED / 8] = {}, p[TILE / 8], ds[TILE / 8];  // p ds [queries, keys]
  const float scale = geometry.scale * LOG2E;
  Place place;
  await(0, place);
  beginProducts();
  multiplyTiles(p, sharedQ, sharedK);
  multiplyTiles(ds, sharedDY, sharedV);
  commitProducts();
  waitForProducts<0>();

  for (int step = 0; step < steps; step++) {
    const Place next = place.next();
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

    __syncthreads();
    if (threadIdx.x == 0) bring(step + 2, next.next().slot, 0);
    if (step + 1 < steps) await(step + 1, next);
    beginProducts();
    multiplyWeights(sum, slopes, sharedK + place.slot * TILE_BYTES);
    multiplyTiles(p, sharedQ, sharedK + next.slot * TILE_BYTES);
    multiplyTiles(ds, sharedDY, sharedV + next.slot * TILE_BYTES);
    commitProducts();
    waitForProducts<0>();
    place = next;
  }
  const float scales[2] = {geometry.scale, geometry.scale};
  storeTile(dq + qBase, qStride, sum, rows, scales);
}
