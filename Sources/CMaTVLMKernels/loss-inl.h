// Losses over a row of logits, and sums of squares.
//
// The divergences are written as sums of terms that are never negative, so that a student close to
// its teacher loses no digits: Σ p (log p - log q) equals Σ p (e^u - 1 - u) with u = log q - log p,
// because both distributions add up to 1.

// Elements whose float32 sum is kept before it joins a double.
#define SUM_BLOCK 512

static struct matvlm_log_partition log_partition(const float *x, int64_t n, float factor) {
  vf most = vf_set(-INFINITY);
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) most = vf_max(most, vf_load(x + i));
  float maximum = -INFINITY;
  for (int lane = 0; lane < LANES; lane++) maximum = fmaxf(maximum, most[lane]);
  for (; i < n; i++) maximum = fmaxf(maximum, x[i]);
  double sum = 0;
  for (int64_t block = 0; block < n; block += SUM_BLOCK) {
    const int64_t end = block + SUM_BLOCK < n ? block + SUM_BLOCK : n;
    vf part = vf_set(0);
    for (i = block; i + LANES <= end; i += LANES)
      part += vf_exp((vf_load(x + i) - maximum) * factor);
    sum += vf_sum(part);
    for (; i < end; i++) sum += expf((x[i] - maximum) * factor);
  }
  return (struct matvlm_log_partition){maximum, (float)log(sum)};
}

INLINE vf log_probability(vf x, struct matvlm_log_partition z, float factor) {
  return (x - z.maximum) * factor - z.log_sum;
}

// p (e^u - 1 - u), u = log q - log p: without cancellation near 0, and without e^u, which is too
// large for a float where only p is next to nothing.
INLINE vf relative_entropy_term(vf p, vf q, vf u) {
  vf series = vf_set(1.0f / 40320.0f);
  series = series * u + 1.0f / 5040.0f;
  series = series * u + 1.0f / 720.0f;
  series = series * u + 1.0f / 120.0f;
  series = series * u + 1.0f / 24.0f;
  series = series * u + 1.0f / 6.0f;
  series = series * u + 0.5f;
  return vf_select(vf_abs(u) < 0.5f, p * series * u * u, q - p * (1.0f + u));
}

// Σ s^(2k + 1) / (2k + 1), the inverse hyperbolic tangent, for |s| < 0.2.
INLINE vf inverse_tanh(vf s) {
  const vf z = s * s;
  return s * (1.0f + z * (1.0f / 3.0f + z * (0.2f + z * (1.0f / 7.0f + z * (1.0f / 9.0f)))));
}

