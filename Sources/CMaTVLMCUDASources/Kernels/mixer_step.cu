// One row of each sequence through the middle of a Mamba-2 mixer: convolution, scan, gate and norm.
// Compiled for one HEAD_WIDTH, P, and one STATE_WIDTH, N.

#define P HEAD_WIDTH
#define N STATE_WIDTH
#define WARPS 8
#define TAPS 4
#define COLUMNS (P + 2 * N)  // of x, B and C that a head sees

struct MixerWeights {
  const float *convolution;      // [C, TAPS]
  const float *convolutionBias;  // [C]
  const float *stepBias, *aLog, *skip;  // [H]
  const float *norm;             // [H·P]
};

// Column i of a head's x | B | C: silu of the convolution. The tail [TAPS − 1, C] moves on by a row.
__device__ __forceinline__ float convolved(
    const Element *x, float *tail, const MixerWeights &weights, int channel, int channels) {
  float taps[TAPS];
#pragma unroll
  for (int k = 0; k < TAPS - 1; k++) taps[k] = tail[(i64)k * channels + channel];
  taps[TAPS - 1] = toFloat(x[channel]);
  float sum = weights.convolutionBias[channel];
#pragma unroll
  for (int k = 0; k < TAPS; k++) sum += weights.convolution[channel * TAPS + k] * taps[k];
#pragma unroll
  for (int k = 0; k < TAPS - 1; k++) tail[(i64)k * channels + channel] = taps[k + 1];
  return toFloat(element(sum * sigmoid(sum)));
}

// y [S, H·P] ← projected [S, z | x | B | C | Δ], every head with an x and a B of its own.
// tails [S]: addresses of float32 [TAPS − 1, x | B | C]; states [S]: of float32 [H, P, N].
// Grid: (H, S).
extern "C" __global__ void __launch_bounds__(32 * WARPS) mixerStep(
    Element *y, const Element *projected, MixerWeights weights, const u64 *tails,
    const u64 *states, int heads, float epsilon) {
  beginKernel();
  const int head = blockIdx.x, warp = threadIdx.x / 32, inner = heads * P;
  const int channels = inner + 2 * heads * N;
  const Element *row = projected + (i64)blockIdx.y * (inner + channels + heads);
  float *tail = (float *)tails[blockIdx.y];
  float *state = (float *)states[blockIdx.y] + (i64)head * P * N;

  // A warp has every eighth row of the state; the rows are asked for before anything is known.
  const int rows = (P + WARPS - 1) / WARPS, packs = (N + 127) / 128;
  float4 h[rows][packs];
#pragma unroll
  for (int r = 0; r < rows; r++)
#pragma unroll
    for (int j = 0; j < packs; j++) {
      const int p = warp + r * WARPS, n = 4 * LANE + 128 * j;
      h[r][j] = p < P && n < N ? *(const float4 *)(state + p * N + n) : float4{};
    }

  __shared__ float columns[COLUMNS], gated[P];
  for (int i = threadIdx.x; i < COLUMNS; i += 32 * WARPS) {
    const int channel = i < P ? head * P + i
        : i < P + N ? inner + head * N + i - P : inner + heads * N + head * N + i - P - N;
    columns[i] = convolved(row + inner, tail, weights, channel, channels);
  }
  const float step = softplus(toFloat(row[inner + channels + head]) + weights.stepBias[head]);
  const float decay = expf(-expf(weights.aLog[head]) * step);
  __syncthreads();

  const float *x = columns, *b = columns + P, *c = columns + P + N;
#pragma unroll
  for (int r = 0; r < rows; r++) {
    const int p = warp + r * WARPS;
    if (p >= P) break;
    const float push = step * x[p];
    float sum = 0;
#pragma unroll
    for (int j = 0; j < packs; j++) {
      const int n = 4 * LANE + 128 * j;
      if (n >= N) continue;
      float *v = (float *)&h[r][j];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        v[i] = decay * v[i] + push * b[n + i];
        sum += v[i] * c[n + i];
      }
      *(float4 *)(state + p * N + n) = h[r][j];
    }
    sum = warpSum(sum);
    if (LANE == 0) {
      const float z = toFloat(row[head * P + p]);
      gated[p] = toFloat(element(sum + weights.skip[head] * x[p])) * z * sigmoid(z);
    }
  }
  __syncthreads();

  float squares = 0;
  for (int p = LANE; p < P; p += 32) squares += gated[p] * gated[p];
  const float inverse = rsqrtf(warpSum(squares) / P + epsilon);
  for (int p = threadIdx.x; p < P; p += 32 * WARPS)
    assign(
        y[((i64)blockIdx.y * heads + head) * P + p],
        gated[p] * inverse * weights.norm[head * P + p]);
}
