// Products and transposes of panels: pieces of matrices, some 64 rows by 128 columns, that lie in
// the nearest caches. Attention and the scan are made of these.

enum { TILE = MATVLM_TILE };

#define MIN(a, b) ((a) < (b) ? (a) : (b))

// The width of a panel's rows in memory: n columns filled up to whole vectors.
INLINE ptrdiff_t padded(ptrdiff_t n) { return (n + LANES - 1) / LANES * LANES; }

// The left factor of a product, read element by element: element (i, k) is p[i·row + k·column],
// so either order in memory will do.
struct left_factor {
  const float *p;
  ptrdiff_t row, column;
};

// Registers of a product: rows by vectors of columns, as many as the register file has room for. The fewer of
// them are vectors, the less of the right factor is read for each sum.
enum {
  PRODUCT_ROWS = LANES == 16 ? 6 : 4,
  PRODUCT_VECTORS = LANES == 16 ? 4 : LANES == 8 ? 3 : 2,
};

// What a product begins with: element (i, j) is p[i·row + j]; NULL: zeros.
struct product_start {
  const float *p;
  ptrdiff_t row;
};

// What lies in the places of a product's factors.
enum factors {
  FLOAT_FACTORS,
  BF16_FACTORS,  // pairs of bfloat16 in the place of a float, neighbours in depth
};

INLINE vf multiply_add(vf sum, vf left, vf right, const enum factors factors) {
#ifdef MULTIPLIES_BF16
  if (factors == BF16_FACTORS)
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
#endif
  return sum + left * right;
}

// Asks for a line of each of the next rows of a, and for one of the next rows of c: they begin at so many
// places that a processor does not find out in time which it will need.
INLINE void ask_for_next_rows(const int rows, const int vectors, ptrdiff_t k, struct left_factor a,
                              const float *c, ptrdiff_t c_stride) {
  const ptrdiff_t row = rows + k / LINE_FLOATS;
  if (a.column == 1)
    for (int i = 0; i < rows; i++) __builtin_prefetch(a.p + (rows + i) * a.row + k);
  if (row < 2 * rows)
    for (int j = 0; j < vectors; j++) __builtin_prefetch(c + row * c_stride + j * LANES, 1);
}

INLINE void multiply_block(const int rows, const int vectors, ptrdiff_t depth,
                           struct left_factor a, const float *b, ptrdiff_t b_stride,
                           struct product_start start, float *c, ptrdiff_t c_stride,
                           const enum factors factors) {
  vf sum[PRODUCT_ROWS][PRODUCT_VECTORS];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++)
      sum[i][j] = start.p ? vf_load(start.p + i * start.row + j * LANES) : vf_set(0);
  for (ptrdiff_t first = 0; first < depth; first += LINE_FLOATS) {
    ask_for_next_rows(rows, vectors, first, a, c, c_stride);
    for (ptrdiff_t k = first; k < MIN(depth, first + LINE_FLOATS); k++) {
      vf right[PRODUCT_VECTORS];
      for (int j = 0; j < vectors; j++) right[j] = vf_load(b + k * b_stride + j * LANES);
      for (int i = 0; i < rows; i++) {
        vf left = vf_set(a.p[i * a.row + k * a.column]);
        for (int j = 0; j < vectors; j++)
          sum[i][j] = multiply_add(sum[i][j], left, right[j], factors);
      }
    }
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++) vf_store(c + i * c_stride + j * LANES, sum[i][j]);
}

INLINE void multiply_strip(const int rows, int vectors, ptrdiff_t depth, struct left_factor a,
                           const float *b, ptrdiff_t b_stride, struct product_start start, float *c,
                           ptrdiff_t c_stride, const enum factors factors) {
#define BLOCK(VECTORS)                                                                            \
  case VECTORS: multiply_block(rows, VECTORS, depth, a, b, b_stride, start, c, c_stride, factors); break
  switch (vectors) {
    BLOCK(1);
    BLOCK(2);
#if LANES >= 8
    BLOCK(3);
#endif
#if LANES >= 16
    BLOCK(4);
#endif
  }
#undef BLOCK
}

INLINE void panel_product_of(const enum factors factors, struct product_start start, ptrdiff_t m,
                             ptrdiff_t n, ptrdiff_t depth, struct left_factor a, const float *b,
                             ptrdiff_t b_stride, float *c, ptrdiff_t c_stride) {
  const ptrdiff_t vectors = padded(n) / LANES;
  const ptrdiff_t blocks = (vectors + PRODUCT_VECTORS - 1) / PRODUCT_VECTORS;
#define STRIP(ROWS)                                                                               \
  multiply_strip(ROWS, width, depth, (struct left_factor){a.p + i * a.row, a.row, a.column},      \
                 b + column, b_stride,                                                            \
                 (struct product_start){start.p ? start.p + i * start.row + column : 0, start.row}, \
                 c + i * c_stride + column, c_stride, factors)
  for (ptrdiff_t block = 0; block < blocks; block++) {
    const ptrdiff_t first = block * vectors / blocks, column = first * LANES;
    const int width = (int)((block + 1) * vectors / blocks - first);
    ptrdiff_t i = 0;
    for (; i + PRODUCT_ROWS <= m; i += PRODUCT_ROWS) STRIP(PRODUCT_ROWS);
    if (i + 4 <= m) {
      STRIP(4);
      i += 4;
    }
    if (i + 2 <= m) {
      STRIP(2);
      i += 2;
    }
    if (i < m) STRIP(1);
  }
#undef STRIP
}

