// Causal depthwise convolution with SiLU: K taps over time, each column by itself.
//
// The usual K = 4 with whole packs of columns has kernels of its own (…Packs): a thread walks down
// ROWS rows of one pack with weights and the last rows in registers.

#define TAPS 4
#define ROWS 16

// bias[c] + Σ_k weight[c, k] x[t − K + 1 + k, c], rows before `start` from tail [K − 1, C] or zero.
__device__ __forceinline__ float preactivation(
    const Element *x, const float *weight, const float *bias, const float *tail, int t, int start,
    int c, int channels, int taps) {
  float sum = bias[c];
  for (int k = 0; k < taps; k++) {
    int source = t - taps + 1 + k;
    float v = source >= start ? toFloat(x[(i64)source * channels + c])
              : tail ? tail[(i64)(source - start + taps - 1) * channels + c] : 0.0f;
    sum += weight[c * taps + k] * v;
  }
  return sum;
}

#define AHEAD 4  // rows that are asked for together; divides ROWS

// Calls body(t, c, preactivations of the pack, pack of `beside`) for each row of this thread;
// `beside` [T, C] may be null.
template <class F>
__device__ __forceinline__ void walkPreactivations(
    const Element *x, const Element *beside, const float *weight, const float *bias,
    const u64 *tails, const int *owners, const int *starts, int rows, int channels, F body) {
  const int c = (blockIdx.y * blockDim.x + threadIdx.x) * LANES;
  if (c >= channels) return;
  float w[LANES][TAPS], b[LANES];
#pragma unroll
  for (int i = 0; i < LANES; i++) {
    const float4 four = *(const float4 *)(weight + (c + i) * TAPS);
    w[i][0] = four.x, w[i][1] = four.y, w[i][2] = four.z, w[i][3] = four.w;
    b[i] = bias[c + i];
  }
  const int first = blockIdx.x * ROWS, end = min(rows, first + ROWS);
  Pack window[TAPS - 1 + AHEAD];  // rows t − 3 … t + 3, of whatever segment
#pragma unroll
  for (int k = 0; k < TAPS - 1; k++)
    if (first - TAPS + 1 + k >= 0)
      window[k] = *(const Pack *)(x + (i64)(first - TAPS + 1 + k) * channels + c);
  for (int t = first; t < end; t += AHEAD) {
    Pack others[AHEAD];
    int segment[AHEAD], start[AHEAD];
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      const i64 row = min(t + j, end - 1);
      window[TAPS - 1 + j] = *(const Pack *)(x + row * channels + c);
      if (beside) others[j] = *(const Pack *)(beside + row * channels + c);
      segment[j] = owners[row];
    }
#pragma unroll
    for (int j = 0; j < AHEAD; j++) start[j] = starts[segment[j]];
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      if (t + j >= end) break;
      const float *tail = tails ? (const float *)tails[segment[j]] : nullptr;
      float sum[LANES];
#pragma unroll
      for (int i = 0; i < LANES; i++) sum[i] = b[i];
#pragma unroll
      for (int k = 0; k < TAPS; k++) {
        const int source = t + j - TAPS + 1 + k;
#pragma unroll
        for (int i = 0; i < LANES; i++) {
          float v = 0;
          if (source >= start[j]) v = toFloat(window[j + k].v[i]);
          else if (tail) v = tail[(i64)(source - start[j] + TAPS - 1) * channels + c + i];
          sum[i] += w[i][k] * v;
        }
      }
      body(t + j, c, sum, others[j]);
    }
#pragma unroll
    for (int k = 0; k < TAPS - 1; k++) window[k] = window[k + AHEAD];
  }
}

// y [T, C]; tails: null or the address of each segment's float32 [K − 1, C]. Grid: (T, ⌈C/256⌉).
extern "C" __global__ void causalConvolution(
    Element *y, const Element *x, const float *weight, const float *bias, const u64 *tails,
    const int *owners, const int *starts, int rows, int channels, int taps) {
  beginKernel();
  const int c = blockIdx.y * blockDim.x + threadIdx.x, t = blockIdx.x;
  if (c >= channels) return;
  const int segment = owners[t];
  const float *tail = tails ? (const float *)tails[segment] : nullptr;
  float p = preactivation(x, weight, bias, tail, t, starts[segment], c, channels, taps);
  assign(y[(i64)t * channels + c], p * sigmoid(p));
}

