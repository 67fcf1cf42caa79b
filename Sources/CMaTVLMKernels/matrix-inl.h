// Products of a few rows with a matrix of weights as it is stored. Each weight is read from memory
// once, so a single row runs at the speed of memory.

enum weight_type { WEIGHT_FLOAT, WEIGHT_BF16, WEIGHT_F16 };

// Rows of x, and of weights, that are multiplied out against each other in registers: their product
// is the number of accumulators.
#define TILE_ROWS (LANES == 16 ? 4 : 2)
#define TILE_OUTPUTS 4

// Weights of 16 bits.
INLINE vf weight_unpack(vh bits, const enum weight_type type) {
  return type == WEIGHT_BF16 ? vf_from_bf16(bits) : vf_from_f16(bits);
}

INLINE vf weight_load(const void *weight, int64_t at, const enum weight_type type) {
  switch (type) {
  case WEIGHT_FLOAT: return vf_load((const float *)weight + at);
  case WEIGHT_BF16: return vf_from_bf16(vh_load((const uint16_t *)weight + at));
  case WEIGHT_F16: return vf_from_f16(vh_load((const uint16_t *)weight + at));
  }
}

INLINE vf weight_load_part(const void *weight, int64_t at, int64_t n, const enum weight_type type) {
  switch (type) {
  case WEIGHT_FLOAT: return vf_load_part((const float *)weight + at, n);
  case WEIGHT_BF16: return vf_from_bf16(vh_load_some((const uint16_t *)weight + at, n));
  case WEIGHT_F16: return vf_from_f16(vh_load_some((const uint16_t *)weight + at, n));
  }
}

// The next n weights, at most a vector of them, zeros behind them.
INLINE vf weight_load_some(const void *weight, int64_t at, int64_t n, const enum weight_type type) {
  return n >= LANES ? weight_load(weight, at, type) : weight_load_part(weight, at, n, type);
}

#define FOR_TILE(INDEX, COUNT)                                                                    \
  _Pragma("clang loop unroll(full)") for (int INDEX = 0; INDEX < COUNT; INDEX++)

// y[r, o] for `tile_rows` rows of x and `tile_outputs` rows of weights from `at` on.
INLINE void product_tile(const float *x, const void *weight, int64_t at, int64_t inputs,
                         const float *bias, float *y, int64_t y_stride, const int tile_rows,
                         const int tile_outputs, const enum weight_type type) {
  vf sum[TILE_ROWS][TILE_OUTPUTS], w[TILE_OUTPUTS];
  FOR_TILE(r, tile_rows) FOR_TILE(o, tile_outputs) sum[r][o] = vf_set(0);
  int64_t i = 0;
  for (; i + LANES <= inputs; i += LANES) {
    FOR_TILE(o, tile_outputs) w[o] = weight_load(weight, at + o * inputs + i, type);
    FOR_TILE(r, tile_rows) {
      const vf xr = vf_load(x + r * inputs + i);
      FOR_TILE(o, tile_outputs) sum[r][o] += xr * w[o];
    }
  }
  if (i < inputs) {
    FOR_TILE(o, tile_outputs)
      w[o] = weight_load_part(weight, at + o * inputs + i, inputs - i, type);
    FOR_TILE(r, tile_rows) {
      const vf xr = vf_load_part(x + r * inputs + i, inputs - i);
      FOR_TILE(o, tile_outputs) sum[r][o] += xr * w[o];
    }
  }
  FOR_TILE(r, tile_rows) {
    float *part = y + r * y_stride;
    if (tile_outputs == TILE_OUTPUTS) {
      const vq sums = vf_sum4(sum[r][0], sum[r][1], sum[r][2], sum[r][3]);
      __builtin_memcpy(part, &sums, sizeof sums);
    } else {
      FOR_TILE(o, tile_outputs) part[o] = vf_sum(sum[r][o]);
    }
    if (bias) FOR_TILE(o, tile_outputs) part[o] += bias[o];
  }
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
#if LANES == 16
  case 3: TILE(3); break;
  case 2: TILE(2); break;
#endif
  case 1: TILE(1); break;
  }
#undef TILE
}

