// Products of rounded rows with panels of codes. A panel's sums are one vector (or a few), so
// nothing is added across lanes, and codes are read in the order of memory.

typedef uint8_t vc __attribute__((ext_vector_type(4 * LANES)));

// Rows and panels that are multiplied out against each other in registers.
#define QUANTIZED_ROWS (LANES == 16 ? 6 : 2)
#define QUANTIZED_PANELS (LANES == 16 ? 2 : 1)
// Inputs that are multiplied before the next rows are: codes of that many stay in the nearest cache.
#define QUANTIZED_DEPTH 512

// sum[o] += Σ_j codes[4o + j] · quad[4o + j], four products for each lane. VNNI takes codes without
// a sign; elsewhere codes of 8 bits get theirs back first, since pairs are added in 16 bits.
INLINE vi dot4(vi sum, vc codes, vi quad) {
#if LANES == 16
  return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, (__m512i)quad);
#elif LANES == 8
  const __m256i row = (__m256i)quad;
  const __m256i pairs =
      _mm256_maddubs_epi16(_mm256_abs_epi8(row), _mm256_sign_epi8((__m256i)codes, row));
  return sum + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#else
  typedef int8_t bytes __attribute__((ext_vector_type(16)));
  typedef int16_t shorts __attribute__((ext_vector_type(16)));
  typedef int32_t ints __attribute__((ext_vector_type(16)));
  const shorts products = __builtin_convertvector((bytes)codes, shorts) *
                          __builtin_convertvector((bytes)quad, shorts);
  const ints p = __builtin_convertvector(products, ints);
  return sum + __builtin_shufflevector(p, p, 0, 4, 8, 12) +
         __builtin_shufflevector(p, p, 1, 5, 9, 13) + __builtin_shufflevector(p, p, 2, 6, 10, 14) +
         __builtin_shufflevector(p, p, 3, 7, 11, 15);
#endif
}

INLINE vc load_codes(const uint8_t *p) {
  vc codes;
  __builtin_memcpy(&codes, p, sizeof codes);
  return codes;
}

INLINE vi load_quad(const int8_t *p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, sizeof quad);
  return (vi)quad;
}

// A tile of y: rows from `row` on, panels from `panel` on, the groups from `first` to `end`.
struct quantized_tile {
  const struct matvlm_rounded_rows *x;
  const struct matvlm_quantized_matrix *weight;
  int64_t row, panel, first, end, groups;
  const float *bias;
  float *y;
  int64_t y_stride;
};

