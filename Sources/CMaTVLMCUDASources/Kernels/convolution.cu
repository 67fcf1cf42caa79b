// Causal depthwise convolution with SiLU: K taps over time, each column by itself. Kernels for the usual
// four taps are in convolution_fours.cu.

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

// Replaces each tail by the last K − 1 of (tail, rows of x), whose rows lie `stride` apart.
// Grid: (⌈C/256⌉, S).
extern "C" __global__ void updateTails(
    const u64 *tails, const Element *x, i64 stride, i64 column, const int *starts, int channels,
    int taps) {
  beginKernel();
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  x += column;
  float *tail = (float *)tails[blockIdx.y];
  const int start = starts[blockIdx.y], end = starts[blockIdx.y + 1];
  for (int k = 0; k < taps - 1; k++) {  // ascending: a slot is read before it is overwritten
    int source = end - (taps - 1) + k;
    tail[(i64)k * channels + c] = source >= start
        ? toFloat(x[(i64)source * stride + c])
        : tail[(i64)(source - start + taps - 1) * channels + c];
  }
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
  dPre[i] = toFloat(dy[i]) * siluGradient(p);
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

// Partial sums over slabs of rows: dWeight float32 [slabs, C, K], dBias [slabs, C].
// Grid: (⌈C/256⌉, slabs).
extern "C" __global__ void convolutionParameterGradient(
    float *dWeight, float *dBias, const float *dPre, const Element *x, const int *owners,
    const int *starts, int rows, int channels, int taps, int slab) {
  beginKernel();
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  const int first = blockIdx.y * slab, end = min(rows, first + slab);
  dWeight += ((i64)blockIdx.y * channels + c) * taps;
  float biasSum = 0;
  for (int t = first; t < end; t++) biasSum += dPre[(i64)t * channels + c];
  dBias[(i64)blockIdx.y * channels + c] = biasSum;
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