// (Cephes' tanhf.)
INLINE vf vf_tanh(vf x) {
  const vf z = x * x;
  vf p = vf_set(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const vf large = 1.0f - 2.0f / (vf_exp(2.0f * x) + 1.0f);
  return vf_select(vf_abs(x) < 0.625f, p * z * x + x, large);
}

// log cosh h, given tanh h: from -½ log(1 - tanh²) near 0, else |h| - log 2 + log(1 + e^-2|h|).
INLINE vf log_cosh(vf h, vf tanh_h) {
  const vf square = tanh_h * tanh_h;
  const vf small = inverse_tanh(square / (2.0f - square));
  const vf rest = vf_exp(-2.0f * vf_abs(h));
  const vf large = vf_abs(h) - 0.69314718055994531f + 2.0f * inverse_tanh(rest / (2.0f + rest));
  return vf_select(vf_abs(h) < 0.6f, small, large);
}

// What one column adds to a divergence, and to the mean under the student that its gradient needs.
struct column_terms {
  vf value;
  vf mean;
};

// With h half the difference of the log probabilities and m the mean of both probabilities,
// log m - log p = ±h + log cosh h and (q - p) / (q + p) = tanh h.
INLINE struct column_terms column_terms(vf s, vf t, const enum matvlm_divergence kind) {
  const vf p = vf_exp(s), q = vf_exp(t);
  switch (kind) {
  case MATVLM_FORWARD:
    return (struct column_terms){relative_entropy_term(q, p, s - t), vf_set(0)};
  case MATVLM_REVERSE:
    return (struct column_terms){relative_entropy_term(p, q, t - s), p * (s - t)};
  default: break;
  }
  const vf h = 0.5f * (s - t), slope = vf_tanh(h), curve = log_cosh(h, slope);
  const vf m = 0.5f * (p + q);
  if (kind == MATVLM_JENSEN_SHANNON)
    return (struct column_terms){m * (h * slope - curve), p * 0.5f * (h - curve)};
  return (struct column_terms){m * curve, p * 0.5f * curve};
}

// The gradient with respect to the student's logits over τ, one column.
INLINE vf column_gradient(vf s, vf t, vf mean, const enum matvlm_divergence kind) {
  const vf p = vf_exp(s);
  switch (kind) {
  case MATVLM_FORWARD: return p - vf_exp(t);
  case MATVLM_REVERSE: return p * (s - t - mean);
  default: break;
  }
  const vf h = 0.5f * (s - t), curve = log_cosh(h, vf_tanh(h));
  if (kind == MATVLM_JENSEN_SHANNON) return p * (0.5f * (h - curve) - mean);
  return p * (0.5f * curve - mean) + 0.25f * (p - vf_exp(t));
}

// Zero for what no sum of gradients would notice: products with it could be subnormal, which
// takes a hundred times as long.
INLINE vf without_dust(vf gradient) {
  return vf_select(vf_abs(gradient) < 1e-30f, vf_set(0), gradient);
}

INLINE double divergence_of_kind(const float *student, struct matvlm_log_partition zs,
                                 const float *teacher, struct matvlm_log_partition zt, int64_t n,
                                 float factor, float weight, float *gradient,
                                 const enum matvlm_divergence kind) {
  double value = 0, mean = 0;
  for (int64_t block = 0; block < n; block += SUM_BLOCK) {
    const int64_t end = block + SUM_BLOCK < n ? block + SUM_BLOCK : n;
    vf values = vf_set(0), means = vf_set(0);
    for (int64_t i = block; i < end; i += LANES) {
      const vf s = log_probability(vf_load_some(student + i, end - i), zs, factor);
      const vf t = log_probability(vf_load_some(teacher + i, end - i), zt, factor);
      const struct column_terms terms = column_terms(s, t, kind);
      if (gradient && kind == MATVLM_FORWARD) {  // needs no mean
        const vf slope = column_gradient(s, t, vf_set(0), kind);
        vf_store_some(gradient + i, without_dust(slope * weight), end - i);
      }
      const vi inside = first_lanes(end - i);
      values += vf_from_bits(vf_bits(terms.value) & inside);
      means += vf_from_bits(vf_bits(terms.mean) & inside);
    }
    value += vf_sum(values);
    mean += vf_sum(means);
  }
  if (!gradient || kind == MATVLM_FORWARD) return value;
  for (int64_t i = 0; i < n; i += LANES) {
    const vf s = log_probability(vf_load_some(student + i, n - i), zs, factor);
    const vf t = log_probability(vf_load_some(teacher + i, n - i), zt, factor);
    const vf slope = column_gradient(s, t, vf_set((float)mean), kind);
    vf_store_some(gradient + i, without_dust(slope * weight), n - i);
  }
  return value;
}

static double divergence(const float *student, struct matvlm_log_partition zs,
                         const float *teacher, struct matvlm_log_partition zt, int64_t n,
                         float factor, float weight, float *gradient,
                         enum matvlm_divergence kind) {
#define KIND(NAME)                                                                                \
  case NAME:                                                                                      \
    return divergence_of_kind(student, zs, teacher, zt, n, factor, weight, gradient, NAME)
  switch (kind) {
    KIND(MATVLM_FORWARD);
    KIND(MATVLM_REVERSE);
    KIND(MATVLM_JENSEN_SHANNON);
    KIND(MATVLM_JENSEN_SHANNON_AUTHORS);
  }
#undef KIND
}

static void add_softmax(const float *x, struct matvlm_log_partition z, int64_t n, float weight,
                        float *y) {
  for (int64_t i = 0; i < n; i += LANES) {
    const vf p = vf_exp(log_probability(vf_load_some(x + i, n - i), z, 1.0f));
    vf_store_some(y + i, without_dust(vf_load_some(y + i, n - i) + weight * p), n - i);
  }
}

static double sum_of_squares(const float *x, int64_t n) {
  vd sum = (vd)0.0;
  for (int64_t i = 0; i < n; i += LANES) {
    const vd v = __builtin_convertvector(vf_load_some(x + i, n - i), vd);
    sum += v * v;
  }
  return vd_sum(&sum);
}

static double squared_distance(const float *a, const float *b, int64_t n) {
  vd sum = (vd)0.0;
  for (int64_t i = 0; i < n; i += LANES) {
    const vf difference = vf_load_some(a + i, n - i) - vf_load_some(b + i, n - i);
    const vd v = __builtin_convertvector(difference, vd);
    sum += v * v;
  }
  return vd_sum(&sum);
}

#define LOSS_KERNELS                                                                              \
  {                                                                                               \
    .log_partition = log_partition, .divergence = divergence, .add_softmax = add_softmax,         \
    .sum_of_squares = sum_of_squares, .squared_distance = squared_distance                        \
  }
