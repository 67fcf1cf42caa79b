// Products of few rows: bound by reading the weights once, so the weights' way to the processors
// decides. Several warps share a row of the weights and ask for it in packs of sixteen bytes, five at
// a time; nothing lies in shared memory, so that blocks are light and all of a matrix is on its way
// at once.

#define WARPS 8
#define DEPTH 5  // packs that a lane has on their way

__device__ __forceinline__ uint4 loadOnce(const uint4 *p) {
  uint4 v;
  asm volatile("ld.global.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}

// SHARING warps have a row.
template <int SHARING>
__device__ __forceinline__ void linearFewRows(
    Element *y, const Element *x, const Element *weight, const float *bias, int inputs,
    int outputs) {
  const int warp = threadIdx.x / 32, part = warp % SHARING;
  const int output = blockIdx.x * (WARPS / SHARING) + warp / SHARING;
  const uint4 *row = (const uint4 *)(weight + (i64)min(output, outputs - 1) * inputs);
  const int packs = inputs / LANES, step = 32 * SHARING, begin = part * 32 + LANE;

  float sum[INPUT_ROWS] = {};
  uint4 w[DEPTH];
  // The only reads above beginKernel() in all kernels: the host sees to it that nothing that is
  // still running can have written the weights.
#pragma unroll
  for (int j = 0; j < DEPTH; j++)
    if (begin + step * j < packs) w[j] = loadOnce(row + begin + step * j);
  beginKernel();
  for (int first = begin; first < packs; first += step * DEPTH) {
    if (first != begin)
#pragma unroll
      for (int j = 0; j < DEPTH; j++)
        if (first + step * j < packs) w[j] = loadOnce(row + first + step * j);
#pragma unroll
    for (int j = 0; j < DEPTH; j++) {
      const int pack = first + step * j;
      if (pack >= packs) break;
      const Pack p = *(const Pack *)&w[j];
#pragma unroll
      for (int r = 0; r < INPUT_ROWS; r++) {
        const Pack v = ((const Pack *)(x + (i64)r * inputs))[pack];
#pragma unroll
        for (int i = 0; i < LANES; i++) sum[r] += toFloat(p.v[i]) * toFloat(v.v[i]);
      }
    }
  }

  __shared__ float parts[WARPS][INPUT_ROWS];
#pragma unroll
  for (int r = 0; r < INPUT_ROWS; r++) {
    const float total = warpSum(sum[r]);
    if (LANE == 0) parts[warp][r] = total;
  }
  __syncthreads();
  if (part != 0 || LANE >= INPUT_ROWS || output >= outputs) return;
  float total = bias ? bias[output] : 0.0f;
#pragma unroll
  for (int i = 0; i < SHARING; i++) total += parts[warp + i][LANE];
  assign(y[(i64)LANE * outputs + output], total);
}

// y [INPUT_ROWS, O] ← x [INPUT_ROWS, I] weight [O, I]ᵀ + bias float32 [O] or null. I is a multiple
// of LANES. Grid: ⌈O / 4⌉ for two warps a row.
extern "C" __global__ void __launch_bounds__(32 * WARPS) linearShortRows(
    Element *y, const Element *x, const Element *weight, const float *bias, int inputs,
    int outputs) {
  linearFewRows<2>(y, x, weight, bias, inputs, outputs);
}

// The same with four warps a row. Grid: ⌈O / 2⌉.
extern "C" __global__ void __launch_bounds__(32 * WARPS) linearLongRows(
    Element *y, const Element *x, const Element *weight, const float *bias, int inputs,
    int outputs) {
  linearFewRows<4>(y, x, weight, bias, inputs, outputs);
}
