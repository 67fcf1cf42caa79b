// Attention over tiles with an online softmax (Dao 2023, arXiv:2307.08691), forward.
// Compiled for one HEAD_WIDTH.

#define PADDED ((HEAD_WIDTH + 15) / 16 * 16)
#define LD (PADDED + 8)  // an odd number of 16-byte columns: no bank conflicts for ldmatrix
#define WARPS 4
#define THREADS (32 * WARPS)
// Row tiles of a warp: two share every fragment of keys and values that is loaded.
#define MT (sizeof(Element) == 2 && PADDED <= 128 ? 2 : 1)
#define QUERIES (16 * MT * WARPS)
#define KEYS (sizeof(Element) == 2 ? 64 : 32)

// q output [T, H·P], logSumExp float32 [T, H] or null. Keys and values: either [T, G·P] beside q
// (keys, values), or one cache of each segment (cachedKeys, cachedValues, from firstSegment) of
// which row t sees rows 0 … positions[t]. Grid: (tiles, H).
extern "C" __global__ void __launch_bounds__(THREADS) attention(
    Element *output, float *logSumExp, const Element *q, const Element *keys,
    const Element *values, Addresses cachedKeys, Addresses cachedValues, int firstSegment,
    const int *positions, const RowTile *tiles, Geometry geometry) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  Element *sharedQ = (Element *)raw;                // [QUERIES, LD]
  Element *sharedK = sharedQ + QUERIES * LD;        // two of [KEYS, LD]
  Element *sharedV = sharedK + 2 * KEYS * LD;       // two of [KEYS, LD]
  const RowTile tile = tiles[gridDim.x - 1 - blockIdx.x];  // the longest rows first
  const int head = blockIdx.y, kvHead = head / (geometry.heads / geometry.keyValueHeads);
  const int warp = threadIdx.x / 32;
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
  k += kvHead * HEAD_WIDTH;
  v += kvHead * HEAD_WIDTH;

  // The last key that each row of this lane, and any row of the tile, sees.
  int last[MT][2];
#pragma unroll
  for (int m = 0; m < MT; m++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int row = tile.first + (warp * MT + m) * 16 + QUAD_ROW + 8 * i;
      row = min(row, tile.end - 1);
      last[m][i] = positions ? positions[row]
                   : geometry.causal ? row - tile.start : tile.end - tile.start - 1;
    }
  const int tileLast =
      positions ? greatest(positions + tile.first, rows)
      : geometry.causal ? tile.first + rows - 1 - tile.start : tile.end - tile.start - 1;
  const int blocks = (tileLast + KEYS) / KEYS;  // ⌈(tileLast + 1) / KEYS⌉

  loadTile<QUERIES, HEAD_WIDTH, PADDED, THREADS>(
      sharedQ, LD, q + tile.first * qStride + head * HEAD_WIDTH, qStride, rows);
  loadTile<KEYS, HEAD_WIDTH, PADDED, THREADS>(sharedK, LD, k, kvStride, tileLast + 1);
  loadTile<KEYS, HEAD_WIDTH, PADDED, THREADS>(sharedV, LD, v, kvStride, tileLast + 1);
  commitCopies();

  Accumulator o[MT][PADDED / 8] = {};
  float most[MT][2], denominator[MT][2];
#pragma unroll
  for (int m = 0; m < MT; m++)
