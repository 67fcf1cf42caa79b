// Attention of single rows to a cache, keys divided among blocks (split-KV). Compiled for one
// HEAD_WIDTH.
//
// Bound by reading the cache once, so nothing of it lies in shared memory: a key's columns lie in
// packs of sixteen bytes on neighbouring lanes, a warp asks for KEYS keys and values before it looks
// at the first, and every warp has a softmax of its own until the end. A block has neighbouring
// heads of the same keys, one after the other among its warps: memory is read in longer stretches.

#define WARPS 16
#define HEADS_AT_ONCE 4  // most heads of a block
#define PACKS ((HEAD_WIDTH + LANES - 1) / LANES)  // lanes that share a key
#define SIDE_BY_SIDE (32 / PACKS)                 // keys that a warp loads at once
#define DEPTH 8                                   // loads of keys on their way
#define KEYS (SIDE_BY_SIDE * DEPTH)
#define WIDTH (PACKS * LANES)
#define LOG2E 1.4426950408889634f

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

// A lane's columns of a head's row, rotated by `angles` (half-split pairs) and rounded as `rotate`
// does.
__device__ __forceinline__ void loadRotated(
    float *y, const Element *row, int start, const float *angles, int rotary) {
  const int half = rotary / 2;
  if (HEAD_WIDTH % LANES == 0 && half % LANES == 0) {
    // Whole packs are rotated or not and have their pairs in one pack, so all loads go at once.
    const bool turns = angles && start < rotary, isFirst = start < half;
    const int pair = isFirst ? start : start - half;
    const uint4 own = loadColumns<HEAD_WIDTH>(row, start);
    uint4 other = own;
    float4 c[LANES / 4], s[LANES / 4];
    if (turns) {
      other = loadColumns<HEAD_WIDTH>(row, isFirst ? start + half : pair);
#pragma unroll
      for (int i = 0; i < LANES / 4; i++) {
        c[i] = *(const float4 *)(angles + pair + 4 * i);
        s[i] = *(const float4 *)(angles + half + pair + 4 * i);
      }
    }
#pragma unroll
    for (int i = 0; i < LANES; i++) {
      const float x = column(own, i), z = column(other, i);
      const float sine = ((const float *)s)[i], cosine = ((const float *)c)[i];
      y[i] = turns ? toFloat(element(isFirst ? x * cosine - z * sine : x * cosine + z * sine)) : x;
    }
  } else {
#pragma unroll
    for (int i = 0; i < LANES; i++) y[i] = rotated(row, start + i, angles, rotary);
  }
}

// Keys begin ≤ j < end of a cache, KEYS at most, on their way to one warp. Keys past the end count
// for nothing; the last one is read in their place.
struct Fetched {
  uint4 keys[DEPTH], values[DEPTH];
  int begin, end;

  __device__ __forceinline__ int row(int u) const {
    return min(begin + u * SIDE_BY_SIDE + (int)LANE / PACKS, end - 1);
  }
  __device__ __forceinline__ bool counts(int u) const {
    return LANE / PACKS < SIDE_BY_SIDE && begin + u * SIDE_BY_SIDE + (int)LANE / PACKS < end;
  }
};

__device__ __forceinline__ void fetch(
    Fetched &fetched, const Element *k, const Element *v, i64 stride, int begin, int end) {
  const int column = LANE % PACKS * LANES;
  fetched.begin = begin, fetched.end = end;
#pragma unroll
  for (int u = 0; u < DEPTH; u++) {
    fetched.keys[u] = loadColumns<HEAD_WIDTH>(k + fetched.row(u) * stride, column);
    fetched.values[u] = loadColumns<HEAD_WIDTH>(v + fetched.row(u) * stride, column);
  }
}

// Puts a row in the place of the last key.
__device__ __forceinline__ void replaceLast(
    Fetched &fetched, const uint4 &key, const uint4 &value) {
#pragma unroll
  for (int u = 0; u < DEPTH; u++)
    if (fetched.row(u) == fetched.end - 1) fetched.keys[u] = key, fetched.values[u] = value;
}

// What one warp has seen of its keys: each lane has the columns of its pack, of its share of keys.
struct Progress {
  float most, denominator;
  float sum[LANES];
};

