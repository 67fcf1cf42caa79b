// Attention of single rows to a cache, keys divided among blocks (split-KV), and their combination.
// Compiled for one HEAD_WIDTH.

#define THREADS 128
#define KEYS 64
#define WIDTH ((HEAD_WIDTH + LANES - 1) / LANES * LANES)
#define LD (WIDTH + LANES)  // an odd number of 16-byte columns at even WIDTH / LANES
#define STAGES 3
#define LOG2E 1.4426950408889634f

#define SEGMENTS_AT_ONCE 32
struct Addresses { u64 of[SEGMENTS_AT_ONCE]; };

__device__ __forceinline__ void loadKeys(
    Element *shared, const Element *source, i64 stride, int valid) {
  loadTile<KEYS, HEAD_WIDTH, WIDTH, THREADS>(shared, LD, source, stride, valid);
}

// partial float32 [rows, H, splits, P + 2]: the unnormalised output of each share of the keys, then
// the maximum (of scores in powers of two) and the denominator. Grid: (splits, H, rows).
extern "C" __global__ void __launch_bounds__(THREADS) splitAttention(
    float *partial, const Element *q, Addresses keys, Addresses values, const int *positions,
    const int *owners, int firstRow, int firstSegment, int heads, int keyValueHeads,
    float scale) {
  beginKernel();
  extern __shared__ __align__(16) unsigned char raw[];
  Element *sharedK = (Element *)raw;                  // STAGES of [KEYS, LD]
  Element *sharedV = sharedK + STAGES * KEYS * LD;    // STAGES of [KEYS, LD]
  float *query = (float *)(sharedV + STAGES * KEYS * LD);  // [WIDTH]
  float *scores = query + WIDTH;                           // [KEYS]
  const int t = firstRow + blockIdx.z, head = blockIdx.y;
  const int splits = gridDim.x, kvHead = head / (heads / keyValueHeads);
  const i64 stride = (i64)keyValueHeads * HEAD_WIDTH;
  const int segment = owners[t] - firstSegment, length = positions[t] + 1;
  // Shares are whole tiles, so that no tile is loaded twice.
  const int tiles = (length + KEYS - 1) / KEYS, share = (tiles + splits - 1) / splits;
  const int begin = min(length, (int)blockIdx.x * share * KEYS);
  const int end = min(length, begin + share * KEYS);
  const int blocks = (end - begin + KEYS - 1) / KEYS;
  const Element *k = (const Element *)keys.of[segment] + begin * stride + kvHead * HEAD_WIDTH;
  const Element *v = (const Element *)values.of[segment] + begin * stride + kvHead * HEAD_WIDTH;

#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++) {
    if (stage < blocks) {
      const int first = stage * KEYS;
      loadKeys(sharedK + stage * KEYS * LD, k + first * stride, stride, end - begin - first);
      loadKeys(sharedV + stage * KEYS * LD, v + first * stride, stride, end - begin - first);
    }
    commitCopies();
  }
  for (int d = threadIdx.x; d < WIDTH; d += THREADS)
    query[d] = d < HEAD_WIDTH
        ? toFloat(q[((i64)t * heads + head) * HEAD_WIDTH + d]) * scale * LOG2E : 0.0f;

  // Thread pairs share a key for the scores; for the sum each thread has column pairs of a half of
  // the keys.
  const int pairs = WIDTH / 2;
  const int columnThreads = THREADS / 2;
  const int half = threadIdx.x / columnThreads, lane = threadIdx.x % columnThreads;
  float most = -INFINITY_F, denominator = 0;
  float sum[(WIDTH / 2 + THREADS / 2 - 1) / (THREADS / 2)][2] = {};

  for (int block = 0; block < blocks; block++) {
    waitForCopies<STAGES - 2>();
    __syncthreads();
    const int ahead = block + STAGES - 1;
    if (ahead < blocks) {
      const int first = ahead * KEYS, slot = ahead % STAGES * KEYS * LD;
      loadKeys(sharedK + slot, k + first * stride, stride, end - begin - first);
      loadKeys(sharedV + slot, v + first * stride, stride, end - begin - first);
    }
    commitCopies();
    const Element *tileK = sharedK + block % STAGES * KEYS * LD;
    const Element *tileV = sharedV + block % STAGES * KEYS * LD;
    const int count = min(KEYS, end - begin - block * KEYS);

    const int key = threadIdx.x / 2;
    float score = 0;
    for (int d = threadIdx.x % 2 * LANES; d < WIDTH; d += 2 * LANES) {
      Pack pack = *(const Pack *)(tileK + key * LD + d);
#pragma unroll
      for (int i = 0; i < LANES; i++) score += toFloat(pack.v[i]) * query[d + i];
    }
    score += __shfl_xor_sync(0xffffffffu, score, 1);
    if (key >= count) score = -INFINITY_F;
    if (threadIdx.x % 2 == 0) scores[key] = score;
    __syncthreads();

    float top = warpMax(fmaxf(scores[LANE], scores[LANE + 32]));
    top = fmaxf(top, most);
    const float shrink = power(most - top);
    most = top;
    float p0 = power(scores[LANE] - top), p1 = power(scores[LANE + 32] - top);
    denominator = denominator * shrink + warpSum(p0 + p1);
#pragma unroll
    for (int c = 0; c < sizeof(sum) / sizeof(sum[0]); c++) {
      const int pair = lane + c * columnThreads;
      sum[c][0] *= shrink;
      sum[c][1] *= shrink;
      for (int r = 0; r < 32; r++) {
        const float p = __shfl_sync(0xffffffffu, half ? p1 : p0, r);
        if (pair < pairs) {
          const Element *row = tileV + (half * 32 + r) * LD + 2 * pair;
          sum[c][0] += p * toFloat(row[0]);
          sum[c][1] += p * toFloat(row[1]);
        }
      }
    }
    __syncthreads();
  }
  waitForCopies<0>();

  // The two halves of the keys come together.
  __shared__ float other[WIDTH];
  for (int c = 0; c < sizeof(sum) / sizeof(sum[0]); c++) {
    const int pair = lane + c * columnThreads;
    if (half == 1 && pair < pairs) {
      other[2 * pair] = sum[c][0];
      other[2 * pair + 1] = sum[c][1];
    }
  }
  __syncthreads();
  float *target =
      partial + (((i64)blockIdx.z * heads + head) * splits + blockIdx.x) * (HEAD_WIDTH + 2);
  for (int c = 0; c < sizeof(sum) / sizeof(sum[0]); c++) {
    const int pair = lane + c * columnThreads;
    if (half == 0 && pair < pairs)
      for (int j = 0; j < 2; j++)
        if (2 * pair + j < HEAD_WIDTH) target[2 * pair + j] = sum[c][j] + other[2 * pair + j];
  }
  if (threadIdx.x == 0) {
    target[HEAD_WIDTH] = most;
    target[HEAD_WIDTH + 1] = denominator;
  }
}

