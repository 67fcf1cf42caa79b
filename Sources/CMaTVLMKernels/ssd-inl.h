// The scan of Mamba-2 by structured state-space duality (arXiv:2405.21060, section 6): rows of a
// chunk are multiplied out against each other, and a state carries what came before. Products of
// rows are kept transposed, earlier row s by later row l: vectors run along later rows.

// Where a triangle of products is cut: strips of this many rows begin at the diagonal.
enum { STRIP = 32 };

// Step sizes and decays of the rows of a chunk.
struct scan_steps {
  ptrdiff_t rows;
  float delta[TILE];
  // Σ Δ A up to and with each row, in two parts, so that differences are exact to float32.
  float high[TILE], low[TILE];
  float from_start[TILE];  // exp(sum): what is left of the entering state at each row
  float to_end[TILE];      // what is left of each row's input in the leaving state
  float input[TILE];       // to_end · Δ
  float decay;             // from_start of the last row
};

static float softplus(float x) { return x > 20 ? x : log1pf(expf(x)); }

static void load_steps(struct scan_steps *steps, const struct matvlm_scan *s, ptrdiff_t first) {
  const ptrdiff_t rows = MIN(s->chunk, s->rows - first);
  const double a = -exp((double)s->a_log);
  double sums[TILE], sum = 0;
  steps->rows = rows;
  for (ptrdiff_t l = 0; l < rows; l++) {
    steps->delta[l] = softplus(s->dt[(first + l) * s->dt_stride] + s->dt_bias);
    sums[l] = sum += steps->delta[l] * a;
    steps->from_start[l] = expf((float)sum);
  }
  for (ptrdiff_t l = 0; l < padded(rows); l++) {
    const double total = l < rows ? sums[l] : sum;
    steps->high[l] = (float)total;
    steps->low[l] = (float)(total - steps->high[l]);
    if (l >= rows) steps->from_start[l] = 0;
  }
  for (ptrdiff_t l = 0; l < rows; l++) {
    steps->to_end[l] = expf((float)(sum - sums[l]));
    steps->input[l] = steps->to_end[l] * steps->delta[l];
  }
  steps->decay = expf((float)sum);
}

// What is left of row s's input at rows l… , zeros where l < s.
INLINE vf decay_between(const struct scan_steps *steps, ptrdiff_t s, ptrdiff_t l) {
  const vf difference = (vf_load(steps->high + l) - steps->high[s]) +
                        (vf_load(steps->low + l) - steps->low[s]);
  const vf_mask later = vi_lanes() >= (int32_t)(s - l);
  return vf_where(later, vf_exp(vf_min(difference, vf_set(0))), vf_set(0));
}

// products[s, l] = rows s · columns l for l ≥ s (and what else is in the strips); TILE columns.
static void multiply_triangle(ptrdiff_t rows, ptrdiff_t depth, const float *left, ptrdiff_t stride,
                              const float *right, float *products) {
  for (ptrdiff_t s = 0; s < rows; s += STRIP) {
    const struct left_factor from = {left + s * stride, stride, 1};
    panel_product(MIN(STRIP, rows - s), rows - s, depth, from, right + s, TILE,
             products + s * TILE + s, TILE, 0);
  }
}

// y[s] += Σ_{l ≥ s} triangle[s, l] · right[l]; right and y [rows, width].
static void add_later(ptrdiff_t rows, ptrdiff_t width, const float *triangle, const float *right,
                      float *y) {
  for (ptrdiff_t s = 0; s < rows; s += STRIP) {
    const struct left_factor weights = {triangle + s * TILE + s, TILE, 1};
    panel_product(MIN(STRIP, rows - s), width, rows - s, weights, right + s * width, width,
             y + s * width, width, 1);
  }
}

// y[l] += Σ_{s ≤ l} triangle[s, l] · right[s].
static void add_earlier(ptrdiff_t rows, ptrdiff_t width, const float *triangle,
                        const float *right, float *y) {
  for (ptrdiff_t l = 0; l < rows; l += STRIP) {
    const ptrdiff_t strip = MIN(STRIP, rows - l);
    const struct left_factor weights = {triangle + l, 1, TILE};
    panel_product(strip, width, l + strip, weights, right, width, y + l * width, width, 1);
  }
}

static void scale_panel(float *panel, ptrdiff_t count, float factor) {
  for (ptrdiff_t i = 0; i < count; i++) panel[i] *= factor;
}

// Each row times its factor.
static void scale_rows(float *panel, ptrdiff_t rows, ptrdiff_t width, const float *factors) {
  for (ptrdiff_t i = 0; i < rows; i++) scale_panel(panel + i * width, width, factors[i]);
}

// From the state [P, padded(N)] that enters a chunk to the one that leaves it: decayed, plus
// Σ_s input[s] · x_s b_sᵀ. inputs: scratch [TILE, padded(N)].
static void advance_state(const struct matvlm_scan *s, const struct scan_steps *steps,
                          ptrdiff_t first, float *state, float *inputs) {
  const ptrdiff_t wide = padded(s->state_width);
  const struct left_factor x = {s->x + first * s->x_stride, 1, s->x_stride};
  copy_padded(s->b + first * s->b_stride, steps->rows, s->state_width, s->b_stride, inputs,
              steps->input);
  scale_panel(state, s->head_width * wide, steps->decay);
  panel_product(s->head_width, wide, steps->rows, x, inputs, wide, state, wide, 1);
}