INLINE void quantized_tile(const struct quantized_tile *t, const int rows, const int panels,
                           const int bits) {
  const int vectors = panels * PANEL_VECTORS;
  const int64_t group = t->weight->group, groups = t->groups;
  const int64_t panel_bytes = groups * group * bits / 8 * MATVLM_PANEL;
  const uint8_t *codes = t->weight->codes + t->panel * panel_bytes;
  const uint16_t *scales = t->weight->scales + t->panel * groups * MATVLM_PANEL;
  const int8_t *x = t->x->codes + t->row * groups * group;
  const int64_t output = t->panel * MATVLM_PANEL, left = t->weight->outputs - output;
  vf total[QUANTIZED_ROWS][QUANTIZED_PANELS * PANEL_VECTORS];
  FOR_TILE(r, rows) FOR_TILE(v, vectors) {
    const float *from = t->first ? t->y + r * t->y_stride + v * LANES
                        : t->bias ? t->bias + output + v * LANES : 0;
    total[r][v] = from ? vf_load_some(from, left - v * LANES) : vf_set(0);
  }
  for (int64_t g = t->first; g < t->end; g++) {
    vi sum[QUANTIZED_ROWS][QUANTIZED_PANELS * PANEL_VECTORS];
    FOR_TILE(r, rows) FOR_TILE(v, vectors)
      sum[r][v] = (vi)t->x->corrections[(t->row + r) * groups + g];
    const uint8_t *part = codes + g * group * bits / 8 * MATVLM_PANEL;
    const int8_t *quads = x + g * group;
    for (int64_t k = 0; k < group; k += 32 / bits, part += 4 * MATVLM_PANEL) {
      vc c[QUANTIZED_PANELS * PANEL_VECTORS], high[QUANTIZED_PANELS * PANEL_VECTORS];
      FOR_TILE(v, vectors) {
        c[v] = load_codes(part + v / PANEL_VECTORS * panel_bytes + v % PANEL_VECTORS * 4 * LANES);
        if (bits == 4) high[v] = (vc)((vi)c[v] >> 4) & 15, c[v] &= 15;
        else if (LANES != 16) c[v] ^= 128;
      }
      FOR_TILE(r, rows) {
        const vi quad = load_quad(quads + r * groups * group + k);
        FOR_TILE(v, vectors) sum[r][v] = dot4(sum[r][v], c[v], quad);
        if (bits == 4) {
          const vi next = load_quad(quads + r * groups * group + k + 4);
          FOR_TILE(v, vectors) sum[r][v] = dot4(sum[r][v], high[v], next);
        }
      }
    }
    vf scale[QUANTIZED_PANELS * PANEL_VECTORS];
    FOR_TILE(v, vectors)
      scale[v] = vf_from_bf16(vh_load(scales + (v / PANEL_VECTORS * groups + g) * MATVLM_PANEL +
                                      v % PANEL_VECTORS * LANES));
    FOR_TILE(r, rows) {
      const vf own = vf_set(t->x->scales[(t->row + r) * groups + g]);
      FOR_TILE(v, vectors)
        total[r][v] += __builtin_convertvector(sum[r][v], vf) * (scale[v] * own);
    }
  }
  FOR_TILE(r, rows) FOR_TILE(v, vectors)
    vf_store_some(t->y + r * t->y_stride + v * LANES, total[r][v], left - v * LANES);
}

#ifdef MULTIPLIES_TILES
#include "quantized-tiles-inl.h"
#endif

// All rows of one or two panels, for some groups.
INLINE void quantized_rows(struct quantized_tile t, int64_t rows, const int panels,
                           const int bits) {
#define TILE_OF(ROWS)                                                                             \
  quantized_tile(&t, ROWS, panels, bits), t.row += ROWS, t.y += ROWS * t.y_stride
#ifdef MULTIPLIES_TILES
  t.row = quantized_tiles(t, rows, panels, bits), t.y += t.row * t.y_stride;
#endif
  while (t.row + QUANTIZED_ROWS <= rows) TILE_OF(QUANTIZED_ROWS);
  switch (rows - t.row) {
#if LANES == 16
  case 5: TILE_OF(5); break;
  case 4: TILE_OF(4); break;
  case 3: TILE_OF(3); break;
  case 2: TILE_OF(2); break;
#endif
  case 1: TILE_OF(1); break;
  }
#undef TILE_OF
}

// The sums of one row with one panel, for a group.
INLINE void group_sums(const uint8_t *codes, const int8_t *quads, vi start, vi sum[PANEL_VECTORS],
                       const int64_t group, const int bits) {
  // With VNNI the high halves stay where they are, and only their sum is divided by 16: elsewhere pairs
  // of such products do not fit into 16 bits.
  const int divides = bits == 4 && LANES == 16;
  vi high[PANEL_VECTORS];
  FOR_TILE(v, PANEL_VECTORS) sum[v] = start, high[v] = (vi)(0);
  _Pragma("clang loop unroll_count(8)")
  for (int64_t k = 0; k < group; k += 32 / bits, codes += 4 * MATVLM_PANEL)
    FOR_TILE(v, PANEL_VECTORS) {
      read_ahead(codes + v * 4 * LANES, 4 * LANES);
      const vc c = load_codes(codes + v * 4 * LANES);
      if (bits == 8) {
        sum[v] = dot4(sum[v], LANES == 16 ? c : c ^ 128, load_quad(quads + k));
        continue;
      }
      const vi next = load_quad(quads + k + 4);
      sum[v] = dot4(sum[v], c & 15, load_quad(quads + k));
      if (divides) high[v] = dot4(high[v], c & 240, next);
      else sum[v] = dot4(sum[v], (vc)((vi)c >> 4) & 15, next);
    }
  if (divides) FOR_TILE(v, PANEL_VECTORS) sum[v] += high[v] >> 4;
}