#define MOST_SPLITS 512

// output [T, H·P] ← the shares of splitAttention, weighted by their denominators. Grid: (H, rows).
extern "C" __global__ void combineAttention(
    Element *output, const float *partial, int firstRow, int heads, int splits) {
  beginKernel();
  __shared__ float weights[MOST_SPLITS];
  __shared__ float total;
  const int head = blockIdx.x;
  const i64 t = firstRow + blockIdx.y;
  partial += ((i64)blockIdx.y * heads + head) * splits * (HEAD_WIDTH + 2);
  if (threadIdx.x < 32) {
    float most = -INFINITY_F, denominator = 0;
    for (int s = LANE; s < splits; s += 32)
      most = fmaxf(most, partial[s * (HEAD_WIDTH + 2) + HEAD_WIDTH]);
    most = warpMax(most);
    for (int s = LANE; s < splits; s += 32) {
      const float *share = partial + s * (HEAD_WIDTH + 2) + HEAD_WIDTH;
      const float weight = power(share[0] - most);
      weights[s] = weight;
      // A share without keys has no sums: its weight is zero, and what lies there is not read.
      denominator += weight > 0 ? weight * share[1] : 0.0f;
    }
    denominator = warpSum(denominator);
    if (LANE == 0) total = denominator;
  }
  __syncthreads();
  for (int d = threadIdx.x; d < HEAD_WIDTH; d += blockDim.x) {
    float sum = 0;
#pragma unroll 8
    for (int s = 0; s < splits; s++) {
      const float part = partial[s * (HEAD_WIDTH + 2) + d];
      sum += weights[s] > 0 ? weights[s] * part : 0.0f;
    }
    assign(output[(t * heads + head) * HEAD_WIDTH + d], sum / total);
  }
}
