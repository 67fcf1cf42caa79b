// Causal depthwise convolution with SiLU: K taps over time, each column by itself.

// A thread has PER channels side by side: one pack where the channels are whole packs, else one
// channel. Rows that threads read more than once come out of the first-level cache.
template <int PER>
struct Channels { float v[PER]; };

template <int PER>
__device__ __forceinline__ Channels<PER> loadChannels(const Element *p) {
  Channels<PER> y;
  if constexpr (PER == 1) {
    y.v[0] = toFloat(*p);
  } else {
    const Pack pack = *(const Pack *)p;
#pragma unroll
    for (int i = 0; i < PER; i++) y.v[i] = toFloat(pack.v[i]);
  }
  return y;
}

template <int PER>
__device__ __forceinline__ void storeChannels(Element *p, const Channels<PER> &x) {
  if constexpr (PER == 1) {
    assign(*p, x.v[0]);
  } else {
    Pack pack;
#pragma unroll
    for (int i = 0; i < PER; i++) assign(pack.v[i], x.v[i]);
    *(Pack *)p = pack;
  }
}

template <int PER>
__device__ __forceinline__ Channels<PER> loadFloats(const float *p) {
  Channels<PER> y;
#pragma unroll
  for (int i = 0; i < PER; i++) y.v[i] = p[i];
  return y;
}

// bias[c] + Σ_k weight[c, k] x[t − K + 1 + k, c], rows before `start` from tail [K − 1, C] or zero.
template <int PER>
__device__ __forceinline__ Channels<PER> preactivation(
    const Element *x, const float *weight, const float *bias, const float *tail, int t, int start,
    int c, int channels, int taps) {
  Channels<PER> sum = loadFloats<PER>(bias + c);
  for (int k = 0; k < taps; k++) {
    const int source = t - taps + 1 + k;
    Channels<PER> v = {};
    if (source >= start) v = loadChannels<PER>(x + (i64)source * channels + c);
    else if (tail) v = loadFloats<PER>(tail + (i64)(source - start + taps - 1) * channels + c);
#pragma unroll
    for (int i = 0; i < PER; i++) sum.v[i] += weight[(c + i) * taps + k] * v.v[i];
  }
  return sum;
}

template <int PER>
__device__ __forceinline__ void convolve(
    Element *y, const Element *x, const float *weight, const float *bias, const u64 *tails,
    const int *owners, const int *starts, int channels, int taps) {
  const int c = (blockIdx.y * blockDim.x + threadIdx.x) * PER, t = blockIdx.x;
  if (c >= channels) return;
  const int segment = owners[t];
  const float *tail = tails ? (const float *)tails[segment] : nullptr;
  auto p = preactivation<PER>(x, weight, bias, tail, t, starts[segment], c, channels, taps);
#pragma unroll
  for (int i = 0; i < PER; i++) p.v[i] *= sigmoid(p.v[i]);
  storeChannels<PER>(y + (i64)t * channels + c, p);
}

// y [T, C]; tails: null or the address of each segment's float32 [K − 1, C].
// Grid: (T, ⌈C / 256⌉) or, with whole packs, (T, ⌈C / LANES / 256⌉); so for the others below.
extern "C" __global__ void causalConvolution(
    Element *y, const Element *x, const float *weight, const float *bias, const u64 *tails,
    const int *owners, const int *starts, int channels, int taps) {
  beginKernel();
  if (channels % LANES == 0)
    convolve<LANES>(y, x, weight, bias, tails, owners, starts, channels, taps);
  else
    convolve<1>(y, x, weight, bias, tails, owners, starts, channels, taps);
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

template <int PER>
__device__ __forceinline__ void preGradient(
    float *dPre, const Element *dy, const Element *x, const float *weight, const float *bias,
    const int *owners, const int *starts, int channels, int taps) {
  const int c = (blockIdx.y * blockDim.x + threadIdx.x) * PER, t = blockIdx.x;
  if (c >= channels) return;
  const auto p =
      preactivation<PER>(x, weight, bias, nullptr, t, starts[owners[t]], c, channels, taps);
  const i64 at = (i64)t * channels + c;
  const auto g = loadChannels<PER>(dy + at);
#pragma unroll
  for (int i = 0; i < PER; i++) {
    const float s = sigmoid(p.v[i]);
    dPre[at + i] = g.v[i] * s * (1.0f + p.v[i] * (1.0f - s));
  }
}

// dPre float32 [T, C] ← dy silu′(preactivation).
extern "C" __global__ void convolutionPreGradient(
    float *dPre, const Element *dy, const Element *x, const float *weight, const float *bias,
    const int *owners, const int *starts, int channels, int taps) {
  beginKernel();
  if (channels % LANES == 0)
    preGradient<LANES>(dPre, dy, x, weight, bias, owners, starts, channels, taps);
  else
    preGradient<1>(dPre, dy, x, weight, bias, owners, starts, channels, taps);
}

template <int PER>
__device__ __forceinline__ void inputGradient(
    Element *dx, const float *dPre, const float *weight, const int *owners, const int *starts,
    int channels, int taps) {
  const int c = (blockIdx.y * blockDim.x + threadIdx.x) * PER, t = blockIdx.x;
  if (c >= channels) return;
  const int end = starts[owners[t] + 1];
  Channels<PER> sum = {};
  for (int k = 0; k < taps; k++) {
    const int target = t + taps - 1 - k;
    if (target >= end) continue;
    const auto g = loadFloats<PER>(dPre + (i64)target * channels + c);
#pragma unroll
    for (int i = 0; i < PER; i++) sum.v[i] += weight[(c + i) * taps + k] * g.v[i];
  }
  storeChannels<PER>(dx + (i64)t * channels + c, sum);
}

// dx [T, C] ← Σ_k weight[c, k] dPre[t + K − 1 − k, c] within the segment.
extern "C" __global__ void convolutionInputGradient(
    Element *dx, const float *dPre, const float *weight, const int *owners, const int *starts,
    int channels, int taps) {
  beginKernel();
  if (channels % LANES == 0)
    inputGradient<LANES>(dx, dPre, weight, owners, starts, channels, taps);
  else
    inputGradient<1>(dx, dPre, weight, owners, starts, channels, taps);
}

// Partial sums over slabs of rows: dWeight float32 [slabs, C, K], dBias [slabs, C].
// Grid: (⌈C/256⌉, slabs, K): one tap each.
extern "C" __global__ void convolutionParameterGradient(
    float *dWeight, float *dBias, const float *dPre, const Element *x, const int *owners,
    const int *starts, int rows, int channels, int taps, int slab) {
  beginKernel();
  const int c = blockIdx.x * blockDim.x + threadIdx.x, k = blockIdx.z;
  if (c >= channels) return;
  const int first = blockIdx.y * slab, end = min(rows, first + slab);
  float sum = 0, biasSum = 0;
#pragma unroll 4
  for (int t = first; t < end; t++) {
    const int source = t - taps + 1 + k;
    const float g = dPre[(i64)t * channels + c];
    biasSum += g;
    if (source >= starts[owners[t]]) sum += g * toFloat(x[(i64)source * channels + c]);
  }
  if (k == 0) dBias[(i64)blockIdx.y * channels + c] = biasSum;
  dWeight[((i64)blockIdx.y * channels + c) * taps + k] = sum;
}
