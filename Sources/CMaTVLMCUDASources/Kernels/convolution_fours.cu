// The convolution of convolution.cu for four taps, and columns in fours: a thread walks down rows of four
// columns, with their weights and the last rows in registers. These kernels read columns of a wider matrix,
// and write to up to three tensors that have the columns side by side.

#define TAPS 4
#define AHEAD 4  // rows that are asked for together; row r of a walk has slot r % 4 of every window
#define FORWARD_ROWS 16
#define GRADIENT_ROWS 32

// Four columns of a row, as they are in memory.
struct alignas(4 * sizeof(Element)) Four { Element v[4]; };

// Tensors that have the columns side by side: widths [0], [1], and what is left of `channels`.
struct Parts {
  Element *at[3];
  int widths[2];
};

// Column c of them, and how far apart its rows lie.
struct Place { Element *column; int stride; };

__device__ __forceinline__ Place placeOf(const Parts &parts, int c, int channels) {
  const int ends[2] = {parts.widths[0], parts.widths[0] + parts.widths[1]};
  if (c < ends[0]) return {parts.at[0] + c, parts.widths[0]};
  if (c < ends[1]) return {parts.at[1] + c - ends[0], parts.widths[1]};
  return {parts.at[2] + c - ends[1], channels - ends[1]};
}

// The segment in which a walk is.
struct Walk {
  const int *starts;
  int segment, start, end;

  __device__ __forceinline__ Walk(const int *owners, const int *starts, int row)
      : starts(starts), segment(owners[row]), start(starts[segment]), end(starts[segment + 1]) {}

  // Whether row `row`, which follows the last one, begins a segment.
  __device__ __forceinline__ bool enters(int row) {
    if (row < end) return false;
    do {
      start = end;
      end = starts[++segment + 1];
    } while (row >= end);
    return true;
  }
};

// Weights of four columns, and the rows of x that they see.
struct Taps {
  float weight[TAPS][4], bias[4], window[TAPS][4];

  __device__ __forceinline__ Taps(const float *weights, const float *biases, int c) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
      for (int k = 0; k < TAPS; k++) weight[k][i] = weights[(c + i) * TAPS + k];
      bias[i] = biases[c + i];
    }
  }

  // The rows before row `t` of x, which has slot `slot`: of the tail or zeros before `start`.
  __device__ __forceinline__ void fill(
      const Element *x, i64 stride, const float *tail, int channels, int start, int t, int slot) {
#pragma unroll
    for (int k = 1; k < TAPS; k++) {
      const int row = t - k;
      float *values = window[(slot + TAPS - k) % TAPS];
#pragma unroll
      for (int i = 0; i < 4; i++)
        values[i] = row >= start ? toFloat(x[row * stride + i])
                    : tail       ? tail[(i64)(row - start + TAPS - 1) * channels + i]
                                 : 0.0f;
    }
  }

  __device__ __forceinline__ void take(const Four &row, int slot) {
#pragma unroll
    for (int i = 0; i < 4; i++) window[slot][i] = toFloat(row.v[i]);
  }

  // Of column i, at the row of slot `slot`.
  __device__ __forceinline__ float preactivation(int slot, int i) const {
    float sum = bias[i];
#pragma unroll
    for (int k = 0; k < TAPS; k++) sum += weight[k][i] * window[(slot + 1 + k) % TAPS][i];
    return sum;
  }
};

