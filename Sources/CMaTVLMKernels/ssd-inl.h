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
  double sum = 0;
  steps->rows = rows;
  for (ptrdiff_t l = 0; l < padded(rows); l++) {
    steps->delta[l] = l < rows ? softplus(s->dt[(first + l) * s->dt_stride] + s->dt_bias) : 0;
    sum += steps->delta[l] * a;
    steps->high[l] = (float)sum;
    steps->low[l] = (float)(sum - steps->high[l]);
  }
  for (ptrdiff_t l = 0; l < rows; l += LANES) {
    const vf high = vf_load(steps->high + l), low = vf_load(steps->low + l);
    const vf to_end = vf_exp((steps->high[rows - 1] - high) + (steps->low[rows - 1] - low));
    vf_store(steps->from_start + l, vf_exp(high) * (1.0f + low));
    vf_store(steps->to_end + l, to_end);
    vf_store(steps->input + l, to_end * vf_load(steps->delta + l));
  }
  steps->decay = steps->from_start[rows - 1];
}

// What is left of row s's input at rows l… , zeros where l < s.
INLINE vf decay_between(const struct scan_steps *steps, ptrdiff_t s, ptrdiff_t l) {
  const vf difference = (vf_load(steps->high + l) - steps->high[s]) +
                        (vf_load(steps->low + l) - steps->low[s]);
  return vf_select(first_lanes(s - l), vf_set(0), vf_exp(vf_min(difference, vf_set(0))));
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
// Σ_s input[s] · x_s b_sᵀ. x [rows, P] contiguous; inputs: scratch [TILE, padded(N)].
static void advance_state(const struct matvlm_scan *s, const struct scan_steps *steps,
                          ptrdiff_t first, const float *x, float *state, float *inputs) {
  const ptrdiff_t width = s->head_width, wide = padded(s->state_width);
  const struct left_factor columns = {x, 1, width};
  copy_padded(s->b + first * s->b_stride, steps->rows, s->state_width, s->b_stride, inputs,
              steps->input);
  scale_panel(state, width * wide, steps->decay);
  panel_product(width, wide, steps->rows, columns, inputs, wide, state, wide, 1);
}

// Scratch of a scan.
struct scan_panels {
  float *state;     // [P, padded(N)]
  float *inputs;    // [TILE, padded(N)]
  float *x;         // [TILE, P]
  float *c;         // [N, TILE]
  float *products;  // [TILE, TILE]
  float *y;         // [P, TILE]
};

static struct scan_panels scan_panels(const struct matvlm_scan *s, float *memory) {
  const ptrdiff_t p = s->head_width, n = s->state_width;
  struct scan_panels w;
  w.state = memory;
  w.inputs = w.state + p * padded(n);
  w.x = w.inputs + TILE * padded(n);
  w.c = w.x + TILE * p;
  w.products = w.c + n * TILE;
  w.y = w.products + TILE * TILE;
  return w;
}

// y of a chunk whose x is in its panel; a state that is zero is not looked at.
static void scan_chunk(const struct matvlm_scan *s, const struct scan_steps *steps,
                       ptrdiff_t first, int has_state, const struct scan_panels *w) {
  const ptrdiff_t rows = steps->rows, width = s->head_width, n = s->state_width;
  panel_transpose_padded(s->c + first * s->c_stride, rows, n, s->c_stride, w->c, TILE, 1);
  if (has_state) {
    const struct left_factor state = {w->state, padded(n), 1};
    panel_product(width, rows, n, state, w->c, TILE, w->y, TILE, 0);
    for (ptrdiff_t p = 0; p < width; p++)
      for (ptrdiff_t l = 0; l < padded(rows); l++) w->y[p * TILE + l] *= steps->from_start[l];
  }
  multiply_triangle(rows, n, s->b + first * s->b_stride, s->b_stride, w->c, w->products);
  for (ptrdiff_t e = 0; e < rows; e++)
    for (ptrdiff_t l = e / STRIP * STRIP; l < rows; l += LANES) {
      float *product = w->products + e * TILE + l;
      vf_store(product, vf_load(product) * decay_between(steps, e, l) * steps->delta[e]);
    }
  for (ptrdiff_t l = 0; l < rows; l += STRIP) {
    const struct left_factor columns = {w->x, 1, width};
    const ptrdiff_t strip = MIN(STRIP, rows - l);
    panel_product(width, strip, l + strip, columns, w->products + l, TILE, w->y + l, TILE,
                  has_state);
  }
  float *to = s->y + first * s->y_stride;
  panel_transpose(w->y, width, rows, TILE, to, s->y_stride, 1);
  for (ptrdiff_t l = 0; l < rows; l++)
    for (ptrdiff_t p = 0; p < width; p++) to[l * s->y_stride + p] += s->d * w->x[l * width + p];
}

static void scan_chunks(const struct matvlm_scan *s, float *scratch) {
  const ptrdiff_t width = s->head_width, n = s->state_width, wide = padded(n);
  const struct scan_panels w = scan_panels(s, scratch);
  memset(w.state, 0, (size_t)(width * wide) * sizeof(float));
  if (s->state) copy_padded(s->state, width, n, n, w.state, NULL);
  struct scan_steps steps;
  for (ptrdiff_t first = 0; first < s->rows; first += s->chunk) {
    load_steps(&steps, s, first);
    copy_rows(s->x + first * s->x_stride, steps.rows, width, s->x_stride, w.x, width);
    scan_chunk(s, &steps, first, first || s->state, &w);
    if (s->state || first + s->chunk < s->rows)
      advance_state(s, &steps, first, w.x, w.state, w.inputs);
  }
  if (s->state) copy_rows(w.state, width, n, wide, s->state, n);
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
