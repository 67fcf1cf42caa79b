// Products of few rows: bound by reading the weights once, so the weights' way to the processors
// decides. Every warp owns rows of the weights and reads them in packs of sixteen bytes.

#define THREADS 256
#define WARPS (THREADS / 32)
#define OWNED 2     // rows of the weights that a warp reads together
#define DEPTH 4     // packs that a lane has on their way for each of these rows

// y [INPUT_ROWS, O] ← x [INPUT_ROWS, I] weight [O, I]ᵀ + bias float32 [O] or null. I is a multiple of LANES.
// Grid: ⌈O / (OWNED · WARPS)⌉; shared memory: x.
extern "C" __global__ void __launch_bounds__(THREADS) linearFewRows(
    Element *y, const Element *x, const Element *weight, const float *bias, int inputs,
    int outputs) {
  extern __shared__ __align__(16) unsigned char raw[];
  Element *sharedX = (Element *)raw;  // [INPUT_ROWS, I]
  const int row0 = (blockIdx.x * WARPS + threadIdx.x / 32) * OWNED;
  const Element *rows[OWNED];
  for (int o = 0; o < OWNED; o++) rows[o] = weight + (i64)min(row0 + o, outputs - 1) * inputs;
  // Weights do not depend on the kernel before, and the second-level cache is never stale: their
  // first packs travel there while that kernel still runs.
  for (int o = 0; o < OWNED; o++)
    for (int j = LANE; j * 128 < inputs * (int)sizeof(Element); j += 32)
      asm volatile("prefetch.global.L2 [%0];" :: "l"((const char *)rows[o] + j * 128));
  beginKernel();

  for (int i = threadIdx.x * LANES; i < INPUT_ROWS * inputs; i += THREADS * LANES)
    *(Pack *)(sharedX + i) = *(const Pack *)(x + i);
  __syncthreads();
  float sum[OWNED][INPUT_ROWS] = {};
  const int packs = inputs / LANES;
  for (int first = 0; first < packs; first += 32 * DEPTH) {
    Pack w[OWNED][DEPTH];
#pragma unroll
    for (int j = 0; j < DEPTH; j++) {
      const int pack = first + j * 32 + LANE;
      if (pack < packs)
#pragma unroll
        for (int o = 0; o < OWNED; o++) w[o][j] = *(const Pack *)(rows[o] + pack * LANES);
    }
#pragma unroll
    for (int j = 0; j < DEPTH; j++) {
      const int pack = first + j * 32 + LANE;
      if (pack >= packs) continue;
#pragma unroll
      for (int r = 0; r < INPUT_ROWS; r++) {
        const Pack v = *(const Pack *)(sharedX + r * inputs + pack * LANES);
#pragma unroll
        for (int o = 0; o < OWNED; o++)
#pragma unroll
          for (int i = 0; i < LANES; i++)
            sum[o][r] += toFloat(w[o][j].v[i]) * toFloat(v.v[i]);
      }
    }
  }
#pragma unroll
  for (int o = 0; o < OWNED; o++)
#pragma unroll
    for (int r = 0; r < INPUT_ROWS; r++) {
      const float total = warpSum(sum[o][r]);
      if (LANE == 0 && row0 + o < outputs)
        assign(y[(i64)r * outputs + row0 + o], total + (bias ? bias[row0 + o] : 0.0f));
    }
}
