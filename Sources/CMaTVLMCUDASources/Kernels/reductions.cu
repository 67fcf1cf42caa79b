// Sums whose order never changes, distances, and AdamW.

// y float32 [slabs, D] ← sums over slabs of rows of x [T, D]. Grid: (⌈D/256⌉, slabs).
extern "C" __global__ void sumRows(float *y, const Element *x, int rows, int width, int slab) {
  beginKernel();
  const int d = blockIdx.x * blockDim.x + threadIdx.x;
  if (d >= width) return;
  float sum = 0;
  const int end = min(rows, (int)(blockIdx.y + 1) * slab);
  for (int t = blockIdx.y * slab; t < end; t++) sum += toFloat(x[(i64)t * width + d]);
  y[(i64)blockIdx.y * width + d] = sum;
}

__device__ __forceinline__ double blockSumDouble(double x) {
  __shared__ double parts[256];
  parts[threadIdx.x] = x;
  __syncthreads();
  for (int d = blockDim.x / 2; d; d >>= 1) {
    if (threadIdx.x < d) parts[threadIdx.x] += parts[threadIdx.x + d];
    __syncthreads();
  }
  return parts[0];
}

// partials double [gridDim.x] ← Σ x² of each block's share of x [count]. Block: 256.
extern "C" __global__ void squares(double *partials, const Element *x, i64 count) {
  beginKernel();
  double sum = 0;
  i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  for (; i < count; i += (i64)gridDim.x * blockDim.x) {
    double v = toFloat(x[i]);
    sum += v * v;
  }
  sum = blockSumDouble(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// y float32 [1] ← Σ partials double [count]. One block of 256.
extern "C" __global__ void total(float *y, const double *partials, int count) {
  beginKernel();
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += partials[i];
  sum = blockSumDouble(sum);
  if (threadIdx.x == 0) y[0] = (float)sum;
}

// partials double [S, gridDim.x] ← Σ (x − target)² of each block's share of segment blockIdx.y.
extern "C" __global__ void squaredDistances(
    double *partials, const Element *x, const Element *target, const int *starts, int width) {
  beginKernel();
  const i64 begin = (i64)starts[blockIdx.y] * width, end = (i64)starts[blockIdx.y + 1] * width;
  double sum = 0;
  i64 i = begin + (i64)blockIdx.x * blockDim.x + threadIdx.x;
  for (; i < end; i += (i64)gridDim.x * blockDim.x) {
    double difference = (double)toFloat(x[i]) - (double)toFloat(target[i]);
    sum += difference * difference;
  }
  sum = blockSumDouble(sum);
  if (threadIdx.x == 0) partials[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// norms float32 [S] ← √Σ partials [S, shares]. Grid: S, block 256.
extern "C" __global__ void distances(float *norms, const double *partials, int shares) {
  beginKernel();
  double sum = 0;
  for (int i = threadIdx.x; i < shares; i += blockDim.x) sum += partials[blockIdx.x * shares + i];
  sum = blockSumDouble(sum);
  if (threadIdx.x == 0) norms[blockIdx.x] = (float)sqrt(sum);
}

// dx [T, D] ← weights[s] (x − target) / norms[s] of the row's segment. Grid: T.
extern "C" __global__ void distanceGradient(
    Element *dx, const Element *x, const Element *target, const float *norms,
    const float *weights, const int *owners, int width) {
  beginKernel();
  const int segment = owners[blockIdx.x];
  const float norm = norms[segment];
  const float factor = norm > 0 ? weights[segment] / norm : 0;
  const i64 base = (i64)blockIdx.x * width;
  for (int d = threadIdx.x; d < width; d += blockDim.x)
    assign(dx[base + d], factor * (toFloat(x[base + d]) - toFloat(target[base + d])));
}

// One row of the table of an AdamW step; the same 48 bytes on the host.
struct Update {
  float *value;
  const float *gradient;
  float *firstMoment;
  float *secondMoment;
  i64 firstBlock;
  int count;
  float weightDecay;
};

#define ADAMW_SHARE 4096

// All parameters in one launch: block b works on ADAMW_SHARE elements of the last update whose
// firstBlock is not after b.
extern "C" __global__ void adamW(
    const Update *updates, int updateCount, float learningRate, float beta1, float beta2,
    float epsilon, float correction1, float correction2, float gradientScale) {
  beginKernel();
  int low = 0, high = updateCount - 1;
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (updates[middle].firstBlock <= (i64)blockIdx.x) low = middle;
    else high = middle - 1;
  }
  const Update u = updates[low];
  const int begin = (int)((i64)blockIdx.x - u.firstBlock) * ADAMW_SHARE;
  const int end = min(u.count, begin + ADAMW_SHARE);
  for (int i = begin + threadIdx.x; i < end; i += blockDim.x) {
    float g = u.gradient[i] * gradientScale;
    float m = beta1 * u.firstMoment[i] + (1.0f - beta1) * g;
    float v = beta2 * u.secondMoment[i] + (1.0f - beta2) * g * g;
    u.firstMoment[i] = m;
    u.secondMoment[i] = v;
    float step = (m / correction1) / (sqrtf(v / correction2) + epsilon);
    float value = u.value[i];
    u.value[i] = value - learningRate * (step + u.weightDecay * value);
  }
}

// rows int32 [T] ← the column of the first of the largest of each row of x [T, V]; −1 where a number
// is not finite. Grid: T, block: 1024.
extern "C" __global__ void argmaxRows(int *rows, const Element *x, int width) {
  beginKernel();
  __shared__ float values[32];
  __shared__ int columns[32];
  x += (i64)blockIdx.x * width;
  float best = -INFINITY_F;
  int column = width;
  bool isFinite = true;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    const float v = toFloat(x[i]);
    isFinite = isFinite && fabsf(v) < INFINITY_F;
    if (v > best) {
      best = v;
      column = i;
    }
  }
  // Of equal ones, the first.
  const auto take = [&](float v, int c) {
    if (v > best || (v == best && c < column)) {
      best = v;
      column = c;
    }
  };
  for (int d = 16; d; d /= 2) {
    const float v = __shfl_xor_sync(0xffffffffu, best, d);
    const int c = __shfl_xor_sync(0xffffffffu, column, d);
    take(v, c);
  }
  if (LANE == 0) {
    values[threadIdx.x / 32] = best;
    columns[threadIdx.x / 32] = column;
  }
  const bool allFinite = __syncthreads_and(isFinite);
  if (threadIdx.x != 0) return;
  for (int w = 0; w < blockDim.x / 32; w++) take(values[w], columns[w]);
  rows[blockIdx.x] = allFinite ? column : -1;
}
