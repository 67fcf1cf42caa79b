// Products of few rows: bound by reading the weights once, so the weights' way to the processors
// decides. A warp owns one row of the weights and asks for it in packs of sixteen bytes, many at a
// time; blocks are small and keep nothing in shared memory, so that all of a matrix is on its way at
// once.

#define WARPS 4
#define DEPTH 10  // packs that a lane has on their way

// y [INPUT_ROWS, O] ← x [INPUT_ROWS, I] weight [O, I]ᵀ + bias float32 [O] or null. I is a multiple
// of LANES. Grid: ⌈O / WARPS⌉.
extern "C" __global__ void __launch_bounds__(32 * WARPS) linearFewRows(
    Element *y, const Element *x, const Element *weight, const float *bias, int inputs,
    int outputs) {
  const int output = blockIdx.x * WARPS + threadIdx.x / 32;
  const bool isReal = output < outputs;
  const Element *row = weight + (i64)min(output, outputs - 1) * inputs;
  // Weights do not depend on the kernel before, and the second-level cache is never stale: they
  // travel there while that kernel still runs.
  for (int j = LANE * 128; j < inputs * (int)sizeof(Element); j += 32 * 128)
    asm volatile("prefetch.global.L2 [%0];" :: "l"((const char *)row + j));
  beginKernel();
  if (!isReal) return;

  float sum[INPUT_ROWS] = {};
  const int packs = inputs / LANES;
  for (int first = LANE; first < packs; first += 32 * DEPTH) {
    uint4 w[DEPTH];
#pragma unroll
    for (int j = 0; j < DEPTH; j++)
      if (first + 32 * j < packs) w[j] = __ldcs((const uint4 *)row + first + 32 * j);
#pragma unroll
    for (int j = 0; j < DEPTH; j++) {
      const int pack = first + 32 * j;
      if (pack >= packs) break;
      const Pack p = *(const Pack *)&w[j];
#pragma unroll
      for (int r = 0; r < INPUT_ROWS; r++) {
        const uint4 bits = __ldg((const uint4 *)(x + (i64)r * inputs) + pack);
        const Pack v = *(const Pack *)&bits;
#pragma unroll
        for (int i = 0; i < LANES; i++) sum[r] += toFloat(p.v[i]) * toFloat(v.v[i]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < INPUT_ROWS; r++) {
    const float total = warpSum(sum[r]);
    if (LANE == 0) assign(y[(i64)r * outputs + output], total + (bias ? bias[output] : 0.0f));
  }
}