// The same. Grid: (⌈T / ROWS⌉, ⌈C / LANES / block⌉).
extern "C" __global__ void causalConvolutionPacks(
    Element *y, const Element *x, const float *weight, const float *bias, const u64 *tails,
    const int *owners, const int *starts, int rows, int channels, int taps) {
  beginKernel();
  walkPreactivations(
      x, nullptr, weight, bias, tails, owners, starts, rows, channels,
      [=](int t, int c, const float *p, const Pack &) {
        Pack out;
#pragma unroll
        for (int i = 0; i < LANES; i++) assign(out.v[i], p[i] * sigmoid(p[i]));
        *(Pack *)(y + (i64)t * channels + c) = out;
      });
}

// Replaces each tail by the last K − 1 of (tail, rows of x). Grid: (⌈C/256⌉, S).
extern "C" __global__ void updateTails(
    const u64 *tails, const Element *x, const int *starts, int channels, int taps) {
  beginKernel();
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  float *tail = (float *)tails[blockIdx.y];
  const int start = starts[blockIdx.y], end = starts[blockIdx.y + 1];
  for (int k = 0; k < taps - 1; k++) {  // ascending: a slot is read before it is overwritten
    int source = end - (taps - 1) + k;
    tail[(i64)k * channels + c] = source >= start
        ? toFloat(x[(i64)source * channels + c])
        : tail[(i64)(source - start + taps - 1) * channels + c];
  }
}

// silu′ at p, times g.
__device__ __forceinline__ float gradientBefore(float g, float p) {
  const float s = sigmoid(p);
  return g * s * (1.0f + p * (1.0f - s));
}

// dPre float32 [T, C] ← dy silu′(preactivation). Grid: (T, ⌈C/256⌉).
extern "C" __global__ void convolutionPreGradient(
    float *dPre, const Element *dy, const Element *x, const float *weight, const float *bias,
    const int *owners, const int *starts, int rows, int channels, int taps) {
  beginKernel();
  const int c = blockIdx.y * blockDim.x + threadIdx.x, t = blockIdx.x;
  if (c >= channels) return;
  float p = preactivation(x, weight, bias, nullptr, t, starts[owners[t]], c, channels, taps);
  i64 i = (i64)t * channels + c;
  dPre[i] = gradientBefore(toFloat(dy[i]), p);
}

// The same. Grid: (⌈T / ROWS⌉, ⌈C / LANES / block⌉).
extern "C" __global__ void convolutionPreGradientPacks(
    float *dPre, const Element *dy, const Element *x, const float *weight, const float *bias,
    const int *owners, const int *starts, int rows, int channels, int taps) {
  beginKernel();
  walkPreactivations(
      x, dy, weight, bias, nullptr, owners, starts, rows, channels,
      [=](int t, int c, const float *p, const Pack &g) {
        const i64 at = (i64)t * channels + c;
#pragma unroll
        for (int i = 0; i < LANES; i += 4)
          *(float4 *)(dPre + at + i) = make_float4(
              gradientBefore(toFloat(g.v[i]), p[i]), gradientBefore(toFloat(g.v[i + 1]), p[i + 1]),
              gradientBefore(toFloat(g.v[i + 2]), p[i + 2]),
              gradientBefore(toFloat(g.v[i + 3]), p[i + 3]));
      });
}

// dx [T, C] ← Σ_k weight[c, k] dPre[t + K − 1 − k, c] within the segment. Grid: (T, ⌈C/256⌉).
extern "C" __global__ void convolutionInputGradient(
    Element *dx, const float *dPre, const float *weight, const int *owners, const int *starts,
    int rows, int channels, int taps) {
  beginKernel();
  const int c = blockIdx.y * blockDim.x + threadIdx.x, t = blockIdx.x;
  if (c >= channels) return;
  const int end = starts[owners[t] + 1];
  float sum = 0;
  for (int k = 0; k < taps; k++) {
    int target = t + taps - 1 - k;
    if (target < end) sum += weight[c * taps + k] * dPre[(i64)target * channels + c];
  }
  assign(dx[(i64)t * channels + c], sum);
}

