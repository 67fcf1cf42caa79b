// Rounding to groups of small integers, and back.

typedef int8_t vb8 __attribute__((ext_vector_type(LANES)));

// Vectors that hold one number for each output of a panel.
#define PANEL_VECTORS (MATVLM_PANEL / LANES)

// Below this a scale is zero: its inverse would not be finite.
#define LEAST_SCALE 1e-30f

// What is added to codes of weights before they are multiplied; `dot4` says why.
#define CODE_OFFSET(bits) ((bits) == 4 ? 8 : LANES == 16 ? 128 : 0)

INLINE vf vf_round(vf v) { return __builtin_elementwise_rint(v); }

// One over the scale, 0 where that is too small.
INLINE vf inverse_scale(vf scale) {
  const vi usable = vf_abs(scale) > LEAST_SCALE;
  return vf_select(usable, 1.0f / vf_select(usable, scale, vf_set(1)), vf_set(0));
}

INLINE vf codes_of(vf x, vf inverse, float lowest, float highest) {
  return vf_min(vf_max(vf_round(x * inverse), vf_set(lowest)), vf_set(highest));
}

// Scales are exact in bfloat16. In what follows columns[k · 16] are the weights of LANES outputs for
// input k of a group.
INLINE vf int8_scale(vf top) {
  // Rounded up, so that the largest weight stays in range.
  return vf_from_bits((vf_bits(vf_abs(top) / 127.0f) + 0xffff) & (int32_t)0xffff0000);
}

// Squared error of rounding with a scale.
INLINE vf int4_error(const float *columns, int64_t group, vf scale) {
  const vf inverse = inverse_scale(scale);
  vf error = vf_set(0);
  for (int64_t k = 0; k < group; k++) {
    const vf x = vf_load(columns + k * MATVLM_PANEL);
    const vf rest = x - codes_of(x, inverse, -8, 7) * scale;
    error += rest * rest;
  }
  return error;
}

// The largest weight becomes -8, or a little more or less, whichever leaves the least error.
INLINE vf int4_scale(const float *columns, int64_t group, vf top) {
  vf best = vf_set(0), least = vf_set(3e38f);
  for (int step = 0; step < 9; step++) {
    const vf scale = vf_from_bf16(vf_to_bf16(top / (-9.0f + 0.375f * (float)step)));
    const vf error = int4_error(columns, group, scale);
    const vi better = error < least;
    best = vf_select(better, scale, best);
    least = vf_select(better, error, least);
  }
  return best;
}

// Codes of one group for LANES outputs: four neighbouring inputs of an output are one 32-bit word.
INLINE void store_codes(const float *columns, int64_t group, int64_t bits, vf scale,
                        uint8_t *codes) {
  const vf inverse = inverse_scale(scale);
  const float lowest = bits == 8 ? -127 : -8, highest = bits == 8 ? 127 : 7;
  const int32_t offset = bits == 8 ? 128 : 8;
  for (int64_t k = 0; k < group; k += 32 / bits) {
    vi words = (vi)0;
    for (int64_t i = 0; i < 32 / bits; i++) {
      const vf x = vf_load(columns + (k + i) * MATVLM_PANEL);
      const vi code = __builtin_convertvector(codes_of(x, inverse, lowest, highest), vi) + offset;
      words |= code << (int32_t)(bits == 8 ? 8 * i : i < 4 ? 8 * i : 8 * (i - 4) + 4);
    }
    __builtin_memcpy(codes + k * bits / 32 * 4 * MATVLM_PANEL, &words, sizeof words);
  }
}

