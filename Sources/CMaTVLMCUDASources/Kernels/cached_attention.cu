// Attention of single rows to a cache, keys divided among blocks (split-KV). Compiled for one
// HEAD_WIDTH.
//
// Bound by reading the cache once, so nothing of it lies in shared memory: a key's columns lie in
// packs of sixteen bytes on neighbouring lanes, a warp asks for KEYS keys and values before it looks
// at the first, and every warp has a softmax of its own until the end.

#define WARPS 16
#define PACKS ((HEAD_WIDTH + LANES - 1) / LANES)  // lanes that share a key
#define SIDE_BY_SIDE (32 / PACKS)                 // keys that a warp loads at once
#define DEPTH 8                                   // loads of keys on their way
#define KEYS (SIDE_BY_SIDE * DEPTH)
#define WIDTH (PACKS * LANES)
#define LOG2E 1.4426950408889634f

#define SEGMENTS_AT_ONCE 32
struct Addresses { u64 of[SEGMENTS_AT_ONCE]; };

// Rows that are not in the caches yet, and the angles to rotate them and the queries by; no table:
// everything has been rotated and stored.
struct NewRows {
  const Element *k, *v;  // [T, G·P]
  const float *table;    // [positions, rotary]
  i64 rotary;
};

// Column d of a head's row, rotated by `angles` (half-split pairs) and rounded as `rotate` does.
__device__ __forceinline__ float rotated(
    const Element *row, int d, const float *angles, int rotary) {
  if (d >= HEAD_WIDTH) return 0;
  const float x = toFloat(row[d]);
  if (!angles || d >= rotary) return x;
  const int half = rotary / 2, pair = d < half ? d : d - half;
  const float c = angles[pair], s = angles[half + pair];
  const float other = toFloat(row[d < half ? d + half : d - half]);
  return toFloat(element(d < half ? x * c - other * s : x * c + other * s));
}

__device__ __forceinline__ Pack loadColumns(const Element *row, int column) {
  if (HEAD_WIDTH % LANES == 0) {
    const uint4 v = loadOnce((const uint4 *)(row + column));
    return *(const Pack *)&v;
  }
  Pack p;
#pragma unroll
  for (int i = 0; i < LANES; i++)
    p.v[i] = column + i < HEAD_WIDTH ? row[column + i] : element(0.0f);
  return p;
}

// What one warp has seen of its keys: each lane has the columns of its pack, of its share of keys.
struct Progress {
  float most, denominator;
  float sum[LANES];
};

// Adds keys begin ≤ j < end, KEYS at most.
__device__ __forceinline__ void attend(
    Progress &seen, const float *query, const Element *k, const Element *v, i64 stride, int begin,
    int end) {
  const int group = LANE / PACKS, column = LANE % PACKS * LANES;
  Pack keys[DEPTH], values[DEPTH];
#pragma unroll
  for (int u = 0; u < DEPTH; u++) {
    // Keys past the end count for nothing; the last one is read in their place.
    const i64 row = min(begin + u * SIDE_BY_SIDE + group, end - 1) * stride;
    keys[u] = loadColumns(k + row, column);
    values[u] = loadColumns(v + row, column);
  }
  float score[DEPTH], top = seen.most;
#pragma unroll
  for (int u = 0; u < DEPTH; u++) {
    float s = 0;
#pragma unroll
    for (int i = 0; i < LANES; i++) s += toFloat(keys[u].v[i]) * query[i];
#pragma unroll
    for (int d = 1; d < PACKS; d *= 2) {
      const float other = __shfl_down_sync(0xffffffffu, s, d);
      if (LANE % PACKS + d < PACKS) s += other;
    }
    s = __shfl_sync(0xffffffffu, s, group * PACKS);
    const bool counts = group < SIDE_BY_SIDE && begin + u * SIDE_BY_SIDE + group < end;
    score[u] = counts ? s : -INFINITY_F;
    top = fmaxf(top, score[u]);
  }
  top = warpMax(top);
  const float shrink = power(seen.most - top);
  seen.most = top;
  seen.denominator *= shrink;
#pragma unroll
  for (int i = 0; i < LANES; i++) seen.sum[i] *= shrink;
#pragma unroll
  for (int u = 0; u < DEPTH; u++) {
    const float p = power(score[u] - top);
    seen.denominator += p;
#pragma unroll
    for (int i = 0; i < LANES; i++) seen.sum[i] += p * toFloat(values[u].v[i]);
  }
}

#define MOST_SPLITS 512