// y of a chunk. c, products, y: scratch [N, TILE], [TILE, TILE], [P, TILE].
static void scan_chunk(const struct matvlm_scan *s, const struct scan_steps *steps,
                       ptrdiff_t first, const float *state, float *c, float *products, float *y) {
  const ptrdiff_t rows = steps->rows, width = s->head_width, n = s->state_width;
  const float *x = s->x + first * s->x_stride;
  panel_transpose_padded(s->c + first * s->c_stride, rows, n, s->c_stride, c, TILE, 1);
  if (state) {
    const struct left_factor entering = {state, padded(n), 1};
    panel_product(width, rows, n, entering, c, TILE, y, TILE, 0);
    for (ptrdiff_t p = 0; p < width; p++)
      for (ptrdiff_t l = 0; l < padded(rows); l++) y[p * TILE + l] *= steps->from_start[l];
  }
  multiply_triangle(rows, n, s->b + first * s->b_stride, s->b_stride, c, products);
  for (ptrdiff_t e = 0; e < rows; e++)
    for (ptrdiff_t l = e / STRIP * STRIP; l < rows; l += LANES) {
      float *product = products + e * TILE + l;
      vf_store(product, vf_load(product) * decay_between(steps, e, l) * steps->delta[e]);
    }
  for (ptrdiff_t l = 0; l < rows; l += STRIP) {
    const struct left_factor inputs = {x, 1, s->x_stride};
    const ptrdiff_t strip = MIN(STRIP, rows - l);
    panel_product(width, strip, l + strip, inputs, products + l, TILE, y + l, TILE, state != NULL);
  }
  float *to = s->y + first * s->y_stride;
  panel_transpose(y, width, rows, TILE, to, s->y_stride, 1);
  for (ptrdiff_t l = 0; l < rows; l++)
    for (ptrdiff_t p = 0; p < width; p++) to[l * s->y_stride + p] += s->d * x[l * s->x_stride + p];
}

static void scan_chunks(const struct matvlm_scan *s, float *scratch) {
  const ptrdiff_t width = s->head_width, n = s->state_width, wide = padded(n);
  float *state = scratch, *inputs = state + width * wide, *c = inputs + TILE * wide;
  float *products = c + n * TILE, *y = products + TILE * TILE;
  memset(state, 0, (size_t)(width * wide) * sizeof(float));
  if (s->state) copy_padded(s->state, width, n, n, state, NULL);
  struct scan_steps steps;
  for (ptrdiff_t first = 0; first < s->rows; first += s->chunk) {
    load_steps(&steps, s, first);
    scan_chunk(s, &steps, first, first || s->state ? state : NULL, c, products, y);
    if (s->state || first + s->chunk < s->rows) advance_state(s, &steps, first, state, inputs);
  }
  if (s->state) copy_rows(state, width, n, wide, s->state, n);
}

// One row by the recurrence, which reads and writes the state once. The last vector overlaps whole
// ones; it is computed from what they were, to the same values.
static void scan_row(const struct matvlm_scan *s, ptrdiff_t row, float *state) {
  const ptrdiff_t n = s->state_width, whole = n / LANES * LANES;
  const float *x = s->x + row * s->x_stride, *b = s->b + row * s->b_stride;
  const float *c = s->c + row * s->c_stride;
  const float delta = softplus(s->dt[row * s->dt_stride] + s->dt_bias);
  const float decay = expf((float)(delta * -exp((double)s->a_log)));
  const vf last_b = load_last(b, n), end_c = load_end(c, n);
  for (ptrdiff_t p = 0; p < s->head_width; p++) {
    float *h = state + p * n;
    const float input = delta * x[p];
    const vf last = load_last(h, n) * decay + input * last_b;
    vf sum = vf_set(0);
    for (ptrdiff_t j = 0; j < whole; j += LANES) {
      const vf next = vf_load(h + j) * decay + input * vf_load(b + j);
      vf_store(h + j, next);
      sum += next * vf_load(c + j);
    }
    if (whole < n) {
      store_last(h, last, n);
      sum += last * end_c;
    }
    s->y[row * s->y_stride + p] = vf_sum(sum) + s->d * x[p];
  }
}

// Up to this many rows the recurrence costs less than a chunk.
enum { RECURRENT_ROWS = 4 };

static void scan(const struct matvlm_scan *s, float *scratch) {
  if (s->rows > RECURRENT_ROWS) {
    scan_chunks(s, scratch);
    return;
  }
  float *state = s->state ? s->state : scratch;
  if (!s->state) memset(state, 0, (size_t)(s->head_width * s->state_width) * sizeof(float));
  for (ptrdiff_t row = 0; row < s->rows; row++) scan_row(s, row, state);
}
