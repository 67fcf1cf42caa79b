// Layer norm and gated RMS norm, both directions. Rows are short enough to stay in the first-level
// cache, so each goes over its row as often as accuracy wants.

struct row_moments {
  float mean;
  float scale;  // 1 / √(variance + ε)
};

// The variance in a second pass, from the mean: no cancellation.
static struct row_moments moments_of(const float *x, int64_t width, float epsilon) {
  vf sum = vf_set(0);
  for (int64_t j = 0; j < width; j += LANES) sum += vf_load_some(x + j, width - j);
  const float mean = vf_sum(sum) / (float)width;
  vf squares = vf_set(0);
  int64_t j = 0;
  for (; j + LANES <= width; j += LANES) {
    const vf centred = vf_load(x + j) - mean;
    squares += centred * centred;
  }
  float variance = vf_sum(squares);
  for (; j < width; j++) variance += (x[j] - mean) * (x[j] - mean);
  variance /= (float)width;
  return (struct row_moments){mean, 1.0f / sqrtf(variance + epsilon)};
}

static void layer_norm(const float *x, const float *weight, const float *bias, float *y,
                       int64_t rows, int64_t width, float epsilon) {
  for (int64_t t = 0; t < rows; t++, x += width, y += width) {
    const struct row_moments row = moments_of(x, width, epsilon);
    for (int64_t j = 0; j < width; j += LANES) {
      const int64_t left = width - j;
      const vf normal = (vf_load_some(x + j, left) - row.mean) * row.scale;
      const vf w = vf_load_some(weight + j, left), b = vf_load_some(bias + j, left);
      vf_store_some(y + j, normal * w + b, left);
    }
  }
}

// With n the normalised row and g = dy ⊙ weight: dx = (g - mean(g) - n mean(g ⊙ n)) · scale.
static void layer_norm_gradient(const float *dy, const float *x, const float *weight, float *dx,
                                float *dweight, float *dbias, int64_t rows, int64_t width,
                                float epsilon) {
  for (int64_t t = 0; t < rows; t++, dy += width, x += width, dx += width) {
    const struct row_moments row = moments_of(x, width, epsilon);
    vf sum = vf_set(0), projection = vf_set(0);
    for (int64_t j = 0; j < width; j += LANES) {
      const int64_t left = width - j;
      const vf normal = (vf_load_some(x + j, left) - row.mean) * row.scale;
      const vf d = vf_load_some(dy + j, left), g = d * vf_load_some(weight + j, left);
      sum += g;
      projection += g * normal;
      if (dweight && dbias) {
        vf_store_some(dweight + j, vf_load_some(dweight + j, left) + d * normal, left);
        vf_store_some(dbias + j, vf_load_some(dbias + j, left) + d, left);
      }
    }
    const float mean = vf_sum(sum) / (float)width, slope = vf_sum(projection) / (float)width;
    for (int64_t j = 0; j < width; j += LANES) {
      // g is rounded before the mean is taken off, so that equal ones leave exactly nothing.
#pragma clang fp contract(on)
      const int64_t left = width - j;
      const vf normal = (vf_load_some(x + j, left) - row.mean) * row.scale;
      const vf g = vf_load_some(dy + j, left) * vf_load_some(weight + j, left);
      vf_store_some(dx + j, (g - mean - normal * slope) * row.scale, left);
    }
  }
}

// y = x ⊙ silu(gate); returns 1 / √(mean(y²) + ε).
static float gate_group(const float *x, const float *gate, float *y, int64_t width, float epsilon) {
  vf squares = vf_set(0);
  for (int64_t j = 0; j < width; j += LANES) {
    const int64_t left = width - j;
    const vf z = vf_load_some(gate + j, left);
    const vf gated = vf_load_some(x + j, left) * z * vf_sigmoid(z);
    squares += gated * gated;
    vf_store_some(y + j, gated, left);
  }
  return 1.0f / sqrtf(vf_sum(squares) / (float)width + epsilon);
}

static void gated_rms_norm(const float *x, const float *gate, const float *weight, float *y,
                           int64_t rows, int64_t groups, int64_t width, float epsilon) {
  for (int64_t i = 0; i < rows * groups; i++, x += width, gate += width, y += width) {
    const float scale = gate_group(x, gate, y, width, epsilon);
    const float *w = weight + i % groups * width;
    for (int64_t j = 0; j < width; j += LANES) {
      const int64_t left = width - j;
      vf_store_some(y + j, vf_load_some(y + j, left) * scale * vf_load_some(w + j, left), left);
    }
  }
}

// With g the gated row, n = g · scale and e = dy ⊙ weight: dg = (e - n mean(e ⊙ n)) · scale.
static void gated_rms_norm_gradient(const float *dy, const float *x, const float *gate,
                                    const float *weight, float *dx, float *dgate, float *dweight,
                                    int64_t rows, int64_t groups, int64_t width, float epsilon) {
  for (int64_t i = 0; i < rows * groups; i++) {
    const int64_t at = i * width, column = i % groups * width;
    const float scale = gate_group(x + at, gate + at, dx + at, width, epsilon);
    vf projection = vf_set(0);
    for (int64_t j = 0; j < width; j += LANES) {
      const int64_t left = width - j;
      const vf d = vf_load_some(dy + at + j, left);
      const vf normal = vf_load_some(dx + at + j, left) * scale;
      projection += d * vf_load_some(weight + column + j, left) * normal;
      float *w = dweight + column + j;
      vf_store_some(w, vf_load_some(w, left) + d * normal, left);
    }
    const float slope = vf_sum(projection) / (float)width;
    for (int64_t j = 0; j < width; j += LANES) {
      const int64_t left = width - j;
      const vf e = vf_load_some(dy + at + j, left) * vf_load_some(weight + column + j, left);
      const vf dg = (e - vf_load_some(dx + at + j, left) * scale * slope) * scale;
      const vf z = vf_load_some(gate + at + j, left);
      const vf open = vf_sigmoid(z);
      const vf slope_of_gate = open + z * vf_sigmoid_slope(z);
      vf_store_some(dgate + at + j, dg * vf_load_some(x + at + j, left) * slope_of_gate, left);
      vf_store_some(dx + at + j, dg * z * open, left);
    }
  }
}

#define NORMALIZE_KERNELS                                                                         \
  {                                                                                               \
    .layer_norm = layer_norm, .layer_norm_gradient = layer_norm_gradient,                         \
    .gated_rms_norm = gated_rms_norm, .gated_rms_norm_gradient = gated_rms_norm_gradient          \
  }
