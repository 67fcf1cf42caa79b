// The causal depthwise convolution of Mamba-2 with its SiLU. Vectors run along channels.

// Taps [K, MATVLM_CONVOLUTION_CHANNELS] of weights [channels, K], zeros up to a whole vector.
static void load_taps(const struct matvlm_convolution *c, float *taps) {
  for (ptrdiff_t k = 0; k < c->taps; k++) {
    float *tap = taps + k * MATVLM_CONVOLUTION_CHANNELS;
    for (ptrdiff_t i = 0; i < c->channels; i++) tap[i] = c->weight[i * c->taps + k];
    for (ptrdiff_t i = c->channels; i < padded(c->channels); i++) tap[i] = 0;
  }
}

// bias + Σ_k tap k · x[row − K + 1 + k] for channels from `at`.
INLINE vf convolve_row(const struct matvlm_convolution *c, const float *taps, ptrdiff_t row,
                       ptrdiff_t at) {
  const ptrdiff_t left = c->channels - at, stride = c->stride;
  const ptrdiff_t before = row < c->taps - 1 ? c->taps - 1 - row : 0;
  vf sum = vf_load_some(c->bias + at, left);
  if (c->tail)
    for (ptrdiff_t k = 0; k < before; k++)
      sum += vf_load(taps + k * MATVLM_CONVOLUTION_CHANNELS + at) *
             vf_load_some(c->tail + (row + k) * stride + at, left);
  const float *x = c->x + (row - c->taps + 1) * stride + at;
  for (ptrdiff_t k = before; k < c->taps; k++)
    sum += vf_load(taps + k * MATVLM_CONVOLUTION_CHANNELS + at) *
           vf_load_some(x + k * stride, left);
  return sum;
}

static void convolve(const struct matvlm_convolution *c, float *taps) {
  load_taps(c, taps);
  for (ptrdiff_t row = c->first; row < c->first + c->count; row++)
    for (ptrdiff_t at = 0; at < c->channels; at += LANES) {
      const vf z = convolve_row(c, taps, row, at);
      vf_store_some(c->y + row * c->stride + at, silu_value(z), c->channels - at);
    }
}

// The gradient of what SiLU is taken of, for the block's rows and the K − 1 after them, which see
// the block's rows too: g [rows, MATVLM_CONVOLUTION_CHANNELS].
static void gradient_before_silu(const struct matvlm_convolution_gradient *a, const float *taps,
                                 ptrdiff_t end, float *g) {
  const struct matvlm_convolution *c = &a->forward;
  for (ptrdiff_t row = c->first; row < end; row++)
    for (ptrdiff_t at = 0; at < c->channels; at += LANES) {
      const vf z = convolve_row(c, taps, row, at);
      const vf dy = vf_load_some(a->dy + row * c->stride + at, c->channels - at);
      vf_store(g + (row - c->first) * MATVLM_CONVOLUTION_CHANNELS + at, dy * silu_slope(z));
    }
}

// dx[row] = Σ_k tap k · g[row + K − 1 − k], as far as g goes.
INLINE vf input_gradient(const struct matvlm_convolution *c, const float *taps, const float *g,
                         ptrdiff_t row, ptrdiff_t end, ptrdiff_t at) {
  const ptrdiff_t first = c->taps - MIN(c->taps, end - row);
  vf sum = vf_set(0);
  for (ptrdiff_t k = first; k < c->taps; k++)
    sum += vf_load(taps + k * MATVLM_CONVOLUTION_CHANNELS + at) *
           vf_load(g + (row - c->first + c->taps - 1 - k) * MATVLM_CONVOLUTION_CHANNELS + at);
  return sum;
}

// Adds g · x[row − K + 1 + k] to the gradient of each tap, and g to that of the bias.
INLINE void add_parameter_gradients(const struct matvlm_convolution_gradient *a, vf g,
                                    ptrdiff_t row, ptrdiff_t at) {
  const struct matvlm_convolution *c = &a->forward;
  const ptrdiff_t left = c->channels - at, before = c->taps - 1 - MIN(c->taps - 1, row);
  for (ptrdiff_t k = before; k <= c->taps; k++) {
    float *sum = a->parameters + k * a->parameters_stride + at;
    const float *x = c->x + (row - c->taps + 1 + k) * c->stride + at;
    const vf term = k < c->taps ? g * vf_load_some(x, left) : g;
    vf_store_some(sum, vf_load_some(sum, left) + term, left);
  }
}

static void convolve_gradient(const struct matvlm_convolution_gradient *a, float *scratch) {
  const struct matvlm_convolution *c = &a->forward;
  float *taps = scratch, *g = taps + c->taps * MATVLM_CONVOLUTION_CHANNELS;
  const ptrdiff_t end = MIN(c->rows, c->first + c->count + c->taps - 1);
  load_taps(c, taps);
  gradient_before_silu(a, taps, end, g);
  for (ptrdiff_t k = 0; k <= c->taps; k++)
    memset(a->parameters + k * a->parameters_stride, 0, (size_t)c->channels * sizeof(float));
  for (ptrdiff_t row = c->first; row < c->first + c->count; row++)
    for (ptrdiff_t at = 0; at < c->channels; at += LANES) {
      const vf gradient = vf_load(g + (row - c->first) * MATVLM_CONVOLUTION_CHANNELS + at);
      vf_store_some(a->dx + row * c->stride + at, input_gradient(c, taps, g, row, end, at),
                     c->channels - at);
      add_parameter_gradients(a, gradient, row, at);
    }
}