// What the blocks of one head and row found, put together by the last of them.
// shares [splits, P + 2]: sums, then the maximum (of scores in powers of two) and the denominator.
__device__ __forceinline__ void combine(Element *output, const float *shares, int splits) {
  __shared__ float weights[MOST_SPLITS];
  __shared__ float total;
  if (threadIdx.x < 32) {
    float most = -INFINITY_F, denominator = 0;
    for (int s = LANE; s < splits; s += 32)
      most = fmaxf(most, __ldcg(shares + s * (HEAD_WIDTH + 2) + HEAD_WIDTH));
    most = warpMax(most);
    for (int s = LANE; s < splits; s += 32) {
      const float *share = shares + s * (HEAD_WIDTH + 2) + HEAD_WIDTH;
      weights[s] = power(__ldcg(share) - most);  // zero for a share without keys
      denominator += weights[s] * __ldcg(share + 1);
    }
    denominator = warpSum(denominator);
    if (LANE == 0) total = denominator;
  }
  __syncthreads();
  for (int d = threadIdx.x; d < HEAD_WIDTH; d += blockDim.x) {
    float sum = 0;
#pragma unroll 8
    for (int s = 0; s < splits; s++) 
      sum += weights[s] * __ldcg(shares + s * (HEAD_WIDTH + 2) + d);
    assign(output[d], sum / total);
  }
}

// output [T, H·P] ← softmax(scale · q kᵀ) v. With new rows (one for each segment) it first rotates
// them and stores them in the caches.
// - partial float32 [rows, H, splits, P + 2]: see `combine`.
// - arrivals [rows, H]: zeros, and zeros again at the end; not used for a single share.
// Grid: (splits, H, rows).
extern "C" __global__ void __launch_bounds__(32 * WARPS) splitAttention(
    Element *output, float *partial, u32 *arrivals, const Element *q, Addresses keys,
    Addresses values, const int *positions, const int *owners, NewRows news, int firstRow,
    int firstSegment, int heads, int keyValueHeads, float scale) {
  beginKernel();
  const int t = firstRow + blockIdx.z, head = blockIdx.y, splits = gridDim.x;
  const int kvHead = head / (heads / keyValueHeads), segment = owners[t] - firstSegment;
  const int length = positions[t] + 1, share = (length + splits - 1) / splits;
  const int begin = min(length, (int)blockIdx.x * share), end = min(length, begin + share);
  const i64 stride = (i64)keyValueHeads * HEAD_WIDTH;
  Element *k = (Element *)keys.of[segment] + kvHead * HEAD_WIDTH;
  Element *v = (Element *)values.of[segment] + kvHead * HEAD_WIDTH;
  const float *angles = news.table ? news.table + (length - 1) * news.rotary : nullptr;

  if (news.table && begin < end && end == length) {
    // Blocks of heads that share a key store the same.
    for (int d = threadIdx.x; d < HEAD_WIDTH; d += 32 * WARPS) {
      const i64 from = t * stride + kvHead * HEAD_WIDTH, to = (length - 1) * stride + d;
      assign(k[to], rotated(news.k + from, d, angles, news.rotary));
      v[to] = news.v[from + d];
    }
    __syncthreads();
  }
  const int warp = threadIdx.x / 32, group = LANE / PACKS, column = LANE % PACKS * LANES;
  float query[LANES];
#pragma unroll
  for (int i = 0; i < LANES; i++)
    query[i] = scale * LOG2E
        * rotated(q + ((i64)t * heads + head) * HEAD_WIDTH, column + i, angles, news.rotary);

  Progress seen = {-INFINITY_F, 0, {}};
  for (int first = begin + warp * KEYS; first < end; first += WARPS * KEYS)
    attend(seen, query, k, v, stride, first, end);

  // The warps, and the keys that lay side by side in them, come together.
  __shared__ float tops[WARPS], denominators[WARPS * SIDE_BY_SIDE];
  __shared__ float sums[WARPS * SIDE_BY_SIDE][WIDTH];
  if (LANE == 0) tops[warp] = seen.most;
  __syncthreads();
  float most = tops[0];
  for (int w = 1; w < WARPS; w++) most = fmaxf(most, tops[w]);
  const float shrink = seen.most == -INFINITY_F ? 0.0f : power(seen.most - most);
  if (group < SIDE_BY_SIDE) {
    const int row = warp * SIDE_BY_SIDE + group;
    if (column == 0) denominators[row] = seen.denominator * shrink;
#pragma unroll
    for (int i = 0; i < LANES; i++) sums[row][column + i] = seen.sum[i] * shrink;
  }
  __syncthreads();
  const i64 place = (i64)blockIdx.z * heads + head;
  float *found = partial + (place * splits + blockIdx.x) * (HEAD_WIDTH + 2);
  for (int d = threadIdx.x; d <= HEAD_WIDTH; d += 32 * WARPS) {
    float sum = 0;
    for (int r = 0; r < WARPS * SIDE_BY_SIDE; r++)
      sum += d < HEAD_WIDTH ? sums[r][d] : denominators[r];
    found[d < HEAD_WIDTH ? d : HEAD_WIDTH + 1] = sum;
    if (d == HEAD_WIDTH) found[HEAD_WIDTH] = most;
  }
  __shared__ bool isLast;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) isLast = splits == 1 || atomicAdd(arrivals + place, 1) == splits - 1;
  __syncthreads();
  if (!isLast) return;
  __threadfence();
  if (threadIdx.x == 0 && splits > 1) arrivals[place] = 0;
  combine(
      output + ((i64)t * heads + head) * HEAD_WIDTH,
      partial + place * splits * (HEAD_WIDTH + 2), splits);
}
