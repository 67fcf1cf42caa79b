// Rows and columns: gathering, scattering, splitting, joining, rotary angles, caches.

// y [T, D] ← row rows[t] of table [R, D], whatever its type. Grid: T.
extern "C" __global__ void gatherRows(
    Element *y, const void *table, int type, const int *rows, int width) {
  beginKernel();
  i64 source = (i64)rows[blockIdx.x] * width, target = (i64)blockIdx.x * width;
  for (int d = threadIdx.x; d < width; d += blockDim.x)
    assign(y[target + d], loadAs(table, source + d, type));
}

// y [count, D] ← Σ of the rows of x [T, D] that rows [T] sends there, in their order. Grid: count.
// Each block looks through all of `rows`, so that no sum depends on the order of blocks.
extern "C" __global__ void scatterAddRows(
    Element *y, const Element *x, const int *rows, int tokens, int width) {
  beginKernel();
  __shared__ int found[256];
  __shared__ int warpCounts[8];
  const int target = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int column = 0; column < width; column += 256 * 8) {
    float sum[8] = {};
    for (int base = 0; base < tokens; base += 256) {
      int t = base + threadIdx.x;
      bool hit = t < tokens && rows[t] == target;
      u32 votes = __ballot_sync(0xffffffffu, hit);
      __syncthreads();
      if (lane == 0) warpCounts[warp] = __popc(votes);
      __syncthreads();
      int before = 0, total = 0;
      for (int w = 0; w < 8; w++) {
        if (w < warp) before += warpCounts[w];
        total += warpCounts[w];
      }
      if (hit) found[before + __popc(votes & ((1u << lane) - 1))] = t;
      __syncthreads();
      for (int i = 0; i < total; i++)
        for (int j = 0; j < 8; j++) {
          int d = column + j * 256 + threadIdx.x;
          if (d < width) sum[j] += toFloat(x[(i64)found[i] * width + d]);
        }
    }
    for (int j = 0; j < 8; j++) {
      int d = column + j * 256 + threadIdx.x;
      if (d < width) assign(y[(i64)target * width + d], sum[j]);
    }
  }
}

#define ROWS_AT_ONCE 4  // of a thread that copies

// y[r, yColumn …< yColumn + width] ← x[r, xColumn …], or zeros where x is null, in units of `Unit`.
template <class Unit>
__device__ __forceinline__ void copyUnits(
    Unit *y, i64 yStride, i64 yColumn, const Unit *x, i64 xStride, i64 xColumn, int rows,
    int width) {
  const int d = blockIdx.y * blockDim.x + threadIdx.x, first = blockIdx.x * ROWS_AT_ONCE;
  if (d >= width) return;
  Unit held[ROWS_AT_ONCE] = {};
#pragma unroll
  for (int r = 0; r < ROWS_AT_ONCE; r++)
    if (x && first + r < rows) held[r] = x[(first + r) * xStride + xColumn + d];
#pragma unroll
  for (int r = 0; r < ROWS_AT_ONCE; r++)
    if (first + r < rows) y[(first + r) * yStride + yColumn + d] = held[r];
}

// Grid: (⌈T / ROWS_AT_ONCE⌉, ⌈width / block⌉).
extern "C" __global__ void copyColumns(
    Element *y, i64 yStride, i64 yColumn, const Element *x, i64 xStride, i64 xColumn, int rows,
    int width) {
  beginKernel();
  copyUnits(y, yStride, yColumn, x, xStride, xColumn, rows, width);
}

// The same in packs of sixteen bytes, which every stride and column must be whole numbers of.
extern "C" __global__ void copyPacks(
    uint4 *y, i64 yStride, i64 yColumn, const uint4 *x, i64 xStride, i64 xColumn, int rows,
    int width) {
  beginKernel();
  copyUnits(y, yStride, yColumn, x, xStride, xColumn, rows, width);
}

// Rotates the first `rotary` columns of each head by the angles of positions[t]; pairs lie
// rotary / 2 apart. x y [T, H·P], table [positions, rotary]. Grid: T.
extern "C" __global__ void rotate(
    Element *y, const Element *x, const float *table, const int *positions, int heads, int width,
    int rotary, int inverse) {
  beginKernel();
  const i64 base = (i64)blockIdx.x * heads * width;
  const float *angles = table + (i64)positions[blockIdx.x] * rotary;
  const int half = rotary / 2;
  x += base;
  y += base;
  if (half % LANES == 0 && width % LANES == 0) {
    // One thread a pack of the first half and its partner, or two packs of what passes through.
    const int turned = half / LANES, rest = (width - rotary) / LANES, units = turned + rest;
    for (int i = threadIdx.x; i < heads * units; i += blockDim.x) {
      const int head = i / units, unit = i % units;
      if (unit >= turned) {
        const int at = head * width + rotary + (unit - turned) * LANES;
        *(Pack *)(y + at) = *(const Pack *)(x + at);
        continue;
      }
      const int at = head * width + unit * LANES;
      Pack low = *(const Pack *)(x + at), high = *(const Pack *)(x + at + half);
#pragma unroll
      for (int j = 0; j < LANES; j++) {
        const float c = angles[unit * LANES + j];
        const float s = inverse ? -angles[half + unit * LANES + j] : angles[half + unit * LANES + j];
        const float p = toFloat(low.v[j]), q = toFloat(high.v[j]);
        assign(low.v[j], p * c - q * s);
        assign(high.v[j], q * c + p * s);
      }
      *(Pack *)(y + at) = low;
      *(Pack *)(y + at + half) = high;
    }
    return;
  }
  for (int i = threadIdx.x; i < heads * width; i += blockDim.x) {
    int d = i % width;
    if (d >= rotary) {
      y[i] = x[i];
      continue;
    }
    int pair = d < half ? d : d - half;
    float c = angles[pair], s = angles[half + pair];
    if (inverse) s = -s;
    float self = toFloat(x[i]);
    float other = toFloat(x[i + (d < half ? half : -half)]);
    assign(y[i], d < half ? self * c - other * s : self * c + other * s);
  }
}

// Writes row t of x [T, W] into row positions[t] of its segment's cache. Grid: T rows from `first`.
extern "C" __global__ void appendRows(
    Addresses caches, const Element *x, const int *positions, const int *owners, int first,
    int firstSegment, int width) {
  beginKernel();
  int t = first + blockIdx.x;
  Element *target = (Element *)caches.of[owners[t] - firstSegment] + (i64)positions[t] * width;
  const Element *source = x + (i64)t * width;
  if (width % LANES == 0)
    for (int d = threadIdx.x; d < width / LANES; d += blockDim.x)
      ((Pack *)target)[d] = ((const Pack *)source)[d];
  else
    for (int d = threadIdx.x; d < width; d += blockDim.x) target[d] = source[d];
}
