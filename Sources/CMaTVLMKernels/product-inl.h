// Products of matrices of many rows. A strip of the right factor is copied to where registers want it,
// in the order of use: strides and transposes then cost nothing, and what is copied is used some hundred
// times.

// Columns of a strip: as many vectors as a product has in registers.
enum { STRIP_COLUMNS = PRODUCT_VECTORS * LANES };

// What a product works with.
struct product_pieces {
  float *strip;     // [depth, columns filled up to whole vectors]
  float *unpacked;  // [LANES, depth], where the right factor has 16 bits
  float *sums;      // of each strip [rows, columns filled up to whole vectors]
};

// y [2 · LANES, LANES] = xᵀ, x [LANES, 2 · LANES] of 16 bits each: neighbours change places as one float
// would, and are unpacked where they have arrived.
INLINE void transpose_halves(const uint16_t *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride,
                             const enum weight_type type) {
  vf rows[LANES];
  EACH_ROW(i) memcpy(&rows[i], x + i * x_stride, sizeof rows[i]);
  transpose_registers(rows);
  EACH_ROW(i) {
    const vi pair = vf_bits(rows[i]), high = logical_shift_right(pair, 16);
    vf_store(y + 2 * i * y_stride, weight_unpack(vh_from_bits(pair), type));
    vf_store(y + (2 * i + 1) * y_stride, weight_unpack(vh_from_bits(high), type));
  }
}

// Rows of 16-bit weights that fill no whole block: unpacked first, then turned.
INLINE void copy_end(const struct matvlm_product *p, ptrdiff_t from, ptrdiff_t rows, ptrdiff_t depth,
                     float *strip, ptrdiff_t width, float *unpacked, const enum weight_type type) {
  for (ptrdiff_t r = 0; r < rows; r++)
    for (ptrdiff_t k = 0; k < depth; k += LANES)
      vf_store_some(unpacked + r * depth + k,
                    weight_load_some(p->right, from + r * p->right_column + k, depth - k, type),
                    depth - k);
  panel_transpose_padded(unpacked, rows, depth, depth, strip, width, 1);
}

// Columns `column`… of the right factor; zeros where the last vector has no column.
INLINE void copy_right(const struct matvlm_product *p, ptrdiff_t first, ptrdiff_t depth,
                       ptrdiff_t column, ptrdiff_t columns, const struct product_pieces *pieces,
                       const enum weight_type type) {
  const ptrdiff_t width = padded(columns);
  const ptrdiff_t at = first * p->right_row + column * p->right_column;
  if (p->right_column == 1) {
    for (ptrdiff_t k = 0; k < depth; k++)
      for (ptrdiff_t j = 0; j < columns; j += LANES)
        vf_store(pieces->strip + k * width + j,
                 weight_load_some(p->right, at + k * p->right_row + j, columns - j, type));
    return;
  }
  for (ptrdiff_t j = 0; j < columns; j += LANES) {
    const ptrdiff_t rows = MIN(LANES, columns - j), from = at + j * p->right_column;
    float *strip = pieces->strip + j;
    ptrdiff_t k = 0;
    if (type != WEIGHT_FLOAT && rows == LANES)
      for (; k + 2 * LANES <= depth; k += 2 * LANES)
        transpose_halves((const uint16_t *)p->right + from + k, p->right_column, strip + k * width,
                         width, type);
    if (type == WEIGHT_FLOAT)
      panel_transpose_padded((const float *)p->right + from, rows, depth, p->right_column, strip,
                             width, 1);
    else if (k < depth)
      copy_end(p, from + k, rows, depth - k, strip + k * width, width, pieces->unpacked, type);
  }
}

// The same of weights that stay pairs of 16 bits: x [columns, depth] of pairs, from the strip's first
// column and depth on.
INLINE void copy_pairs(const float *x, ptrdiff_t columns, ptrdiff_t depth, ptrdiff_t stride,
                       float *strip) {
  const ptrdiff_t width = padded(columns), whole = columns / LANES * LANES;
  ptrdiff_t k = 0;
  for (; k + LANES <= depth; k += LANES)
    for (ptrdiff_t j = 0; j < whole; j += LANES) {
      vf rows[LANES];
      EACH_ROW(i) rows[i] = vf_load(x + (j + i) * stride + k);
      transpose_registers(rows);
      EACH_ROW(i) vf_store(strip + (k + i) * width + j, rows[i]);
    }
  for (ptrdiff_t i = 0; i < depth; i++)
    for (ptrdiff_t j = i < k ? whole : 0; j < width; j++)
      if (j < columns) memcpy(strip + i * width + j, x + j * stride + i, sizeof *strip);
      else strip[i * width + j] = 0;
}

// How a strip is multiplied.
typedef void (*strip_product)(struct product_start, ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth,
                              struct left_factor, const float *b, ptrdiff_t b_stride, float *c,
                              ptrdiff_t c_stride);