// y ← columns `column` … of x, whose rows lie `stride` apart. tails: null or the address of each segment's
// float32 [3, C].
// Grid: (⌈T / FORWARD_ROWS⌉, ⌈C / 4 / block⌉).
extern "C" __global__ void causalConvolutionFours(
    const __grid_constant__ Parts y, const Element *x, i64 stride, i64 column, const float *weight,
    const float *bias, const u64 *tails, const int *owners, const int *starts, int rows,
    int channels) {
  beginKernel();
  const int c = (blockIdx.y * blockDim.x + threadIdx.x) * 4;
  if (c >= channels) return;
  x += column + c;
  const int first = blockIdx.x * FORWARD_ROWS, last = min(rows, first + FORWARD_ROWS);
  const Place target = placeOf(y, c, channels);
  Walk walk(owners, starts, first);
  Taps taps(weight, bias, c);
  const auto fill = [&](int t, int slot) {
    const float *tail = tails ? (const float *)tails[walk.segment] + c : nullptr;
    taps.fill(x, stride, tail, channels, walk.start, t, slot);
  };
  fill(first, 0);
  for (int t = first; t < last; t += AHEAD) {
    Four ahead[AHEAD];
#pragma unroll
    for (int j = 0; j < AHEAD; j++) ahead[j] = *(const Four *)(x + min(t + j, last - 1) * stride);
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      if (t + j >= last) break;
      if (walk.enters(t + j)) fill(t + j, j);
      taps.take(ahead[j], j);
      Four out;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float p = taps.preactivation(j, i);
        assign(out.v[i], p * sigmoid(p));
      }
      *(Four *)(target.column + (i64)(t + j) * target.stride) = out;
    }
  }
}

// From dy: columns `column` … of dx and, as x has them, `xColumn` …; and sums over the rows of each
// block, dWeight float32 [⌈T / GRADIENT_ROWS⌉, C, 4], dBias [⌈T / GRADIENT_ROWS⌉, C].
// Grid: (⌈T / GRADIENT_ROWS⌉, ⌈C / 4 / block⌉).
extern "C" __global__ void causalConvolutionGradientFours(
    Element *dx, float *dWeight, float *dBias, const __grid_constant__ Parts dy, const Element *x,
    i64 stride, i64 column, const float *weight, const float *bias, const int *owners,
    const int *starts, int rows, int channels) {
  beginKernel();
  const int c = (blockIdx.y * blockDim.x + threadIdx.x) * 4;
  if (c >= channels) return;
  x += column + c;
  dx += column + c;
  const int first = blockIdx.x * GRADIENT_ROWS, last = min(rows, first + GRADIENT_ROWS);
  const Place source = placeOf(dy, c, channels);
  Walk walk(owners, starts, first);
  Taps taps(weight, bias, c);
  taps.fill(x, stride, nullptr, channels, walk.start, first, 0);
  float weightSums[4][TAPS] = {}, biasSums[4] = {};
  float sums[TAPS][4] = {};  // dx of the last rows, until no later row can add to it
  // Three rows past the last one: they see rows of this walk.
  for (int t = first; t < last + TAPS - 1; t += AHEAD) {
    Four ahead[AHEAD], gradients[AHEAD];
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      const int row = min(t + j, rows - 1);
      ahead[j] = *(const Four *)(x + row * stride);
      gradients[j] = *(const Four *)(source.column + (i64)row * source.stride);
    }
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      const int row = t + j;
      if (row >= last + TAPS - 1) break;
      if (row < rows) {
        if (walk.enters(row)) taps.fill(x, stride, nullptr, channels, walk.start, row, j);
        taps.take(ahead[j], j);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float g = toFloat(gradients[j].v[i]) * siluGradient(taps.preactivation(j, i));
          sums[j][i] = taps.weight[TAPS - 1][i] * g;
#pragma unroll
          for (int k = 0; k < TAPS - 1; k++)
            if (row - TAPS + 1 + k >= walk.start)
              sums[(j + 1 + k) % TAPS][i] += taps.weight[k][i] * g;
          if (row < last) {
            biasSums[i] += g;
#pragma unroll
            for (int k = 0; k < TAPS; k++)
              weightSums[i][k] += g * taps.window[(j + 1 + k) % TAPS][i];
          }
        }
      }
      const int done = row - TAPS + 1;
      if (done < first) continue;
      Four out;
#pragma unroll
      for (int i = 0; i < 4; i++) assign(out.v[i], sums[(j + 1) % TAPS][i]);
      *(Four *)(dx + done * stride) = out;
    }
  }
  const i64 at = (i64)blockIdx.x * channels + c;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    dBias[at + i] = biasSums[i];
    *(float4 *)(dWeight + (at + i) * TAPS) = make_float4(
        weightSums[i][0], weightSums[i][1], weightSums[i][2], weightSums[i][3]);
  }
}