// c [m, n] = start [m, n] + a [m, depth] b [depth, n]. Rows of start and b are read, and rows of c
// written, up to padded(n) columns; what the padding holds stays in the padding.
static void panel_product_from(struct product_start start, ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth,
                               struct left_factor a, const float *b, ptrdiff_t b_stride, float *c,
                               ptrdiff_t c_stride) {
  panel_product_of(FLOAT_FACTORS, start, m, n, depth, a, b, b_stride, c, c_stride);
}

// The same from zeros, or from c where `add`.
static void panel_product(ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, struct left_factor a,
                          const float *b, ptrdiff_t b_stride, float *c, ptrdiff_t c_stride,
                          int add) {
  const struct product_start start = {add ? c : 0, c_stride};
  panel_product_from(start, m, n, depth, a, b, b_stride, c, c_stride);
}

#ifdef MULTIPLIES_BF16
// The same with pairs of bfloat16 in the places of a's and b's floats.
static void pairs_product_from(struct product_start start, ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth,
                               struct left_factor a, const float *b, ptrdiff_t b_stride, float *c,
                               ptrdiff_t c_stride) {
  panel_product_of(BF16_FACTORS, start, m, n, depth, a, b, b_stride, c, c_stride);
}
#endif

#if LANES == 16
#define EACH_LANE(f, s)                                                                           \
  f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s), f(8, s), f(9, s),       \
      f(10, s), f(11, s), f(12, s), f(13, s), f(14, s), f(15, s)
#elif LANES == 8
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s)
#else
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s)
#endif
#define UPPER_LANE(j, s) ((j) & (s) ? LANES + (j) - (s) : (j))
#define LOWER_LANE(j, s) ((j) & (s) ? LANES + (j) : (j) + (s))
// Unrolled, so that rows are registers.
#define EACH_ROW(i) _Pragma("clang loop unroll(full)") for (int i = 0; i < LANES; i++)
// Swaps, in every 2s × 2s block, the upper right s × s quarter with the lower left one.
#define SWAP_QUARTERS(rows, s)                                                                    \
  EACH_ROW(i)                                                                                     \
    if (!(i & (s))) {                                                                             \
      vf upper = rows[i], lower = rows[i + (s)];                                                  \
      rows[i] = __builtin_shufflevector(upper, lower, EACH_LANE(UPPER_LANE, s));                  \
      rows[i + (s)] = __builtin_shufflevector(upper, lower, EACH_LANE(LOWER_LANE, s));            \
    }

INLINE void transpose_registers(vf rows[LANES]) {
  SWAP_QUARTERS(rows, 1)
  SWAP_QUARTERS(rows, 2)
#if LANES >= 8
  SWAP_QUARTERS(rows, 4)
#endif
#if LANES >= 16
  SWAP_QUARTERS(rows, 8)
#endif
}

INLINE void transpose_block(const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride,
                            float scale) {
  vf rows[LANES];
  EACH_ROW(i) rows[i] = vf_load(x + i * x_stride) * scale;
  transpose_registers(rows);
  EACH_ROW(i) vf_store(y + i * y_stride, rows[i]);
}

// y [columns, rows] = scale · xᵀ, x [rows, columns].
static void panel_transpose(const float *x, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t x_stride,
                      float *y, ptrdiff_t y_stride, float scale) {
  const ptrdiff_t whole_rows = rows / LANES * LANES, whole_columns = columns / LANES * LANES;
  for (ptrdiff_t i = 0; i < whole_rows; i += LANES)
    for (ptrdiff_t j = 0; j < whole_columns; j += LANES)
      transpose_block(x + i * x_stride + j, x_stride, y + j * y_stride + i, y_stride, scale);
  for (ptrdiff_t i = 0; i < rows; i++)
    for (ptrdiff_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
      y[j * y_stride + i] = x[i * x_stride + j] * scale;
}

// The same into a right factor: rows of y are filled with zeros up to padded(rows).
static void panel_transpose_padded(const float *x, ptrdiff_t rows, ptrdiff_t columns,
                             ptrdiff_t x_stride, float *y, ptrdiff_t y_stride, float scale) {
  panel_transpose(x, rows, columns, x_stride, y, y_stride, scale);
  for (ptrdiff_t j = 0; j < columns; j++)
    for (ptrdiff_t i = rows; i < padded(rows); i++) y[j * y_stride + i] = 0;
}

// y [rows, padded(columns)] = factors[row] · x [rows, columns], zeros in the padding; NULL: 1.
static void copy_padded(const float *x, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t x_stride,
                        float *restrict y, const float *factors) {
  const ptrdiff_t width = padded(columns);
  for (ptrdiff_t i = 0; i < rows; i++) {
    const float factor = factors ? factors[i] : 1;
    for (ptrdiff_t j = 0; j < columns; j++) y[i * width + j] = x[i * x_stride + j] * factor;
    for (ptrdiff_t j = columns; j < width; j++) y[i * width + j] = 0;
  }
}

// Rows without padding: y [rows, columns], any stride.
static void copy_rows(const float *x, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t x_stride,
                      float *y, ptrdiff_t y_stride) {
  for (ptrdiff_t i = 0; i < rows; i++)
    memcpy(y + i * y_stride, x + i * x_stride, (size_t)columns * sizeof(float));
}

INLINE float dot(const float *a, const float *b, ptrdiff_t n) {
  vf sum = vf_set(0);
  ptrdiff_t i = 0;
  for (; i + LANES <= n; i += LANES) sum += vf_load(a + i) * vf_load(b + i);
  float rest = 0;
  for (; i < n; i++) rest += a[i] * b[i];
  return vf_sum(sum) + rest;
}
