// The causal depthwise convolution of Mamba-2 with its SiLU. Vectors run along channels.

INLINE vf load_channels(const float *p, ptrdiff_t channels) {
  return channels >= LANES ? vf_load(p) : vf_load_part(p, channels);
}
INLINE void store_channels(float *p, vf v, ptrdiff_t channels) {
  if (channels >= LANES) vf_store(p, v);
  else vf_store_part(p, v, channels);
}

// Taps [K, MATVLM_CONVOLUTION_CHANNELS] of weights [channels, K], zeros behind the last channel.
static void load_taps(const struct matvlm_convolution *c, float *taps) {
  memset(taps, 0, (size_t)(c->taps * MATVLM_CONVOLUTION_CHANNELS) * sizeof(float));
  panel_transpose(c->weight, c->channels, c->taps, c->taps, taps, MATVLM_CONVOLUTION_CHANNELS, 1);
}

// bias + Σ_k tap k · x[row − K + 1 + k] for channels from `at`.
INLINE vf convolve_row(const struct matvlm_convolution *c, const float *taps, ptrdiff_t row,
                       ptrdiff_t at) {
  const ptrdiff_t left = c->channels - at, stride = c->stride;
  const ptrdiff_t before = row < c->taps - 1 ? c->taps - 1 - row : 0;
  vf sum = load_channels(c->bias + at, left);
  if (c->tail)
    for (ptrdiff_t k = 0; k < before; k++)
      sum += vf_load(taps + k * MATVLM_CONVOLUTION_CHANNELS + at) *
             load_channels(c->tail + (row + k) * stride + at, left);
  const float *x = c->x + (row - c->taps + 1) * stride + at;
  for (ptrdiff_t k = before; k < c->taps; k++)
    sum += vf_load(taps + k * MATVLM_CONVOLUTION_CHANNELS + at) *
           load_channels(x + k * stride, left);
  return sum;
}

static void convolve(const struct matvlm_convolution *c, float *taps) {
  load_taps(c, taps);
  for (ptrdiff_t row = c->first; row < c->first + c->count; row++)
    for (ptrdiff_t at = 0; at < c->channels; at += LANES) {
      const vf z = convolve_row(c, taps, row, at);
      store_channels(c->y + row * c->stride + at, z / (1.0f + vf_exp(-z)), c->channels - at);
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
      const vf s = 1.0f / (1.0f + vf_exp(-z));
      const vf dy = load_channels(a->dy + row * c->stride + at, c->channels - at);
      vf_store(g + (row - c->first) * MATVLM_CONVOLUTION_CHANNELS + at,
               dy * s * (1.0f + z * (1.0f - s)));
    }
}

// Sums over the block's rows of g (k = K) or g · x[row − K + 1 + k].
INLINE vf parameter_gradient(const struct matvlm_convolution *c, const float *g, ptrdiff_t at,
                             ptrdiff_t k) {
  const ptrdiff_t shift = k - c->taps + 1;
  vf sum = vf_set(0);
  for (ptrdiff_t i = 0; i < c->count; i++) {
    const vf gradient = vf_load(g + i * MATVLM_CONVOLUTION_CHANNELS + at);
    const ptrdiff_t row = c->first + i + shift;
    if (k == c->taps) sum += gradient;
    else if (row >= 0)
      sum += gradient * load_channels(c->x + row * c->stride + at, c->channels - at);
  }
  return sum;
}

static void convolve_gradient(const struct matvlm_convolution_gradient *a, float *scratch) {
  const struct matvlm_convolution *c = &a->forward;
  float *taps = scratch, *g = taps + c->taps * MATVLM_CONVOLUTION_CHANNELS;
  const ptrdiff_t end = MIN(c->rows, c->first + c->count + c->taps - 1);
  load_taps(c, taps);
  gradient_before_silu(a, taps, end, g);
  for (ptrdiff_t at = 0; at < c->channels; at += LANES) {
    for (ptrdiff_t row = c->first; row < c->first + c->count; row++) {
      vf sum = vf_set(0);
      for (ptrdiff_t k = c->taps - 1; k >= 0 && row + c->taps - 1 - k < end; k--)
        sum += vf_load(taps + k * MATVLM_CONVOLUTION_CHANNELS + at) *
               vf_load(g + (row - c->first + c->taps - 1 - k) * MATVLM_CONVOLUTION_CHANNELS + at);
      store_channels(a->dx + row * c->stride + at, sum, c->channels - at);
    }
    for (ptrdiff_t k = 0; k <= c->taps; k++)
      store_channels(a->parameters + k * a->parameters_stride + at,
                     parameter_gradient(c, g, at, k), c->channels - at);
  }
}