// One row and one panel. Such products wait for memory, and a processor has room for some dozens of
// operations that wait: the fewer follow each load, the more of memory is asked for at a time.
INLINE void quantized_row(const struct quantized_tile *t, const int64_t group, const int bits) {
  const int64_t bytes = group * bits / 8 * MATVLM_PANEL;
  const uint8_t *codes = t->weight->codes + t->panel * t->groups * bytes;
  const uint16_t *scales = t->weight->scales + t->panel * t->groups * MATVLM_PANEL;
  const int64_t output = t->panel * MATVLM_PANEL, left = t->weight->outputs - output;
  vf total[PANEL_VECTORS];
  FOR_TILE(v, PANEL_VECTORS)
    total[v] = t->bias ? vf_load_some(t->bias + output + v * LANES, left - v * LANES) : vf_set(0);
  for (int64_t g = 0; g < t->groups; g++, codes += bytes, scales += MATVLM_PANEL) {
    vi sum[PANEL_VECTORS];
    group_sums(codes, t->x->codes + g * group, (vi)t->x->corrections[g], sum, group, bits);
    const vf own = vf_set(t->x->scales[g]);
    FOR_TILE(v, PANEL_VECTORS)
      total[v] += __builtin_convertvector(sum[v], vf) *
                  (vf_from_bf16(vh_load(scales + v * LANES)) * own);
  }
  FOR_TILE(v, PANEL_VECTORS) vf_store_some(t->y + v * LANES, total[v], left - v * LANES);
}

INLINE void quantized_panels(const struct matvlm_rounded_rows *x, int64_t rows,
                             const struct matvlm_quantized_matrix *weight, int64_t first_panel,
                             int64_t panels, const float *bias, float *y, int64_t y_stride,
                             const int bits) {
  const int64_t groups = (weight->inputs + weight->group - 1) / weight->group;
  const int64_t depth = rows <= QUANTIZED_ROWS ? groups : QUANTIZED_DEPTH / weight->group;
  if (rows == 1) {
    for (int64_t p = 0; p < panels; p++) {
      const struct quantized_tile tile = {x, weight, 0, first_panel + p, 0, groups, groups, bias,
                                          y + p * MATVLM_PANEL, y_stride};
      switch (weight->group) {
      case 32: quantized_row(&tile, 32, bits); break;
      case 64: quantized_row(&tile, 64, bits); break;
      case 128: quantized_row(&tile, 128, bits); break;
      case 256: quantized_row(&tile, 256, bits); break;
      default: __builtin_trap();
      }
    }
    return;
  }
  for (int64_t p = 0; p < panels;) {
    const int64_t width = p + QUANTIZED_PANELS <= panels ? QUANTIZED_PANELS : 1;
    for (int64_t first = 0; first < groups; first += depth) {
      const struct quantized_tile tile = {
          x, weight, 0, first_panel + p, first, MIN(groups, first + depth), groups, bias,
          y + p * MATVLM_PANEL, y_stride};
      if (width == QUANTIZED_PANELS) quantized_rows(tile, rows, QUANTIZED_PANELS, bits);
      else quantized_rows(tile, rows, 1, bits);
    }
    p += width;
  }
}

// y begins at the first panel's first output.
static void quantized_products(const struct matvlm_rounded_rows *x, int64_t rows,
                               const struct matvlm_quantized_matrix *weight, int64_t first_panel,
                               int64_t panels, const float *bias, float *y, int64_t y_stride) {
  if (weight->bits == 8)
    quantized_panels(x, rows, weight, first_panel, panels, bias, y, y_stride, 8);
  else
    quantized_panels(x, rows, weight, first_panel, panels, bias, y, y_stride, 4);
}

#define QUANTIZED_KERNELS                                                                         \
  {                                                                                               \
    .quantize_panel = quantize_panel, .unpack = unpack, .round_rows = round_rows,                 \
    .products = quantized_products                                                                \
  }
