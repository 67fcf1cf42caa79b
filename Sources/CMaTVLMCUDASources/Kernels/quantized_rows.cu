// Matrices of weights in 8 or 4 bits, laid out in panels of 16 rows (QuantizedLayout): looked up row by
// row, written out as numbers, and made. Compiled for CODE_BITS and GROUP.

#define WORD_COLUMNS (32 / CODE_BITS)  // of one row, in one word

struct Matrix {
  u32 *codes;    // [panels, columns / WORD_COLUMNS, 16]
  bf16 *scales;  // [panels, groups, 16]
  int rows;
  int columns;   // without what groups are filled up with
};

__device__ __forceinline__ int groupsOf(const Matrix &m) { return (m.columns + GROUP - 1) / GROUP; }

__device__ __forceinline__ u32 *wordOf(const Matrix &m, int row, int column) {
  const i64 words = (i64)groupsOf(m) * (GROUP / WORD_COLUMNS);
  return m.codes + (row / 16 * words + column / WORD_COLUMNS) * 16 + row % 16;
}

__device__ __forceinline__ bf16 *scaleOf(const Matrix &m, int row, int column) {
  return m.scales + ((i64)(row / 16) * groupsOf(m) + column / GROUP) * 16 + row % 16;
}

// The bits of a word where column i of its columns is.
__device__ __forceinline__ int bitOf(int i) { return CODE_BITS == 8 ? 8 * i : 8 * (i % 4) + i / 4 * 4; }

__device__ __forceinline__ float codeOf(u32 word, int i) {
  return (float)((int)(word >> bitOf(i) & ((1 << CODE_BITS) - 1)) - (1 << (CODE_BITS - 1)));
}

// y [T, columns] ← row rows[t] of the matrix. Grid: T.
extern "C" __global__ void gatherQuantizedRows(
    Element *y, const __grid_constant__ Matrix m, const int *rows) {
  beginKernel();
  const int row = rows[blockIdx.x];
  y += (i64)blockIdx.x * m.columns;
  for (int d = threadIdx.x; d < m.columns; d += blockDim.x)
    assign(y[d], codeOf(*wordOf(m, row, d), d % WORD_COLUMNS) * toFloat(*scaleOf(m, row, d)));
}

// y [rows, columns] ← the matrix. A thread has one word; four rows and eight words of each are a warp's,
// so that it writes whole sectors. Grid: (words / 16, panels), of 256 threads.
extern "C" __global__ void dequantize(Element *y, const __grid_constant__ Matrix m) {
  beginKernel();
  const int warp = threadIdx.x / 32;
  const int row = blockIdx.y * 16 + warp % 4 * 4 + LANE / 8;
  const int column = (blockIdx.x * 16 + warp / 4 * 8 + LANE % 8) * WORD_COLUMNS;
  if (row >= m.rows || column >= m.columns) return;
  const u32 word = *wordOf(m, row, column);
  const float scale = toFloat(*scaleOf(m, row, column));
  y += (i64)row * m.columns + column;
  alignas(16) Element v[WORD_COLUMNS];
#pragma unroll
  for (int i = 0; i < WORD_COLUMNS; i++) assign(v[i], codeOf(word, i) * scale);
  if (m.columns % WORD_COLUMNS == 0) {
#pragma unroll
    for (int i = 0; i < WORD_COLUMNS * (int)sizeof(Element) / 8; i++)
      ((uint2 *)y)[i] = ((const uint2 *)v)[i];
  } else {
    for (int i = 0; i < WORD_COLUMNS && column + i < m.columns; i++) y[i] = v[i];
  }
}

// Of two numbers the larger one by size, or the one that comes first.
__device__ __forceinline__ float warpLargest(float x, int lane) {
  for (int d = 1; d < 32; d *= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, x, d);
    const int place = __shfl_xor_sync(0xffffffffu, lane, d);
    if (fabsf(other) > fabsf(x) || (fabsf(other) == fabsf(x) && place < lane)) x = other, lane = place;
  }
  return x;
}

__device__ __forceinline__ float roundedToCode(float x, float scale) {
  const float inverse = fabsf(scale) > 1e-30f ? 1.0f / scale : 0.0f;
  const float most = (1 << (CODE_BITS - 1)) - 1, least = CODE_BITS == 8 ? -127 : -8;
  return fminf(fmaxf(rintf(x * inverse), least), most);
}

#define OWN (GROUP / 32)  // weights of a group that a lane has

// A scale that bfloat16 has. Of 8 bits the largest weight becomes 127, the scale rounded up so that it
// stays in range; of 4 it becomes −8, or a little more or less, whichever leaves the least error.
__device__ __forceinline__ float scaleFor(const float *v, float top) {
  if (CODE_BITS == 8)
    return __uint_as_float((__float_as_uint(fabsf(top) / 127.0f) + 0xffffu) & 0xffff0000u);
  float best = 0, least = 3e38f;
  for (int step = 0; step < 9; step++) {
    bf16 rounded;
    assign(rounded, top / (-9.0f + 0.375f * step));
    const float scale = toFloat(rounded);
    float error = 0;
    for (int j = 0; j < OWN; j++) {
      const float rest = v[j] - roundedToCode(v[j], scale) * scale;
      error += rest * rest;
    }
    error = warpSum(error);
    if (error < least) least = error, best = scale;
  }
  return best;
}

// The matrix ← x [rows, columns], of any type. A warp has one group; what is filled up is zero.
// Grid: (groups, panels · 2), of 256 threads.
extern "C" __global__ void quantize(const __grid_constant__ Matrix m, const void *x, int type) {
  beginKernel();
  const int row = blockIdx.y * 8 + threadIdx.x / 32, first = blockIdx.x * GROUP;
  float v[OWN], top = 0, poison = 0;
#pragma unroll
  for (int j = 0; j < OWN; j++) {
    const int column = first + 32 * j + LANE;
    const bool isThere = row < m.rows && column < m.columns;
    v[j] = isThere ? loadAs(x, (i64)row * m.columns + column, type) : 0.0f;
    if (fabsf(v[j]) > fabsf(top)) top = v[j];
    poison += v[j] * 0.0f;
  }
  poison = warpSum(poison);
  const float scale = scaleFor(v, warpLargest(top, LANE));
  if (LANE == 0) assign(*scaleOf(m, row, first), scale + poison);
#pragma unroll
  for (int j = 0; j < OWN; j++) {
    // A lane's code at its place in the word, then all of a word in its first lane.
    const int i = LANE % WORD_COLUMNS;
    u32 word = (u32)((int)roundedToCode(v[j], scale) + (1 << (CODE_BITS - 1))) << bitOf(i);
    for (int d = 1; d < WORD_COLUMNS; d *= 2) word |= __shfl_xor_sync(0xffffffffu, word, d);
    if (i == 0) *wordOf(m, row, first + 32 * j + LANE) = word;
  }
}
