// Element by element: sums, products, activations, conversions, AdamW.

#define UNARY(NAME, VALUE)                                                                        \
  static void NAME(const float *px, float *y, int64_t n) {                                        \
    for (int64_t i = 0; i < n; i += LANES) {                                                      \
      const vf x = vf_load_some(px + i, n - i);                                                   \
      vf_store_some(y + i, VALUE, n - i);                                                         \
    }                                                                                             \
  }
#define BINARY(NAME, VALUE)                                                                       \
  static void NAME(const float *pa, const float *px, float *y, int64_t n) {                       \
    for (int64_t i = 0; i < n; i += LANES) {                                                      \
      const vf a = vf_load_some(pa + i, n - i), x = vf_load_some(px + i, n - i);                  \
      vf_store_some(y + i, VALUE, n - i);                                                         \
    }                                                                                             \
  }

BINARY(add, a + x)
BINARY(multiply, a * x)

static void scale(const float *x, float factor, float *y, int64_t n) {
  for (int64_t i = 0; i < n; i += LANES)
    vf_store_some(y + i, vf_load_some(x + i, n - i) * factor, n - i);
}

static void scale_difference(const float *a, const float *b, float factor, float *y, int64_t n) {
  for (int64_t i = 0; i < n; i += LANES) {
    const vf difference = vf_load_some(a + i, n - i) - vf_load_some(b + i, n - i);
    vf_store_some(y + i, difference * factor, n - i);
  }
}

static void add_rows(const float *x, int64_t rows, int64_t stride, int64_t width, float *y) {
  for (int64_t j = 0; j < width; j += LANES) {
    vf sum = vf_load_some(y + j, width - j);
    for (int64_t t = 0; t < rows; t++) sum += vf_load_some(x + t * stride + j, width - j);
    vf_store_some(y + j, sum, width - j);
  }
}

// Activations

// From here on the error function is 1 but for a float's rounding.
#define ERF_LIMIT 3.7439211627767994f

// The error function as x P(x²) / Q(x²) (XLA's minimax coefficients).
INLINE vf vf_erf(vf x) {
  const vf z = x * x;
  vf p = vf_set(0.00022905065861350646f);
  p = p * z + 0.0034082910107109506f;
  p = p * z + 0.050955695062380861f;
  p = p * z + 0.18520832239976145f;
  p = p * z + 1.128379143519084f;
  vf q = vf_set(-1.1791602954361697e-7f);
  q = q * z + 0.000023547966471313185f;
  q = q * z + 0.0010179625278914885f;
  q = q * z + 0.014070470171167667f;
  q = q * z + 0.11098505178285362f;
  q = q * z + 0.49746925110067538f;
  q = q * z + 1.0f;
  const vf one = vf_from_bits((vf_bits(x) & INT32_MIN) | vf_bits(vf_set(1.0f)));
  return vf_select(vf_abs(x) < ERF_LIMIT, x * p / q, one);
}

#define SQRT_HALF 0.70710678118654752f
#define INVERSE_SQRT_TWO_PI 0.39894228040143268f
#define SQRT_TWO_OVER_PI 0.79788456080286536f
#define GELU_CUBIC 0.044715f

INLINE vf gelu_value(vf x) { return x * (0.5f + 0.5f * vf_erf(x * SQRT_HALF)); }

INLINE vf gelu_slope(vf x) {
  return 0.5f + 0.5f * vf_erf(x * SQRT_HALF) + x * vf_exp(-0.5f * x * x) * INVERSE_SQRT_TWO_PI;
}

// ½(1 + tanh u) is σ(2u); this is 2u.
INLINE vf gelu_tanh_inner(vf x) {
  return 2.0f * SQRT_TWO_OVER_PI * x * (1.0f + GELU_CUBIC * x * x);
}

INLINE vf gelu_tanh_value(vf x) { return x * vf_sigmoid(gelu_tanh_inner(x)); }

INLINE vf gelu_tanh_slope(vf x) {
  const vf gate = vf_sigmoid(gelu_tanh_inner(x));
  const vf growth = 2.0f * SQRT_TWO_OVER_PI * (1.0f + 3.0f * GELU_CUBIC * x * x);
  return gate + x * vf_sigmoid_slope(gelu_tanh_inner(x)) * growth;
}

INLINE vf silu_value(vf x) { return x * vf_sigmoid(x); }

INLINE vf silu_slope(vf x) { return vf_sigmoid(x) + x * vf_sigmoid_slope(x); }

UNARY(gelu, gelu_value(x))
UNARY(gelu_tanh, gelu_tanh_value(x))
UNARY(silu, silu_value(x))
BINARY(gelu_gradient, a * gelu_slope(x))
BINARY(gelu_tanh_gradient, a * gelu_tanh_slope(x))
BINARY(silu_gradient, a * silu_slope(x))

// Conversions

#define FROM_HALF(NAME, CONVERT)                                                                  \
  static void NAME(const uint16_t *x, float *y, int64_t n) {                                      \
    for (int64_t i = 0; i < n; i += LANES)                                                        \
      vf_store_some(y + i, CONVERT(vh_load_some(x + i, n - i)), n - i);                           \
  }
#define TO_HALF(NAME, CONVERT)                                                                    \
  static void NAME(const float *x, uint16_t *y, int64_t n) {                                      \
    for (int64_t i = 0; i < n; i += LANES)                                                        \
      vh_store_some(y + i, CONVERT(vf_load_some(x + i, n - i)), n - i);                           \
  }

FROM_HALF(bf16_to_float, vf_from_bf16)
FROM_HALF(f16_to_float, vf_from_f16)
TO_HALF(float_to_bf16, vf_to_bf16)
TO_HALF(float_to_f16, vf_to_f16)

// Training

static void adamw(float *value, const float *gradient, float *first, float *second, int64_t n,
                  const struct matvlm_adamw *step) {
  for (int64_t i = 0; i < n; i += LANES) {
    const int64_t left = n - i;
    const vf g = vf_load_some(gradient + i, left) * step->gradient_scale;
    const vf m = vf_load_some(first + i, left) * step->beta1 + g * (1.0f - step->beta1);
    const vf v = vf_load_some(second + i, left) * step->beta2 + g * g * (1.0f - step->beta2);
    const vf denominator = vf_sqrt(v) * step->inverse_root_correction2 + step->epsilon;
    const vf kept = vf_load_some(value + i, left) * step->decay;
    vf_store_some(value + i, kept - step->step_size * (m / denominator), left);
    vf_store_some(first + i, m, left);
    vf_store_some(second + i, v, left);
  }
}

#define ELEMENTWISE_KERNELS                                                                       \
  {                                                                                               \
    .add = add, .multiply = multiply, .scale = scale, .scale_difference = scale_difference,       \
    .add_rows = add_rows, .gelu = gelu, .gelu_tanh = gelu_tanh, .silu = silu,                     \
    .gelu_gradient = gelu_gradient, .gelu_tanh_gradient = gelu_tanh_gradient,                     \
    .silu_gradient = silu_gradient, .bf16_to_float = bf16_to_float,                               \
    .f16_to_float = f16_to_float, .float_to_bf16 = float_to_bf16, .float_to_f16 = float_to_f16,   \
    .adamw = adamw                                                                                \
  }
