// Attention of single rows to a cache, keys divided among blocks (split-KV), for the part of a
// block that split_softmax.cuh is for.
//
// Bound by reading the cache once. A key's columns lie in packs of sixteen bytes on neighbouring
// lanes; keys and values are on their way to shared memory, where every lane finds what it asked
// for itself, and every warp has a softmax of its own until the end. A block has neighbouring heads
// of the same keys, one after the other among its warps: memory is read in longer stretches. STEPS
// steps of a warp are on their way.

#define KEY_LOADS 4                                      // loads of keys of one step
#define KEYS (SIDE_BY_SIDE * KEY_LOADS)                  // of a warp's step
#define STEP (64 * KEY_LOADS)                            // packs of keys and values
#define ATTENTION_RING (ATTENTION_WARPS * STEPS * STEP)  // packs
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

// Keys begin ≤ j < end of a cache, KEYS of them at most: a warp's step. Keys past the end count for
// nothing.
struct Step {
  int begin, end;

  __device__ __forceinline__ int row(int u) const {
    return begin + u * SIDE_BY_SIDE + (int)LANE / KEY_PACKS;
  }
  __device__ __forceinline__ bool counts(int u) const {
    return LANE / KEY_PACKS < SIDE_BY_SIDE && row(u) < end;
  }
};

__device__ __forceinline__ void askForColumns(uint4 *slot, const Element *row, bool isReal) {
  const int column = LANE % KEY_PACKS * LANES;
  if (HEAD_WIDTH % LANES == 0) copyAsync(slot, row + column, isReal);
  else *slot = isReal ? loadColumns<HEAD_WIDTH>(row, column) : uint4{};
}

// Asks for a step's keys and values: packs of keys and of values in turn, 32 of each.
__device__ __forceinline__ void askFor(
    uint4 *slots, const Element *k, const Element *v, i64 stride, Step step) {
#pragma unroll
  for (int u = 0; u < KEY_LOADS; u++) {
    const bool counts = step.counts(u);
    const i64 row = counts ? step.row(u) * stride : 0;
    askForColumns(slots + u * 64, k + row, counts);
    askForColumns(slots + u * 64 + 32, v + row, counts);
  }
  commitCopies();
}

__device__ __forceinline__ void attend(
    Progress &seen, const float *query, const uint4 *slots, Step step) {
  float score[KEY_LOADS], top = seen.most;
#pragma unroll
  for (int u = 0; u < KEY_LOADS; u++) {
    const uint4 key = slots[u * 64];
    float s = 0;
#pragma unroll
    for (int i = 0; i < LANES; i++) s += column(key, i) * query[i];
#pragma unroll
    for (int d = 1; d < KEY_PACKS; d *= 2) {
      const float other = __shfl_down_sync(0xffffffffu, s, d);
      if (LANE % KEY_PACKS + d < KEY_PACKS) s += other;
    }
    s = __shfl_sync(0xffffffffu, s, LANE / KEY_PACKS * KEY_PACKS);
    score[u] = step.counts(u) ? s : -INFINITY_F;
    top = fmaxf(top, score[u]);
  }
  top = warpMax(top);
  const float shrink = power(seen.most - top);
  seen.most = top;
  seen.denominator *= shrink;
#pragma unroll
  for (int i = 0; i < LANES; i++) seen.sum[i] *= shrink;
#pragma unroll
  for (int u = 0; u < KEY_LOADS; u++) {
    const float p = power(score[u] - top);
    const uint4 value = slots[u * 64 + 32];
    seen.denominator += p;
#pragma unroll
    for (int i = 0; i < LANES; i++) seen.sum[i] += p * column(value, i);
  }
}

// Rows that attend to their caches, which lie elsewhere.
struct RowAttention {
  Element *output;    // [T, H·P]
  float *partial;     // [rows, H / group, splits, group, P + 2]: see `combine`
  u32 *arrivals;      // [rows, H / group]: zeros, and zeros again at the end
  const Element *q;   // [T, H·P]
  const int *positions, *owners;  // [T]
  NewRows news;
  int firstRow, firstSegment, heads, keyValueHeads;
  int group;   // heads of a block, which divides H and ATTENTION_WARPS
  int splits;  // blocks that share the keys
  float scale;
};

// Where one head's keys and values lie, and which of them a block has.
struct Keys {
  Element *k, *v;
  i64 stride;
  int length, begin, end;
};

__device__ __forceinline__ Keys keysOf(
    const RowAttention &a, const Addresses &keys, const Addresses &values, int t, int head,
    int split) {
  const int length = a.positions[t] + 1, segment = a.owners[t] - a.firstSegment;
  const int share = (length + a.splits - 1) / a.splits, begin = min(length, split * share);
  const i64 column = (i64)(head / (a.heads / a.keyValueHeads)) * HEAD_WIDTH;
  return {(Element *)keys.of[segment] + column, (Element *)values.of[segment] + column,
          (i64)a.keyValueHeads * HEAD_WIDTH, length, begin, min(length, begin + share)};
}

