// Products of a few rows with a matrix of weights as it is stored. Each weight is read from memory
// once, so a single row runs at the speed of memory.

enum weight_type { WEIGHT_FLOAT, WEIGHT_BF16, WEIGHT_F16 };

// Rows of x, and of weights, that are multiplied out against each other in registers: their product
// is the number of accumulators.
#define TILE_ROWS 4
#define TILE_OUTPUTS (LANES == 16 ? 4 : 2)

INLINE vf weight_load_some(const void *weight, int64_t at, int64_t n, enum weight_type type) {
  switch (type) {
  case WEIGHT_FLOAT: return vf_load_some((const float *)weight + at, n);
  case WEIGHT_BF16: return vf_from_bf16(vh_load_some((const uint16_t *)weight + at, n));
  case WEIGHT_F16: return vf_from_f16(vh_load_some((const uint16_t *)weight + at, n));
  }
}

// y[r, o] for `tile_rows` rows of x and `tile_outputs` rows of weights from `at` on.
INLINE void product_tile(const float *x, const void *weight, int64_t at, int64_t inputs,
                         const float *bias, float *y, int64_t y_stride, const int tile_rows,
                         const int tile_outputs, const enum weight_type type) {
  vf sum[TILE_ROWS][4];
#pragma clang loop unroll(full)
  for (int r = 0; r < tile_rows; r++)
#pragma clang loop unroll(full)
    for (int o = 0; o < tile_outputs; o++) sum[r][o] = vf_set(0);
  for (int64_t i = 0; i < inputs; i += LANES) {
    vf w[4];
#pragma clang loop unroll(full)
    for (int o = 0; o < tile_outputs; o++)
      w[o] = weight_load_some(weight, at + o * inputs + i, inputs - i, type);
#pragma clang loop unroll(full)
    for (int r = 0; r < tile_rows; r++) {
      const vf xr = vf_load_some(x + r * inputs + i, inputs - i);
#pragma clang loop unroll(full)
      for (int o = 0; o < tile_outputs; o++) sum[r][o] += xr * w[o];
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < tile_rows; r++)
#pragma clang loop unroll(full)
    for (int o = 0; o < tile_outputs; o++)
      y[r * y_stride + o] = vf_sum(sum[r][o]) + (bias ? bias[o] : 0.0f);
}

INLINE void product_rows(const float *x, int64_t rows, const void *weight, int64_t at,
                         int64_t inputs, const float *bias, float *y, int64_t y_stride,
                         const int tile_outputs, const enum weight_type type) {
#define TILE(ROWS)                                                                                \
  product_tile(x + t * inputs, weight, at, inputs, bias, y + t * y_stride, y_stride, ROWS,        \
               tile_outputs, type)
  int64_t t = 0;
  for (; t + TILE_ROWS <= rows; t += TILE_ROWS) TILE(TILE_ROWS);
  switch (rows - t) {
  case 3: TILE(3); break;
  case 2: TILE(2); break;
  case 1: TILE(1); break;
  }
#undef TILE
}

INLINE void row_products(const float *x, int64_t rows, const void *weight, int64_t inputs,
                         const float *bias, int64_t outputs, float *y, int64_t y_stride,
                         const enum weight_type type) {
  int64_t o = 0;
  for (; o + TILE_OUTPUTS <= outputs; o += TILE_OUTPUTS)
    product_rows(x, rows, weight, o * inputs, inputs, bias ? bias + o : 0, y + o, y_stride,
                 TILE_OUTPUTS, type);
  for (; o < outputs; o++)
    product_rows(x, rows, weight, o * inputs, inputs, bias ? bias + o : 0, y + o, y_stride, 1,
                 type);
}

#define ROW_PRODUCTS(NAME, ELEMENT, TYPE)                                                         \
  static void NAME(const float *x, int64_t rows, const ELEMENT *weight, int64_t inputs,           \
                   const float *bias, int64_t outputs, float *y, int64_t y_stride) {              \
    row_products(x, rows, weight, inputs, bias, outputs, y, y_stride, TYPE);                      \
  }

ROW_PRODUCTS(float_row_products, float, WEIGHT_FLOAT)
ROW_PRODUCTS(bf16_row_products, uint16_t, WEIGHT_BF16)
ROW_PRODUCTS(f16_row_products, uint16_t, WEIGHT_F16)

#define MATRIX_KERNELS                                                                            \
  {                                                                                               \
    .float_row_products = float_row_products, .bf16_row_products = bf16_row_products,             \
    .f16_row_products = f16_row_products                                                          \
  }