// The same, four columns a thread. Grid: (⌈T / ROWS⌉, ⌈C / 4 / block⌉).
extern "C" __global__ void convolutionInputGradientPacks(
    Element *dx, const float *dPre, const float *weight, const int *owners, const int *starts,
    int rows, int channels, int taps) {
  beginKernel();
  const int c = (blockIdx.y * blockDim.x + threadIdx.x) * 4;
  if (c >= channels) return;
  float w[4][TAPS];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float4 four = *(const float4 *)(weight + (c + i) * TAPS);
    w[i][0] = four.x, w[i][1] = four.y, w[i][2] = four.z, w[i][3] = four.w;
  }
  const int first = blockIdx.x * ROWS, last = min(rows, first + ROWS);
  float4 window[TAPS - 1 + AHEAD];  // rows t … t + 6, of whatever segment
#pragma unroll
  for (int k = 0; k < TAPS - 1; k++)
    window[k] = *(const float4 *)(dPre + (i64)min(first + k, rows - 1) * channels + c);
  for (int t = first; t < last; t += AHEAD) {
    int end[AHEAD];
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      const i64 row = min(t + j + TAPS - 1, rows - 1);
      window[TAPS - 1 + j] = *(const float4 *)(dPre + row * channels + c);
      end[j] = owners[min(t + j, last - 1)];
    }
#pragma unroll
    for (int j = 0; j < AHEAD; j++) end[j] = starts[end[j] + 1];
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      if (t + j >= last) break;
      float sum[4] = {};
#pragma unroll
      for (int k = 0; k < TAPS; k++)
        if (t + j + k < end[j]) {
          const float4 g = window[j + k];
          sum[0] += w[0][TAPS - 1 - k] * g.x;
          sum[1] += w[1][TAPS - 1 - k] * g.y;
          sum[2] += w[2][TAPS - 1 - k] * g.z;
          sum[3] += w[3][TAPS - 1 - k] * g.w;
        }
      Element *target = dx + (i64)(t + j) * channels + c;
#pragma unroll
      for (int i = 0; i < 4; i++) assign(target[i], sum[i]);
    }
#pragma unroll
    for (int k = 0; k < TAPS - 1; k++) window[k] = window[k + AHEAD];
  }
}

// Partial sums over slabs of rows: dWeight float32 [slabs, C, K], dBias [slabs, C].
// Grid: (⌈C/256⌉, slabs).
extern "C" __global__ void convolutionParameterGradient(
    float *dWeight, float *dBias, const float *dPre, const Element *x, const int *owners,
    const int *starts, int rows, int channels, int taps, int slab) {
  beginKernel();
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  const int first = blockIdx.y * slab, end = min(rows, first + slab);
  float biasSum = 0;
  dWeight += ((i64)blockIdx.y * channels + c) * taps;
  if (taps == TAPS) {
    float sum[TAPS] = {}, window[TAPS];  // rows t − 3 … t
#pragma unroll
    for (int k = 0; k < TAPS - 1; k++) {
      const int source = first - TAPS + 1 + k;
      window[k + 1] = source >= 0 ? toFloat(x[(i64)source * channels + c]) : 0.0f;
    }
#pragma unroll 4
    for (int t = first; t < end; t++) {
#pragma unroll
      for (int k = 0; k < TAPS - 1; k++) window[k] = window[k + 1];
      window[TAPS - 1] = toFloat(x[(i64)t * channels + c]);
      const float g = dPre[(i64)t * channels + c];
      const int start = starts[owners[t]];
      biasSum += g;
#pragma unroll
      for (int k = 0; k < TAPS; k++)
        sum[k] += t - TAPS + 1 + k >= start ? g * window[k] : 0.0f;
    }
#pragma unroll
    for (int k = 0; k < TAPS; k++) dWeight[k] = sum[k];
  } else {
    for (int t = first; t < end; t++) biasSum += dPre[(i64)t * channels + c];
    for (int k = 0; k < taps; k++) {
      float sum = 0;
      for (int t = first; t < end; t++) {
        const int source = t - taps + 1 + k;
        if (source >= starts[owners[t]])
          sum += dPre[(i64)t * channels + c] * toFloat(x[(i64)source * channels + c]);
      }
      dWeight[k] = sum;
    }
  }
  dBias[(i64)blockIdx.y * channels + c] = biasSum;
}
