// Gradients of the scan, chunk by chunk from the last one, with all products computed again.
// Names as in ssd-inl.h; dy is the gradient that arrives, h the state that enters a chunk, and
// r the gradient of the state that leaves it.

struct scan_scratch {
  float *states;                     // [chunks, P, padded(N)]: the state that enters each chunk
  float *r, *r_transposed;           // [P, padded(N)], [N, padded(P)]
  float *c_columns, *dy_columns;     // [N, TILE], [P, TILE]
  float *b_rows, *c_rows, *dy_rows;  // [TILE, padded(N or P)]
  float *db, *dc;                    // [TILE, padded(N)]
  float *u;                          // [TILE, padded(P)]: the gradient of Δx
  float *weights;                    // [TILE, TILE]: (b_s · c_l) decay, what y_l has of Δx_s
  float *products_gradient;          // [TILE, TILE]: that of b_s · c_l
  float *decay_gradient;             // [TILE, TILE]: that of the logarithm of decay s → l
};

static struct scan_scratch scan_scratch(const struct matvlm_scan *s, float *memory) {
  const ptrdiff_t p = s->head_width, n = s->state_width;
  const ptrdiff_t chunks = (s->rows + s->chunk - 1) / s->chunk;
  struct scan_scratch w;
  w.states = memory;
  w.r = w.states + chunks * p * padded(n);
  w.r_transposed = w.r + p * padded(n);
  w.c_columns = w.r_transposed + n * padded(p);
  w.dy_columns = w.c_columns + n * TILE;
  w.b_rows = w.dy_columns + p * TILE;
  w.c_rows = w.b_rows + TILE * padded(n);
  w.db = w.c_rows + TILE * padded(n);
  w.dc = w.db + TILE * padded(n);
  w.dy_rows = w.dc + TILE * padded(n);
  w.u = w.dy_rows + TILE * padded(p);
  w.weights = w.u + TILE * padded(p);
  w.products_gradient = w.weights + TILE * TILE;
  w.decay_gradient = w.products_gradient + TILE * TILE;
  return w;
}

static void load_states(const struct matvlm_scan *s, struct scan_scratch *w) {
  const ptrdiff_t size = s->head_width * padded(s->state_width);
  struct scan_steps steps;
  memset(w->states, 0, (size_t)size * sizeof(float));
  for (ptrdiff_t first = 0; first + s->chunk < s->rows; first += s->chunk) {
    float *state = w->states + first / s->chunk * size;
    memcpy(state + size, state, (size_t)size * sizeof(float));
    load_steps(&steps, s, first);
    copy_rows(s->x + first * s->x_stride, steps.rows, s->head_width, s->x_stride, w->u,
              s->head_width);
    advance_state(s, &steps, first, w->u, state + size, w->b_rows);
  }
}

// The three triangles, from b_s · c_l and x_s · dy_l.
static void differentiate_triangle(const struct scan_steps *steps, struct scan_scratch *w) {
  for (ptrdiff_t s = 0; s < steps->rows; s++)
    for (ptrdiff_t l = s / STRIP * STRIP; l < steps->rows; l += LANES) {
      const ptrdiff_t at = s * TILE + l;
      const vf decay = decay_between(steps, s, l);
      const vf weight = vf_load(w->weights + at) * decay;
      const vf gradient = vf_load(w->products_gradient + at) * steps->delta[s];
      vf_store(w->weights + at, weight);
      vf_store(w->products_gradient + at, gradient * decay);
      vf_store(w->decay_gradient + at, gradient * weight);
    }
}

// y [rows, n] = factors[row] · left · right, which is zero where right (a state) is: at the ends.
static void from_state(int is_zero, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t depth,
                       struct left_factor left, const float *right, const float *factors,
                       float *y) {
  const ptrdiff_t width = padded(columns);
  if (is_zero) {
    memset(y, 0, (size_t)(rows * width) * sizeof(float));
    return;
  }
  panel_product(rows, columns, depth, left, right, width, y, width, 0);
  scale_rows(y, rows, width, factors);
}

// Per row, what the state products add to the gradient of the decays: over all rows before it, and
// over it and all rows after it.
struct decay_terms {
  double before[TILE], after[TILE];
};