// One row with `streams` rows of weights, `apart` elements from each other.
INLINE void single_row_sums(const float *x, const void *weight, int64_t at, int64_t apart,
                            int64_t inputs, const int streams, float *y, int64_t y_apart,
                            const enum weight_type type) {
  enum { SUMS = 2 };
  const int64_t size = type == WEIGHT_FLOAT ? 4 : 2;
  vf sum[2][SUMS];
  FOR_TILE(t, streams) FOR_TILE(s, SUMS) sum[t][s] = vf_set(0);
  int64_t i = 0;
  for (; i + SUMS * LANES <= inputs; i += SUMS * LANES)
    FOR_TILE(t, streams) {
      read_ahead((const char *)weight + (at + t * apart + i) * size, SUMS * LANES * size);
      FOR_TILE(s, SUMS)
        sum[t][s] += vf_load(x + i + s * LANES) *
                     weight_load(weight, at + t * apart + i + s * LANES, type);
    }
  for (; i + LANES <= inputs; i += LANES)
    FOR_TILE(t, streams) sum[t][0] += vf_load(x + i) * weight_load(weight, at + t * apart + i, type);
  if (i < inputs)
    FOR_TILE(t, streams)
      sum[t][1] += vf_load_part(x + i, inputs - i) *
                   weight_load_part(weight, at + t * apart + i, inputs - i, type);
  FOR_TILE(t, streams) y[t * y_apart] = vf_sum(sum[t][0] + sum[t][1]);
}

// One row: the two halves of the weights are read side by side, each in the order of memory. That is
// half as fast again as one after the other on an EPYC, because a processor asks for memory ahead for each
// place that it reads at; neighbouring rows, which share pages, or more places at once, were slower there.
// On a Xeon that is asked ahead (read_ahead) the number of places makes no difference.
INLINE void single_row_products(const float *x, const void *weight, int64_t inputs,
                                const float *bias, int64_t outputs, float *y,
                                const enum weight_type type) {
  const int64_t half = outputs / 2;
  for (int64_t o = 0; o < half; o++)
    single_row_sums(x, weight, o * inputs, half * inputs, inputs, 2, y + o, half, type);
  if (outputs % 2)
    single_row_sums(x, weight, 2 * half * inputs, 0, inputs, 1, y + 2 * half, 0, type);
  if (bias) for (int64_t o = 0; o < outputs; o++) y[o] += bias[o];
}

INLINE void row_products(const float *x, int64_t rows, const void *weight, int64_t inputs,
                         const float *bias, int64_t outputs, float *y, int64_t y_stride,
                         const enum weight_type type) {
  if (rows == 1) {
    single_row_products(x, weight, inputs, bias, outputs, y, type);
    return;
  }
  int64_t o = 0;
  for (; o + TILE_OUTPUTS <= outputs; o += TILE_OUTPUTS)
    product_rows(x, rows, weight, o * inputs, inputs, bias ? bias + o : 0, y + o, y_stride,
                 TILE_OUTPUTS, type);
  for (; o < outputs; o++)
    product_rows(x, rows, weight, o * inputs, inputs, bias ? bias + o : 0, y + o, y_stride, 1,
                 type);
}

#ifdef MULTIPLIES_BF16

// As single_row_sums, with one operation for 32 weights in place of six: what waits for memory has few places
// in a processor, and the fewer operations follow a load, the more of memory is asked for at a time.
INLINE void row_sums_of_bf16(const uint16_t *x, const uint16_t *weight, int64_t apart, int64_t inputs,
                             const int streams, float *y, int64_t y_apart) {
  __m512 sum[2];
  FOR_TILE(t, streams) sum[t] = _mm512_setzero_ps();
  int64_t i = 0;
  for (; i + 2 * LANES <= inputs; i += 2 * LANES) {
    const __m512bh part = (__m512bh)_mm512_loadu_si512(x + i);
    FOR_TILE(t, streams) {
      read_ahead(weight + t * apart + i, 2 * LANES * sizeof *weight);
      sum[t] = _mm512_dpbf16_ps(sum[t], (__m512bh)_mm512_loadu_si512(weight + t * apart + i), part);
    }
  }
  if (i < inputs) {
    const __mmask32 there = (1u << (inputs - i)) - 1;
    const __m512bh part = (__m512bh)_mm512_maskz_loadu_epi16(there, x + i);
    FOR_TILE(t, streams)
      sum[t] = _mm512_dpbf16_ps(
          sum[t], (__m512bh)_mm512_maskz_loadu_epi16(there, weight + t * apart + i), part);
  }
  FOR_TILE(t, streams) y[t * y_apart] = vf_sum((vf)sum[t]);
}

// As single_row_products.
static void single_row_of_bf16(const uint16_t *x, const uint16_t *weight, int64_t inputs,
                                const float *bias, int64_t outputs, float *y) {
  const int64_t half = outputs / 2;
  for (int64_t o = 0; o < half; o++)
    row_sums_of_bf16(x, weight + o * inputs, half * inputs, inputs, 2, y + o, half);
  if (outputs % 2)
    row_sums_of_bf16(x, weight + 2 * half * inputs, 0, inputs, 1, y + 2 * half, 0);
  if (bias) for (int64_t o = 0; o < outputs; o++) y[o] += bias[o];
}

#else
#define single_row_of_bf16 0
#endif

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
    .f16_row_products = f16_row_products, .row_product_of_bf16 = single_row_of_bf16               \
  }