__device__ __forceinline__ void attend(
    Progress &seen, const float *query, const Fetched &fetched) {
  float score[DEPTH], top = seen.most;
#pragma unroll
  for (int u = 0; u < DEPTH; u++) {
    float s = 0;
#pragma unroll
    for (int i = 0; i < LANES; i++) s += column(fetched.keys[u], i) * query[i];
#pragma unroll
    for (int d = 1; d < PACKS; d *= 2) {
      const float other = __shfl_down_sync(0xffffffffu, s, d);
      if (LANE % PACKS + d < PACKS) s += other;
    }
    s = __shfl_sync(0xffffffffu, s, LANE / PACKS * PACKS);
    score[u] = fetched.counts(u) ? s : -INFINITY_F;
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
    for (int i = 0; i < LANES; i++) seen.sum[i] += p * column(fetched.values[u], i);
  }
}

#define MOST_SPLITS 512

// What the blocks of `group` heads of one row found, put together by the last of them.
// shares [splits, group, P + 2]: sums, then the maximum (of scores in powers of two) and the
// denominator.
__device__ __forceinline__ void combine(
    Element *output, const float *shares, int splits, int group) {
  __shared__ float weights[HEADS_AT_ONCE][MOST_SPLITS];
  __shared__ float totals[HEADS_AT_ONCE];
  const int warp = threadIdx.x / 32, stride = group * (HEAD_WIDTH + 2);
  if (warp < group) {
    const float *found = shares + warp * (HEAD_WIDTH + 2) + HEAD_WIDTH;
    __shared__ float denominators[HEADS_AT_ONCE][MOST_SPLITS];
    float most = -INFINITY_F, total = 0;
    for (int s = LANE; s < splits; s += 32) {
      weights[warp][s] = __ldcg(found + s * stride);
      denominators[warp][s] = __ldcg(found + s * stride + 1);
      most = fmaxf(most, weights[warp][s]);
    }
    most = warpMax(most);
    for (int s = LANE; s < splits; s += 32) {
      weights[warp][s] = power(weights[warp][s] - most);  // zero for a share without keys
      total += weights[warp][s] * denominators[warp][s];
    }
    total = warpSum(total);
    if (LANE == 0) totals[warp] = total;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < group * HEAD_WIDTH; i += 32 * WARPS) {
    const int head = i / HEAD_WIDTH, d = i % HEAD_WIDTH;
    const float *found = shares + head * (HEAD_WIDTH + 2) + d;
    float sum = 0;
#pragma unroll 8
    for (int s = 0; s < splits; s++) sum += weights[head][s] * __ldcg(found + s * stride);
    assign(output[i], sum / totals[head]);
  }
}

// The sum over the keys that lay side by side, for the first PACKS lanes.
__device__ __forceinline__ float overSides(float x) {
  float sum = x;
#pragma unroll
  for (int side = 1; side < SIDE_BY_SIDE; side++)
    sum += __shfl_sync(0xffffffffu, x, (LANE + side * PACKS) % 32);
  return sum;
}

// What the warps of each of `group` heads, and the keys that lay side by side in them, have seen
// comes together: in `output` [group, P] if that is all, or else in found [group, P + 2] (see
// `combine`).
__device__ __forceinline__ void gather(
    Element *output, float *found, const Progress &seen, int group) {
  __shared__ float tops[WARPS], denominators[WARPS];
  __shared__ float sums[WARPS][WIDTH];
  const int warp = threadIdx.x / 32;
  if (LANE == 0) tops[warp] = seen.most;
  __syncthreads();
  float most = -INFINITY_F;
  for (int w = warp % group; w < WARPS; w += group) most = fmaxf(most, tops[w]);
  const float shrink = seen.most == -INFINITY_F ? 0.0f : power(seen.most - most);
  const float denominator = overSides(seen.denominator) * shrink;
  if (LANE == 0) denominators[warp] = denominator;
#pragma unroll
  for (int i = 0; i < LANES; i++) {
    const float sum = overSides(seen.sum[i]) * shrink;
    if (LANE < PACKS) sums[warp][LANE * LANES + i] = sum;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < group * HEAD_WIDTH; i += 32 * WARPS) {
    const int head = i / HEAD_WIDTH, d = i % HEAD_WIDTH;
    float sum = 0, total = 0;
#pragma unroll 4
    for (int w = head; w < WARPS; w += group) sum += sums[w][d], total += denominators[w];
    if (output) {
      assign(output[i], sum / total);
      continue;
    }
    float *share = found + head * (HEAD_WIDTH + 2);
    share[d] = sum;
    if (d == 0) share[HEAD_WIDTH + 1] = total;
  }
  if (!output && LANE == 0 && warp < group) found[warp * (HEAD_WIDTH + 2) + HEAD_WIDTH] = most;
}