// One strip of y: all rows of the left factor, from column `first` on, times the strip of the right one. Sums
// lie close together until they are whole: rows of y may be so far apart that none stays in a cache.
static void multiply_strip_of(const struct matvlm_product *p, ptrdiff_t first, ptrdiff_t depth,
                              ptrdiff_t column, ptrdiff_t columns,
                              const struct product_pieces *pieces, strip_product multiply) {
  const ptrdiff_t width = padded(columns);
  // Vectors go past the end of a last strip, in y and in what it begins with.
  const int fills_vectors = columns == width, ends = first + depth == p->depth;
  const struct left_factor left = {p->left + first, p->left_row, 1};
  const float *begin = p->start ? p->start + column : 0;
  float *sums = pieces->sums + p->rows * column, *y = p->y + column;
  struct product_start start = {sums, width};
  if (first == 0) start = (struct product_start){fills_vectors ? begin : 0, p->start_row};
  if (ends && fills_vectors)
    multiply(start, p->rows, columns, depth, left, pieces->strip, width, y, p->y_stride);
  else
    multiply(start, p->rows, columns, depth, left, pieces->strip, width, sums, width);
  if (!ends || fills_vectors) return;
  for (ptrdiff_t r = 0; r < p->rows; r++)
    for (ptrdiff_t j = 0; j < columns; j += LANES) {
      vf sum = vf_load(sums + r * width + j);
      if (begin) sum += vf_load_some(begin + r * p->start_row + j, columns - j);
      vf_store_some(y + r * p->y_stride + j, sum, columns - j);
    }
}

INLINE void product(const struct matvlm_product *p, float *scratch, const enum weight_type type,
                    const enum factors factors, strip_product multiply) {
  struct product_pieces pieces = {.strip = scratch};
  pieces.unpacked = pieces.strip + MATVLM_PRODUCT_DEPTH * STRIP_COLUMNS;
  pieces.sums = pieces.unpacked + MATVLM_PRODUCT_DEPTH * LANES;
  const ptrdiff_t vectors = padded(p->columns) / LANES;
  const ptrdiff_t strips = (vectors + PRODUCT_VECTORS - 1) / PRODUCT_VECTORS;
  ptrdiff_t first = 0;
  do {  // at least once: without depth, y is what it begins with
    const ptrdiff_t depth = MIN(MATVLM_PRODUCT_DEPTH, p->depth - first);
    for (ptrdiff_t strip = 0; strip < strips; strip++) {
      const ptrdiff_t column = strip * vectors / strips * LANES;
      const ptrdiff_t columns = MIN((strip + 1) * vectors / strips * LANES, p->columns) - column;
      if (factors == BF16_FACTORS)
        copy_pairs((const float *)p->right + first + column * p->right_column, columns, depth,
                   p->right_column, pieces.strip);
      else
        copy_right(p, first, depth, column, columns, &pieces, type);
      multiply_strip_of(p, first, depth, column, columns, &pieces, multiply);
    }
    first += depth;
  } while (first < p->depth);
}

#define PRODUCT(NAME, TYPE)                                                                       \
  static void NAME(const struct matvlm_product *p, float *scratch) {                              \
    product(p, scratch, TYPE, FLOAT_FACTORS, panel_product_from);                                 \
  }

PRODUCT(product_with_floats, WEIGHT_FLOAT)
PRODUCT(product_with_bf16, WEIGHT_BF16)
PRODUCT(product_with_f16, WEIGHT_F16)

#ifdef MULTIPLIES_BF16
// A pair of bfloat16 takes the place of a float, so that strides and depth are halves of what they were.
static void product_of_bf16(const struct matvlm_product *p, const uint16_t *left, float *scratch) {
  struct matvlm_product pairs = *p;
  pairs.left = (const float *)left;
  pairs.left_row /= 2, pairs.right_column /= 2, pairs.depth /= 2;
  product(&pairs, scratch, WEIGHT_BF16, BF16_FACTORS, pairs_product_from);
}
#else
#define product_of_bf16 0
#endif

#ifndef MULTIPLIES_TILES
#define split_left_factor 0
#define round_left_factor 0
#define rounded_product_with_bf16 0
#define split_product_with_floats 0
#define split_product_with_bf16 0
#define split_product_with_f16 0
#endif

#define PRODUCT_KERNELS                                                                           \
  {                                                                                               \
    .with_floats = product_with_floats, .with_bf16 = product_with_bf16,                           \
    .with_f16 = product_with_f16, .of_bf16 = product_of_bf16,                                     \
    .split_left = split_left_factor, .round_left = round_left_factor,                             \
    .rounded_with_bf16 = rounded_product_with_bf16,                                               \
    .split_with_floats = split_product_with_floats,                                               \
    .split_with_bf16 = split_product_with_bf16, .split_with_f16 = split_product_with_f16          \
  }