// A new key and value, as the cache will have them: a lane's pack of each.
struct NewKey { uint4 key, value; };

__device__ __forceinline__ NewKey newKeyOf(const NewRows &news, i64 at, const float *angles) {
  const int start = LANE % KEY_PACKS * LANES;
  float key[LANES];
  Pack rotated;
  loadRotated(key, news.k + at, start, angles, (int)news.rotary);
#pragma unroll
  for (int i = 0; i < LANES; i++) assign(rotated.v[i], key[i]);
  return {*(const uint4 *)&rotated, loadColumns<HEAD_WIDTH>(news.v + at, start)};
}

// Begins the kernel, and attends with row firstRow + `row`, heads place · group …, and share
// `split` of the keys. With new rows (one for each segment) it first rotates them and stores them
// in the caches. True for the block that had the last share of these heads: they are in the output.
// - ring: ATTENTION_RING packs.
// - isEarly: keys and values may be asked for before the kernel begins.
// - done: called when all of them have come.
template <class Done>
__device__ __forceinline__ bool attendShare(
    const RowAttention &a, const Addresses &keys, const Addresses &values, int row, int place,
    int split, uint4 *ring, int thread, bool isEarly, Done done) {
  const int t = a.firstRow + row, warp = thread / 32, head = place * a.group + warp % a.group;
  const int advance = ATTENTION_WARPS / a.group * KEYS;
  uint4 *slots = ring + warp * STEPS * STEP + LANE;
  Keys own;
  int at;
  auto ask = [&] {
    own = keysOf(a, keys, values, t, head, split);
    at = own.begin + warp / a.group * KEYS;
#pragma unroll
    for (int s = 0; s < STEPS; s++)
      askFor(slots + s * STEP, own.k, own.v, own.stride, {at + s * advance, own.end});
  };
  if (isEarly) ask();
  beginKernel();
  if (!isEarly) ask();

  const float *angles =
      a.news.table ? a.news.table + (own.length - 1) * a.news.rotary : nullptr;
  const int start = LANE % KEY_PACKS * LANES;
  float query[LANES];
  loadRotated(
      query, a.q + ((i64)t * a.heads + head) * HEAD_WIDTH, start, angles, (int)a.news.rotary);
#pragma unroll
  for (int i = 0; i < LANES; i++) query[i] *= a.scale * LOG2E;
  // The cache does not show the new row yet, so whoever has it takes it from where it comes.
  const bool hasNewest = a.news.table && own.begin < own.end && own.end == own.length;
  NewKey newest;
  if (hasNewest) {
    newest = newKeyOf(
        a.news, t * own.stride + (i64)(head / (a.heads / a.keyValueHeads)) * HEAD_WIDTH, angles);
    // Heads that share a key store the same.
    if (warp < a.group && LANE < KEY_PACKS) {
      storeColumns<HEAD_WIDTH>(own.k + (own.length - 1) * own.stride, start, newest.key);
      storeColumns<HEAD_WIDTH>(own.v + (own.length - 1) * own.stride, start, newest.value);
    }
  }
  Progress seen = {-INFINITY_F, 0, {}};
  for (int turn = 0; at < own.end; at += advance, turn = turn + 1 == STEPS ? 0 : turn + 1) {
    const Step step = {at, own.end};
    uint4 *arrived = slots + turn * STEP;
    waitForCopies<STEPS - 1>();
    if (hasNewest && at + KEYS >= own.end)
#pragma unroll
      for (int u = 0; u < KEY_LOADS; u++)
        if (step.row(u) == own.end - 1)
          arrived[u * 64] = newest.key, arrived[u * 64 + 32] = newest.value;
    attend(seen, query, arrived, step);
    askFor(arrived, own.k, own.v, own.stride, {at + STEPS * advance, own.end});
  }
  done();
  const i64 meeting = (i64)row * (a.heads / a.group) + place;
  float *shares = a.partial + meeting * a.splits * a.group * (HEAD_WIDTH + 2);
  Element *output = a.output + ((i64)t * a.heads + place * a.group) * HEAD_WIDTH;
  gather(
      a.splits == 1 ? output : nullptr, shares + split * a.group * (HEAD_WIDTH + 2), seen, a.group,
      thread);
  if (a.splits == 1) return true;
  if (!isLast(a.arrivals + meeting, a.splits, thread)) return false;
  combine(output, shares, a.splits, a.group, thread);
  return true;
}
