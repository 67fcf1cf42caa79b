// One row through a head of the middle of a Mamba-2 mixer (convolution, scan, gate and norm): a part
// of a block, MIXER_THREADS threads, which are counted from 0. Compiled for one HEAD_WIDTH, P, and one
// STATE_WIDTH, N.

#define P HEAD_WIDTH
#define N STATE_WIDTH
#define TAPS 4
#define MIXER_WARPS 8
#define MIXER_THREADS (32 * MIXER_WARPS)
#define COLUMNS (P + 2 * N)  // of x, B and C that a head sees

struct MixerWeights {
  const float *convolution;      // [C, TAPS]
  const float *convolutionBias;  // [C]
  const float *stepBias, *aLog, *skip;  // [H]
  const float *norm;             // [H·P]
};

// What the convolution of one channel needs besides the new row. The tail [TAPS − 1, C] moves on by
// a row.
struct Channel {
  float before[TAPS - 1], weights[TAPS], bias;

  __device__ __forceinline__ void load(const MixerWeights &all, int channel) {
    bias = all.convolutionBias[channel];
#pragma unroll
    for (int k = 0; k < TAPS; k++) weights[k] = all.convolution[channel * TAPS + k];
  }
  __device__ __forceinline__ void load(const float *tail, int channel, int channels) {
#pragma unroll
    for (int k = 0; k < TAPS - 1; k++) before[k] = tail[(i64)k * channels + channel];
  }
  // silu of the convolution
  __device__ __forceinline__ float advance(float *tail, float x, int channel, int channels) const {
    float sum = bias + weights[TAPS - 1] * x;
#pragma unroll
    for (int k = 0; k < TAPS - 1; k++) {
      sum += weights[k] * before[k];
      tail[(i64)k * channels + channel] = k + 1 < TAPS - 1 ? before[k + 1] : x;
    }
    return toFloat(element(sum * sigmoid(sum)));
  }
};

__device__ __forceinline__ void waitForMixer() { waitForThreads<2, MIXER_THREADS>(); }

// What a sequence has left behind, moved on by a row.
struct MixerState {
  float *tail;   // [TAPS − 1, x | B | C]
  float *state;  // [H, P, N]
};

// Begins the kernel, and mixes: head `head` of y [H·P] ← row [z | x | B | C | Δ], every head with an
// x and a B of its own.
// - isEarly: tail and state may be read before the kernel begins.
__device__ __forceinline__ void mixHead(
    Element *y, const Element *row, const MixerWeights &weights, const MixerState &past, int head,
    int heads, float epsilon, int thread, bool isEarly) {
  const int warp = thread / 32, inner = heads * P, channels = inner + 2 * heads * N;
  float *state = past.state + (i64)head * P * N;
  // Channel of a thread's column of x | B | C.
  auto channelOf = [&](int turn) {
    const int i = min(thread + turn * MIXER_THREADS, COLUMNS - 1);
    return i < P ? head * P + i
        : i < P + N ? inner + head * N + i - P : inner + heads * N + head * N + i - P - N;
  };

  // Everything but the new row is asked for first; a warp has every eighth row of the state.
  constexpr int rows = (P + MIXER_WARPS - 1) / MIXER_WARPS, packs = (N + 127) / 128;
  constexpr int turns = (COLUMNS + MIXER_THREADS - 1) / MIXER_THREADS;
  float4 h[rows][packs];
  Channel own[turns];
  auto loadPast = [&] {
#pragma unroll
    for (int r = 0; r < rows; r++)
#pragma unroll
      for (int j = 0; j < packs; j++) {
        const int p = warp + r * MIXER_WARPS, n = 4 * LANE + 128 * j;
        h[r][j] = p < P && n < N ? *(const float4 *)(state + p * N + n) : float4{};
      }
#pragma unroll
    for (int t = 0; t < turns; t++) own[t].load(past.tail, channelOf(t), channels);
  };
#pragma unroll
  for (int t = 0; t < turns; t++) own[t].load(weights, channelOf(t));
  const float stepBias = weights.stepBias[head], a = -expf(weights.aLog[head]);
  const float skip = weights.skip[head];
  if (isEarly) loadPast();
  beginKernel();
  if (!isEarly) loadPast();

  __shared__ float columns[COLUMNS], gated[P];
#pragma unroll
  for (int t = 0; t < turns; t++) {
    const int i = thread + t * MIXER_THREADS, channel = channelOf(t);
    if (i < COLUMNS)
      columns[i] = own[t].advance(past.tail, toFloat(row[inner + channel]), channel, channels);
  }
  const float step = softplus(toFloat(row[inner + channels + head]) + stepBias);
  const float decay = expf(a * step);
  waitForMixer();

  const float *x = columns, *b = columns + P, *c = columns + P + N;
#pragma unroll
  for (int r = 0; r < rows; r++) {
    const int p = warp + r * MIXER_WARPS;
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
      gated[p] = toFloat(element(sum + skip * x[p])) * z * sigmoid(z);
    }
  }
  waitForMixer();

  float squares = 0;
  for (int p = LANE; p < P; p += 32) squares += gated[p] * gated[p];
  const float inverse = rsqrtf(warpSum(squares) / P + epsilon);
  for (int p = thread; p < P; p += MIXER_THREADS)
    assign(y[head * P + p], gated[p] * inverse * weights.norm[head * P + p]);
}