#pragma unroll
    for (int i = 0; i < 2; i++) most[m][i] = -INFINITY_F, denominator[m][i] = 0;
  const float scale = geometry.scale * LOG2E;  // exponentials are powers of two

  for (int block = 0; block < blocks; block++) {
    const int first = block * KEYS;
    if (block + 1 < blocks) {
      const int next = first + KEYS, slot = (block + 1) % 2 * KEYS * LD;
      loadTile<KEYS, HEAD_WIDTH, PADDED, THREADS>(
          sharedK + slot, LD, k + next * kvStride, kvStride, tileLast + 1 - next);
      loadTile<KEYS, HEAD_WIDTH, PADDED, THREADS>(
          sharedV + slot, LD, v + next * kvStride, kvStride, tileLast + 1 - next);
      commitCopies();
      waitForCopies<1>();
    } else {
      waitForCopies<0>();
    }
    __syncthreads();
    const Element *tileK = sharedK + block % 2 * KEYS * LD;
    const Element *tileV = sharedV + block % 2 * KEYS * LD;

    Accumulator s[MT][KEYS / 8] = {};  // scores [16, KEYS] of each row tile
#pragma unroll
    for (int kk = 0; kk < PADDED; kk += 16) {
      FragmentA<Element> a[MT];
#pragma unroll
      for (int m = 0; m < MT; m++) loadA(a[m], sharedQ, LD, (warp * MT + m) * 16, kk);
#pragma unroll
      for (int n = 0; n < KEYS / 8; n += 2) {
        FragmentB<Element> b, next;
        loadB(b, next, tileK, LD, n * 8, kk);
#pragma unroll
        for (int m = 0; m < MT; m++) {
          multiplyAdd(s[m][n], a[m], b);
          multiplyAdd(s[m][n + 1], a[m], next);
        }
      }
    }

#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        if (last[m][i] < first + KEYS - 1) {
#pragma unroll
          for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int j = 0; j < 2; j++)
              if (first + n * 8 + QUAD_COLUMN + j > last[m][i]) s[m][n].c[2 * i + j] = -INFINITY_F;
        }
        float top = most[m][i];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
          top = fmaxf(top, fmaxf(s[m][n].c[2 * i], s[m][n].c[2 * i + 1]));
        top = quadMax(top);
        const float base = top == -INFINITY_F ? 0.0f : top * scale;
        const float shrink = power(most[m][i] * scale - base);
        most[m][i] = top;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
          for (int j = 0; j < 2; j++) {
            float &x = s[m][n].c[2 * i + j];
            x = power(x * scale - base);
            sum += x;
          }
        denominator[m][i] = denominator[m][i] * shrink + sum;
#pragma unroll
        for (int n = 0; n < PADDED / 8; n++) {
          o[m][n].c[2 * i] *= shrink;
          o[m][n].c[2 * i + 1] *= shrink;
        }
      }
    }

#pragma unroll
    for (int kk = 0; kk < KEYS; kk += 16) {
      FragmentA<Element> a[MT];
#pragma unroll
      for (int m = 0; m < MT; m++) asA(a[m], s[m][kk / 8], s[m][kk / 8 + 1]);
#pragma unroll
      for (int n = 0; n < PADDED / 8; n += 2) {
        FragmentB<Element> b, next;
        loadBTransposed(b, next, tileV, LD, n * 8, kk);
#pragma unroll
        for (int m = 0; m < MT; m++) {
          multiplyAdd(o[m][n], a[m], b);
          multiplyAdd(o[m][n + 1], a[m], next);
        }
      }
    }
    __syncthreads();
  }

#pragma unroll
  for (int m = 0; m < MT; m++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float sum = quadSum(denominator[m][i]);
      const float inverse = sum > 0 ? 1.0f / sum : 0.0f;
      const int row = tile.first + (warp * MT + m) * 16 + QUAD_ROW + 8 * i;
      if (row >= tile.end) continue;
      Element *target = output + row * qStride + head * HEAD_WIDTH;
#pragma unroll
      for (int n = 0; n < PADDED / 8; n++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
          int column = n * 8 + QUAD_COLUMN + j;
          if (column < HEAD_WIDTH) assign(target[column], o[m][n].c[2 * i + j] * inverse);
        }
      if (logSumExp && LANE % 4 == 0)
        logSumExp[(i64)row * geometry.heads + head] = most[m][i] * geometry.scale + logf(sum);
    }
}
