// How warps and blocks that have shares of one row's keys put together what they found: a part of a
// block, ATTENTION_WARPS warps, whose threads are counted from 0. Compiled for one HEAD_WIDTH.

#define ATTENTION_THREADS (32 * ATTENTION_WARPS)
#define HEADS_AT_ONCE 4  // most heads of a block
#define KEY_PACKS ((HEAD_WIDTH + LANES - 1) / LANES)  // lanes that share a key
#define SIDE_BY_SIDE (32 / KEY_PACKS)                 // keys that a warp loads at once
#define WIDTH (KEY_PACKS * LANES)

#define MOST_SPLITS 160
#define SHARES_AT_ONCE 16  // shares that a thread asks for at once

__device__ __forceinline__ void waitForAttention() { waitForThreads<2, ATTENTION_THREADS>(); }

// What one warp has seen of its keys: each lane has the columns of its pack, of its share of keys.
struct Progress {
  float most, denominator;
  float sum[LANES];
};

// The sum over the keys that lay side by side, for the first KEY_PACKS lanes.
__device__ __forceinline__ float overSides(float x) {
  float sum = x;
#pragma unroll
  for (int side = 1; side < SIDE_BY_SIDE; side++)
    sum += __shfl_sync(0xffffffffu, x, (LANE + side * KEY_PACKS) % 32);
  return sum;
}

// What the warps of each of `group` heads, and the keys that lay side by side in them, have seen
// comes together: in `output` [group, P] if that is all, or else in found [group, P + 2] (see
// `combine`).
__device__ __forceinline__ void gather(
    Element *output, float *found, const Progress &seen, int group, int thread) {
  __shared__ float tops[ATTENTION_WARPS], denominators[ATTENTION_WARPS];
  __shared__ float sums[ATTENTION_WARPS][WIDTH];
  const int warp = thread / 32;
  if (LANE == 0) tops[warp] = seen.most;
  waitForAttention();
  float most = -INFINITY_F;
  for (int w = warp % group; w < ATTENTION_WARPS; w += group) most = fmaxf(most, tops[w]);
  const float shrink = seen.most == -INFINITY_F ? 0.0f : power(seen.most - most);
  const float denominator = overSides(seen.denominator) * shrink;
  if (LANE == 0) denominators[warp] = denominator;
#pragma unroll
  for (int i = 0; i < LANES; i++) {
    const float sum = overSides(seen.sum[i]) * shrink;
    if (LANE < KEY_PACKS) sums[warp][LANE * LANES + i] = sum;
  }
  waitForAttention();
  for (int i = thread; i < group * HEAD_WIDTH; i += ATTENTION_THREADS) {
    const int head = i / HEAD_WIDTH, d = i % HEAD_WIDTH;
    float sum = 0, total = 0;
#pragma unroll 4
    for (int w = head; w < ATTENTION_WARPS; w += group) sum += sums[w][d], total += denominators[w];
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

// Whether this block is the last of `count` that come here with what they found.
__device__ __forceinline__ bool isLast(u32 *arrivals, int count, int thread) {
  __shared__ bool answer;
  waitForAttention();
  if (thread == 0) {
    __threadfence();
    answer = atomicAdd(arrivals, 1) == count - 1;
    __threadfence();
    if (answer) *arrivals = 0;
  }
  waitForAttention();
  return answer;
}

// By one warp: what each block's share of a head counts, zero for one without keys, and the head's
// denominator. found: maximum and denominator of the first share.
__device__ __forceinline__ void weigh(
    float *weights, float *total, const float *found, int splits, int stride) {
  constexpr int turns = MOST_SPLITS / 32;
  float tops[turns], denominators[turns], most = -INFINITY_F, sum = 0;
#pragma unroll
  for (int j = 0; j < turns; j++) {
    const int s = 32 * j + LANE;
    tops[j] = s < splits ? __ldcg(found + s * stride) : -INFINITY_F;
    denominators[j] = s < splits ? __ldcg(found + s * stride + 1) : 0.0f;
    most = fmaxf(most, tops[j]);
  }
  most = warpMax(most);
#pragma unroll
  for (int j = 0; j < turns; j++) {
    const float weight = power(tops[j] - most);
    if (32 * j + LANE < splits) weights[32 * j + LANE] = weight;
    sum += weight * denominators[j];
  }
  sum = warpSum(sum);
  if (LANE == 0) *total = sum;
}

// What the blocks of `group` heads of one row found, put together by the last of them.
// shares [splits, group, P + 2]: sums, then the maximum (of scores in powers of two) and the
// denominator.
__device__ __forceinline__ void combine(
    Element *output, const float *shares, int splits, int group, int thread) {
  __shared__ float weights[HEADS_AT_ONCE][MOST_SPLITS];
  __shared__ float totals[HEADS_AT_ONCE];
  const int warp = thread / 32, stride = group * (HEAD_WIDTH + 2);
  for (int first = 0; first < group * HEAD_WIDTH; first += ATTENTION_THREADS) {
    const int i = first + thread, head = min(i / HEAD_WIDTH, group - 1);
    const float *found = shares + head * (HEAD_WIDTH + 2) + i % HEAD_WIDTH;
    float kept[SHARES_AT_ONCE];
#pragma unroll
    for (int s = 0; s < SHARES_AT_ONCE; s++)
      kept[s] = s < splits ? __ldcg(found + s * stride) : 0.0f;
    if (first == 0) {
      if (warp < group)
        weigh(
            weights[warp], totals + warp, shares + warp * (HEAD_WIDTH + 2) + HEAD_WIDTH, splits,
            stride);
      waitForAttention();
    }
    float sum = 0;
#pragma unroll
    for (int s = 0; s < SHARES_AT_ONCE; s++) sum += s < splits ? weights[head][s] * kept[s] : 0.0f;
    for (int s = SHARES_AT_ONCE; s < splits; s++)
      sum += weights[head][s] * __ldcg(found + s * stride);
    if (i < group * HEAD_WIDTH) assign(output[i], sum / totals[head]);
  }
}