// u, db and dc of a chunk.
static void differentiate_chunk(const struct matvlm_scan_gradient *a,
                                const struct scan_steps *steps, ptrdiff_t first,
                                struct scan_scratch *w, struct decay_terms *terms) {
  const struct matvlm_scan *s = &a->forward;
  const ptrdiff_t rows = steps->rows, p = s->head_width, n = s->state_width;
  const float *x = s->x + first * s->x_stride, *b = s->b + first * s->b_stride;
  const float *c = s->c + first * s->c_stride, *dy = a->dy + first * s->y_stride;
  const float *h = w->states + first / s->chunk * p * padded(n);
  const int is_first = first == 0, is_last = first + rows == s->rows;
  panel_transpose_padded(c, rows, n, s->c_stride, w->c_columns, TILE, 1);
  panel_transpose_padded(dy, rows, p, s->y_stride, w->dy_columns, TILE, 1);
  copy_padded(b, rows, n, s->b_stride, w->b_rows, NULL);
  copy_padded(c, rows, n, s->c_stride, w->c_rows, NULL);
  copy_padded(dy, rows, p, s->y_stride, w->dy_rows, NULL);
  panel_transpose_padded(w->r, p, n, padded(n), w->r_transposed, padded(p), 1);

  multiply_triangle(rows, n, b, s->b_stride, w->c_columns, w->weights);
  multiply_triangle(rows, p, x, s->x_stride, w->dy_columns, w->products_gradient);
  differentiate_triangle(steps, w);
  const struct left_factor by_b = {b, s->b_stride, 1}, by_x = {x, s->x_stride, 1};
  const struct left_factor by_dy = {dy, s->y_stride, 1};
  from_state(is_last, rows, p, n, by_b, w->r_transposed, steps->to_end, w->u);
  from_state(is_last, rows, n, p, by_x, w->r, steps->input, w->db);
  from_state(is_first, rows, n, p, by_dy, h, steps->from_start, w->dc);
  for (ptrdiff_t i = 0; i < rows; i++) {
    terms->before[i] = dot(w->db + i * padded(n), w->b_rows + i * padded(n), padded(n));
    terms->after[i] = dot(w->dc + i * padded(n), w->c_rows + i * padded(n), padded(n));
  }
  terms->after[rows - 1] += steps->decay * dot(h, w->r, p * padded(n));
  add_later(rows, padded(p), w->weights, w->dy_rows, w->u);
  add_later(rows, padded(n), w->products_gradient, w->c_rows, w->db);
  add_earlier(rows, padded(n), w->products_gradient, w->b_rows, w->dc);
}

// da[t]: the gradient of Δ_t A, which every decay s → l with s < t ≤ l contains.
static void differentiate_decays(const struct scan_steps *steps, const struct scan_scratch *w,
                                 const struct decay_terms *terms, double *da) {
  const ptrdiff_t rows = steps->rows;
  float crossing[TILE] = {0};  // Σ_{s < t} decay_gradient[s, l]
  double before = 0, after = 0;
  for (ptrdiff_t t = 0; t < rows; t++) {
    vf sum = vf_set(0);
    for (ptrdiff_t l = t / LANES * LANES; l < rows; l += LANES)
      sum += vf_select(first_lanes(t - l), vf_set(0), vf_load(crossing + l));
    da[t] = vf_sum(sum) + before;
    before += terms->before[t];
    for (ptrdiff_t l = t / STRIP * STRIP; l < rows; l += LANES)
      vf_store(crossing + l, vf_load(crossing + l) + vf_load(w->decay_gradient + t * TILE + l));
  }
  for (ptrdiff_t t = rows - 1; t >= 0; t--) da[t] += after += terms->after[t];
}

INLINE void store_or_add(float *y, float value, int add) { *y = add ? *y + value : value; }

static void store_chunk(struct matvlm_scan_gradient *a, const struct scan_steps *steps,
                        ptrdiff_t first, const struct scan_scratch *w, const double *da) {
  const struct matvlm_scan *s = &a->forward;
  const ptrdiff_t p = s->head_width, n = s->state_width;
  const double decay_rate = -exp((double)s->a_log);
  for (ptrdiff_t i = 0; i < steps->rows; i++) {
    const ptrdiff_t row = first + i;
    const float *x = s->x + row * s->x_stride, *dy = a->dy + row * s->y_stride;
    const float *u = w->u + i * padded(p);
    for (ptrdiff_t j = 0; j < p; j++)
      store_or_add(a->dx + row * s->x_stride + j, steps->delta[i] * u[j] + s->d * dy[j], a->add);
    for (ptrdiff_t j = 0; j < n; j++)
      store_or_add(a->db + row * s->b_stride + j, w->db[i * padded(n) + j], a->add);
    copy_rows(w->dc + i * padded(n), 1, n, 0, a->dc + row * s->c_stride, 0);
    const float raw = s->dt[row * s->dt_stride] + s->dt_bias;
    const double slope = raw > 20 ? 1 : 1 / (1 + exp(-(double)raw));
    const double ddt = (decay_rate * da[i] + dot(u, x, p)) * slope;
    a->ddt[row * s->dt_stride] = (float)ddt;
    a->parameters[0] += ddt;
    a->parameters[1] += steps->delta[i] * da[i] * decay_rate;
    a->parameters[2] += dot(dy, x, p);
  }
}

static void scan_gradient(struct matvlm_scan_gradient *a, float *scratch) {
  const struct matvlm_scan *s = &a->forward;
  const ptrdiff_t p = s->head_width, wide = padded(s->state_width);
  struct scan_scratch w = scan_scratch(s, scratch);
  struct scan_steps steps;
  struct decay_terms terms;
  double da[TILE];
  load_states(s, &w);
  memset(w.r, 0, (size_t)(p * wide) * sizeof(float));
  memset(a->parameters, 0, sizeof a->parameters);
  for (ptrdiff_t first = (s->rows - 1) / s->chunk * s->chunk; first >= 0; first -= s->chunk) {
    load_steps(&steps, s, first);
    differentiate_chunk(a, &steps, first, &w, &terms);
    differentiate_decays(&steps, &w, &terms, da);
    store_chunk(a, &steps, first, &w, da);
    const struct left_factor dy = {w.dy_rows, 1, padded(p)};
    scale_rows(w.c_rows, steps.rows, wide, steps.from_start);
    scale_panel(w.r, p * wide, steps.decay);
    panel_product(p, wide, steps.rows, dy, w.c_rows, wide, w.r, wide, 1);
  }
}
