// Attention over tiles with an online softmax, forward, by warp groups (warpgroup.cuh); attention.cu
// has every other type, width and card.

#define GROUPS 2  // of warps, each with TILE queries
#define THREADS (128 * GROUPS)
#define QUERIES (TILE * GROUPS)
#define KEYS TILE
#define SEQUENCES 4  // whose caches a launch takes
#define SLACK 8.0f  // by how many powers of two a score may exceed what its row's sums are based on

// Of each of a lane's two rows: what its exponents are less by, and the sum of its powers so far.
struct Softmax { float base[2], denominator[2]; };

// Scores s, less their rows' bases, come above SLACK, or are the first: the bases rise to them.
__device__ __forceinline__ void rebase(
    Softmax &softmax, Accumulator *s, Accumulator *o, bool isFirst) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    float rise = s[0].c[2 * i];
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
      rise = fmaxf(rise, fmaxf(s[n].c[2 * i], s[n].c[2 * i + 1]));
    rise = quadMax(rise);
    if (!isFirst) rise = fmaxf(rise, 0.0f);
    softmax.base[i] += rise;
    const float shrink = power(-rise);
    softmax.denominator[i] *= shrink;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) s[n].c[2 * i] -= rise, s[n].c[2 * i + 1] -= rise;
#pragma unroll
    for (int n = 0; n < PADDED / 8; n++) o[n].c[2 * i] *= shrink, o[n].c[2 * i + 1] *= shrink;
  }
}

// s [64, KEYS] ← powers of scores of keys from `first` on, of which a lane's rows see those up to
// `last`. As long as scores stay near their row's base, nothing has to be scaled again.
__device__ __forceinline__ void takePowers(
    Softmax &softmax, Accumulator *s, Accumulator *o, int first, const int *last, float scale) {
  if (first + KEYS - 1 > min(last[0], last[1]))
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        if (first + n * 8 + QUAD_COLUMN + e % 2 > last[e / 2]) s[n].c[e] = -INFINITY_F;
  float most = -INFINITY_F;
#pragma unroll
  for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      s[n].c[e] = s[n].c[e] * scale - softmax.base[e / 2];
      most = fmaxf(most, s[n].c[e]);
    }
  if (first == 0 || __any_sync(0xffffffffu, most > SLACK)) rebase(softmax, s, o, first == 0);
#pragma unroll
  for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
    for (int e = 0; e < 4; e++) {
      s[n].c[e] = power(s[n].c[e]);
      softmax.denominator[e / 2] += s[n].c[e];
    }
}

struct TileMaps { TileMap of[SEQUENCES]; };