static void quantize_panel(const float *x, int64_t rows, int64_t inputs, int64_t group,
                           int64_t bits, uint16_t *scales, uint8_t *codes, float *columns) {
  const int64_t groups = (inputs + group - 1) / group;
  memset(columns, 0, (size_t)(groups * group * MATVLM_PANEL) * sizeof(float));
  panel_transpose(x, rows, inputs, inputs, columns, MATVLM_PANEL, 1);
  for (int64_t g = 0; g < groups; g++)
    for (int64_t o = 0; o < MATVLM_PANEL; o += LANES) {
      const float *part = columns + g * group * MATVLM_PANEL + o;
      vf top = vf_set(0), poison = vf_set(0);
      for (int64_t k = 0; k < group; k++) {
        const vf v = vf_load(part + k * MATVLM_PANEL);
        top = vf_select(vf_abs(v) > vf_abs(top), v, top);
        poison += v * 0.0f;
      }
      const vf scale = bits == 8 ? int8_scale(top) : int4_scale(part, group, top);
      vh_store(scales + g * MATVLM_PANEL + o, vf_to_bf16(scale + poison));
      store_codes(part, group, bits, scale,
                  codes + g * group * bits / 32 * 4 * MATVLM_PANEL + 4 * o);
    }
}

static void unpack(const struct matvlm_quantized_matrix *w, int64_t output, int64_t first,
                   int64_t count, float *y) {
  const int64_t groups = (w->inputs + w->group - 1) / w->group;
  const int64_t panel = output / MATVLM_PANEL, lane = output % MATVLM_PANEL;
  const uint16_t *scales = w->scales + panel * groups * MATVLM_PANEL + lane;
  const uint8_t *codes =
      w->codes + panel * groups * w->group * w->bits / 8 * MATVLM_PANEL + 4 * lane;
  for (int64_t i = 0; i < count;) {
    const int64_t k = first + i, g = k / w->group;
    const int64_t end = MIN(first + count, (g + 1) * w->group) - first;
    const uint32_t bits = (uint32_t)scales[g * MATVLM_PANEL] << 16;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    for (; i < end; i++) {
      const int64_t at = first + i;
      const uint8_t *quad = codes + at * w->bits / 32 * 4 * MATVLM_PANEL + at % 4;
      const int code = w->bits == 8 ? *quad - 128 : (at % 8 < 4 ? *quad & 15 : *quad >> 4) - 8;
      y[i] = (float)code * scale;
    }
  }
}

// One group of one row; returns the sum of its codes.
INLINE int32_t round_group(const float *x, int64_t count, int64_t group, int8_t *codes,
                           float *scale) {
  vf top = vf_set(0), poison = vf_set(0);
  for (int64_t k = 0; k < count; k += LANES) {
    const vf v = vf_load_some(x + k, count - k);
    top = vf_max(top, vf_abs(v));
    poison += v * 0.0f;
  }
  float most = top[0];
  for (int i = 1; i < LANES; i++) most = top[i] > most ? top[i] : most;
  *scale = most / 127.0f + vf_sum(poison);
  const vf inverse = inverse_scale(vf_set(most / 127.0f));
  vi sum = (vi)0;
  for (int64_t k = 0; k < group; k += LANES) {
    const vf v = k < count ? vf_load_some(x + k, count - k) : vf_set(0);
    const vi code = __builtin_convertvector(codes_of(v, inverse, -127, 127), vi);
    const vb8 bytes = __builtin_convertvector(code, vb8);
    __builtin_memcpy(codes + k, &bytes, sizeof bytes);
    sum += code;
  }
  return __builtin_reduce_add(sum);
}

static void round_rows(const float *x, int64_t rows, int64_t inputs, int64_t group, int64_t bits,
                       const struct matvlm_rounded_rows *rounded) {
  const int64_t groups = (inputs + group - 1) / group;
  for (int64_t t = 0; t < rows; t++)
    for (int64_t g = 0; g < groups; g++) {
      const int64_t at = t * groups + g;
      const int32_t sum =
          round_group(x + t * inputs + g * group, MIN(group, inputs - g * group), group,
                      rounded->codes + at * group, rounded->scales + at);
      rounded->corrections[at] = -CODE_OFFSET(bits) * sum;
    }
}