// output [T, H·P] ← softmax(scale · q kᵀ) v. With new rows (one for each segment) it first rotates
// them and stores them in the caches.
// - partial float32 [rows, H / group, splits, group, P + 2]: see `combine`.
// - arrivals [rows, H / group]: zeros, and zeros again at the end; not used for a single share.
// - group: heads of a block, which divides H and WARPS.
// Grid: (splits, H / group, rows).
extern "C" __global__ void __launch_bounds__(32 * WARPS) splitAttention(
    Element *output, float *partial, u32 *arrivals, const Element *q, Addresses keys,
    Addresses values, const int *positions, const int *owners, NewRows news, int firstRow,
    int firstSegment, int heads, int keyValueHeads, int group, float scale) {
  // The host's table, there before any kernel that is still running began.
  const int t = firstRow + blockIdx.z, splits = gridDim.x, segment = owners[t] - firstSegment;
  const int warp = threadIdx.x / 32, head = blockIdx.y * group + warp % group;
  const i64 stride = (i64)keyValueHeads * HEAD_WIDTH;
  const i64 headColumn = head / (heads / keyValueHeads) * HEAD_WIDTH;
  Element *k = (Element *)keys.of[segment] + headColumn;
  Element *v = (Element *)values.of[segment] + headColumn;
  beginKernel();
  const int length = positions[t] + 1, share = (length + splits - 1) / splits;
  const int begin = min(length, (int)blockIdx.x * share), end = min(length, begin + share);
  const float *angles = news.table ? news.table + (length - 1) * news.rotary : nullptr;

  const int start = LANE % PACKS * LANES;
  float query[LANES];
  loadRotated(
      query, q + ((i64)t * heads + head) * HEAD_WIDTH, start, angles, (int)news.rotary);
#pragma unroll
  for (int i = 0; i < LANES; i++) query[i] *= scale * LOG2E;
  // The cache does not show the new row yet, so whoever has it takes it from where it comes.
  const bool hasNewest = news.table && begin < end && end == length;
  uint4 newKey, newValue;
  if (hasNewest) {
    const i64 source = t * stride + headColumn;
    float key[LANES];
    Pack rotatedKey;
    loadRotated(key, news.k + source, start, angles, (int)news.rotary);
#pragma unroll
    for (int i = 0; i < LANES; i++) assign(rotatedKey.v[i], key[i]);
    newKey = *(const uint4 *)&rotatedKey;
    newValue = loadColumns<HEAD_WIDTH>(news.v + source, start);
    // Heads that share a key store the same.
    if (warp < group && LANE < PACKS) {
      storeColumns<HEAD_WIDTH>(k + (length - 1) * stride, start, newKey);
      storeColumns<HEAD_WIDTH>(v + (length - 1) * stride, start, newValue);
    }
  }
  Progress seen = {-INFINITY_F, 0, {}};
  for (int first = begin + warp / group * KEYS; first < end; first += WARPS / group * KEYS) {
    Fetched fetched;
    fetch(fetched, k, v, stride, first, end);
    if (hasNewest && first + KEYS >= end) replaceLast(fetched, newKey, newValue);
    attend(seen, query, fetched);
  }

  const i64 place = (i64)blockIdx.z * gridDim.y + blockIdx.y;
  float *shares = partial + place * splits * group * (HEAD_WIDTH + 2);
  Element *target = output + ((i64)t * heads + blockIdx.y * group) * HEAD_WIDTH;
  gather(
      splits == 1 ? target : nullptr, shares + blockIdx.x * group * (HEAD_WIDTH + 2), seen, group);
  if (splits == 1) return;
  __shared__ bool isLast;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) isLast = atomicAdd(arrivals + place, 1) == splits - 1;
  __syncthreads();
  if (!isLast) return;
  __threadfence();
  if (threadIdx.x == 0) arrivals[place] = 0;
  combine(target, shares, splits, group);
}
