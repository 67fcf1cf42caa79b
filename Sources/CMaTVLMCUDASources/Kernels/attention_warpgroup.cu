// Attention over tiles with an online softmax, forward, by warp groups (warpgroup.cuh); attention.cu
// has every other type, width and card.

#define GROUPS 2  // of warps, each with TILE queries
#define THREADS (128 * GROUPS)
#define QUERIES (TILE * GROUPS)
#define KEYS TILE
#define SLOTS 3  // tiles of keys and values: one in use, one still read by products, one on its way
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

// See attention.cu. Grid: (tiles, H).
extern "C" __global__ void __launch_bounds__(THREADS, 2) attention(
    Element *output, float *logSumExp, const Element *q, const Element *keys,
    const Element *values, Addresses cachedKeys, Addresses cachedValues, int firstSegment,
    const int *positions, const RowTile *tiles, Geometry geometry) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  unsigned char *sharedQ = raw;                           // a tile for each group
  unsigned char *sharedK = sharedQ + GROUPS * TILE_BYTES;
  unsigned char *sharedV = sharedK + SLOTS * TILE_BYTES;
  const RowTile tile = tiles[gridDim.x - 1 - blockIdx.x];  // the longest rows first
  const int head = blockIdx.y, kvHead = head / (geometry.heads / geometry.keyValueHeads);
  const int group = threadIdx.x / 128;
  const i64 qStride = (i64)geometry.heads * HEAD_WIDTH;
  const i64 kvStride = (i64)geometry.keyValueHeads * HEAD_WIDTH;
  const int rows = min(QUERIES, tile.end - tile.first);

  const Element *k, *v;
  if (positions) {
    k = (const Element *)cachedKeys.of[tile.segment - firstSegment];
    v = (const Element *)cachedValues.of[tile.segment - firstSegment];
  } else {
    k = keys + tile.start * kvStride;
    v = values + tile.start * kvStride;
  }

  // The last key that each row of this lane, and any row of the tile, sees.
  int last[2], tileLast = -1;
  const int firstRow = tile.first + group * TILE;
  const int laneRow = firstRow + GROUP_WARP * 16 + QUAD_ROW;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = min(laneRow + 8 * i, tile.end - 1);
    last[i] = positions ? positions[row]
              : geometry.causal ? row - tile.start : tile.end - tile.start - 1;
  }
  if (positions)
    for (int r = 0; r < rows; r++) tileLast = max(tileLast, positions[tile.first + r]);
  else
    tileLast = geometry.causal ? tile.first + rows - 1 - tile.start : tile.end - tile.start - 1;
  const int blocks = (tileLast + KEYS) / KEYS;  // ⌈(tileLast + 1) / KEYS⌉
  // Of these the first group need not see the last ones, which come after its rows.
  const bool seesAll = positions || !geometry.causal || group > 0;
  const int ownBlocks = seesAll ? blocks : min(blocks, (firstRow - tile.start) / KEYS + 1);

  // One group brings the keys, the other the values.
  const Element *source = (group == 0 ? k : v) + kvHead * HEAD_WIDTH;
  unsigned char *destination = group == 0 ? sharedK : sharedV;
  const auto bring = [&](int block, int slot) {
    if (block < blocks)
      loadTile(
          destination + slot * TILE_BYTES, source + (i64)block * KEYS * kvStride, kvStride,
          tileLast + 1 - block * KEYS);
    commitCopies();
  };
  unsigned char *ownQ = sharedQ + group * TILE_BYTES;
  const int ownRows = min(TILE, tile.end - firstRow);
  if (ownRows > 0) loadTile(ownQ, q + firstRow * qStride + head * HEAD_WIDTH, qStride, ownRows);
  bring(0, 0);
  bring(1, 1);

  Accumulator o[PADDED / 8] = {}, s[KEYS / 8];
  Softmax softmax = {};
  const float scale = geometry.scale * LOG2E;  // exponentials are powers of two
  shareCopies<1>();
  beginProducts();
  multiplyTiles(s, ownQ, sharedK);
  commitProducts();
  waitForProducts<0>();

  for (int block = 0, slot = 0; block < blocks; block++) {
    const int next = slot + 1 == SLOTS ? 0 : slot + 1, free = next + 1 == SLOTS ? 0 : next + 1;
    TileWeights weights;
    if (block < ownBlocks) {
      takePowers(softmax, s, o, block * KEYS, last, scale);
      asWeights(weights, s);
    }
    // Behind this nobody reads the tiles of the block before any more.
    shareCopies<0>();
    if (block < ownBlocks) {
      // The next scores are asked for together with the values, so that each block waits once (after
      // the last one for nothing: a question in between would keep the products apart).
      beginProducts();
      multiplyWeights(o, weights, sharedV + slot * TILE_BYTES);
      multiplyTiles(s, ownQ, sharedK + next * TILE_BYTES);
      commitProducts();
    }
    bring(block + 2, free);
    waitForProducts<0>();
    slot = next;
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