// See attention.cu; here keys and values are of one tensor beside q, or of the caches of at most
// SEQUENCES segments. Grid: (tiles, H).
extern "C" __global__ void __launch_bounds__(THREADS, 2) attention(
    Element *output, float *logSumExp, const __grid_constant__ TileMap q,
    const __grid_constant__ TileMaps keys, const __grid_constant__ TileMaps values,
    int firstSegment, const int *positions, const RowTile *tiles, Geometry geometry) {
  beginKernel();
  extern __shared__ __align__(TILE_ALIGNMENT) unsigned char raw[];
  __shared__ Arrivals arrivals;
  unsigned char *sharedQ = raw;                           // a tile for each group
  unsigned char *sharedK = sharedQ + GROUPS * TILE_BYTES;
  unsigned char *sharedV = sharedK + SLOTS * TILE_BYTES;
  const RowTile tile = tiles[gridDim.x - 1 - blockIdx.x];  // the longest rows first
  const int head = blockIdx.y, kvHead = head / (geometry.heads / geometry.keyValueHeads);
  const int group = threadIdx.x / 128;
  const i64 qStride = (i64)geometry.heads * HEAD_WIDTH;
  const int rows = min(QUERIES, tile.end - tile.first);
  const TileMap &k = keys.of[positions ? tile.segment - firstSegment : 0];
  const TileMap &v = values.of[positions ? tile.segment - firstSegment : 0];
  const int start = positions ? 0 : tile.start;  // the row of the first key

  // The last key that each row of this lane, any row of the group, and any of the tile sees.
  const int firstRow = tile.first + group * TILE;
  const int laneRow = firstRow + GROUP_WARP * 16 + QUAD_ROW;
  const auto lastOf = [&](int row) {
    return positions         ? positions[row]
           : geometry.causal ? row - tile.start
                             : tile.end - tile.start - 1;
  };
  const auto lastOfAny = [&](int first, int count) {
    return positions ? greatest(positions + first, count) : lastOf(first + count - 1);
  };
  const int last[2] = {
      lastOf(min(laneRow, tile.end - 1)), lastOf(min(laneRow + 8, tile.end - 1))};
  const int ownLast = lastOfAny(firstRow, min(TILE, tile.end - firstRow));
  const int tileLast = lastOfAny(tile.first, rows);
  // ⌈(last + 1) / KEYS⌉
  const int ownBlocks = (ownLast + KEYS) / KEYS, blocks = (tileLast + KEYS) / KEYS;

  const auto bring = [&](int block, int slot, int others) {
    if (block >= blocks) return;
    arrivals.expect(slot, 2 + others);
    bringTile(sharedK + slot * TILE_BYTES, k, start + block * KEYS, kvHead, arrivals, slot);
    bringTile(sharedV + slot * TILE_BYTES, v, start + block * KEYS, kvHead, arrivals, slot);
  };
  const auto await = [&](int block, Place place) {
    awaitTiles(arrivals, place, sharedK + place.slot * TILE_BYTES,
               sharedV + place.slot * TILE_BYTES, tileLast + 1 - block * KEYS);
  };
  const unsigned char *ownQ = sharedQ + group * TILE_BYTES;
  if (threadIdx.x == 0) {
    arrivals.begin();
    bring(0, 0, GROUPS);
#pragma unroll
    for (int i = 0; i < GROUPS; i++)
      bringTile(sharedQ + i * TILE_BYTES, q, tile.first + i * TILE, head, arrivals, 0);
    bring(1, 1, 0);
  }
  __syncthreads();

  Accumulator o[PADDED / 8] = {}, s[KEYS / 8];
  Softmax softmax = {};
  const float scale = geometry.scale * LOG2E;  // exponentials are powers of two
  Place place;
  await(0, place);
  beginProducts();
  multiplyTiles(s, ownQ, sharedK);
  commitProducts();
  waitForProducts<0>();

  for (int block = 0; block < blocks; block++) {
    const Place next = place.next();
    TileWeights weights;
    if (block < ownBlocks) {
      takePowers(softmax, s, o, block * KEYS, last, scale);
      asWeights(weights, s);
    }
    __syncthreads();  // behind this nobody reads the tiles of the block before any more
    if (threadIdx.x == 0) bring(block + 2, next.next().slot, 0);
    if (block + 1 < blocks) await(block + 1, next);
    if (block < ownBlocks) {
      // The next scores are asked for together with the values, so that each block waits once (after
      // the last one for nothing: a question in between would keep the products apart).
      beginProducts();
      multiplyWeights(o, weights, sharedV + place.slot * TILE_BYTES);
      multiplyTiles(s, ownQ, sharedK + next.slot * TILE_BYTES);
      commitProducts();
    }
    waitForProducts<0>();
    place = next;
  }

  float inverse[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const float sum = quadSum(softmax.denominator[i]);
    inverse[i] = sum > 0 ? 1.0f / sum : 0.0f;
    const int row = laneRow + 8 * i;
    if (logSumExp && LANE % 4 == 0 && row < tile.end)
      logSumExp[(i64)row * geometry.heads + head] = softmax.base[i] / LOG2E + logf(sum);
  }
  storeTile(
      output + firstRow * qStride + head * HEAD_WIDTH, qStride, o, tile.end - firstRow, inverse);
}
