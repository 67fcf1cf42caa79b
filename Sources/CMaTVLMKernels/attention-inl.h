// Attention in tiles with an online softmax (FlashAttention-2, arXiv:2307.08691, algorithms 1 and
// 2). Scores are kept transposed, keys by queries: vectors run along queries, so that maxima and
// sums of the softmax need no sums across lanes, and keys and values are read where they lie.

// What one softmax needs to know of its queries, one lane each. Rows of TILE floats.
struct softmax {
  float *largest, *sum;
  int32_t *visible;  // [TILE]
  ptrdiff_t fewest, most;
};

// Repeats the last query's number of keys in the padding.
static void load_visible(struct softmax *softmax, const int32_t *visible, ptrdiff_t rows) {
  softmax->fewest = softmax->most = visible[0];
  for (ptrdiff_t i = 0; i < padded(rows); i++) {
    const int32_t keys = visible[MIN(i, rows - 1)];
    softmax->visible[i] = keys;
    softmax->fewest = MIN(softmax->fewest, keys);
    softmax->most = keys > softmax->most ? keys : softmax->most;
  }
}

INLINE vi is_visible(const struct softmax *softmax, ptrdiff_t column, ptrdiff_t key) {
  vi visible;
  memcpy(&visible, softmax->visible + column, sizeof visible);
  return (vi)(int32_t)key < visible;
}

// Takes the scores [keys, columns] of keys first… into the running maximum and sum, turns them to
// exp(score − maximum), and rescales `output` [width, columns], made with an older maximum.
static void soften(struct softmax *softmax, float *scores, ptrdiff_t first, ptrdiff_t keys,
                   ptrdiff_t columns, float *output, ptrdiff_t width) {
  const int masked = first + keys > softmax->fewest;
  for (ptrdiff_t j = 0; j < columns; j += LANES) {
    const vf before = vf_load(softmax->largest + j);
    vf largest = before;
    for (ptrdiff_t k = 0; k < keys; k++) {
      vf score = vf_load(scores + k * columns + j);
      if (masked) score = vf_select(is_visible(softmax, j, first + k), score, before);
      largest = vf_max(largest, score);
    }
    const vf factor = vf_exp(before - largest);
    vf sum = vf_load(softmax->sum + j) * factor;
    for (ptrdiff_t k = 0; k < keys; k++) {
      vf weight = vf_exp(vf_load(scores + k * columns + j) - largest);
      if (masked) weight = vf_select(is_visible(softmax, j, first + k), weight, vf_set(0));
      sum += weight;
      vf_store(scores + k * columns + j, weight);
    }
    if (first > 0)
      for (ptrdiff_t p = 0; p < width; p++)
        vf_store(output + p * columns + j, vf_load(output + p * columns + j) * factor);
    vf_store(softmax->largest + j, largest);
    vf_store(softmax->sum + j, sum);
  }
}

static void attention(const struct matvlm_attention *a, float *scratch) {
  const ptrdiff_t columns = padded(a->rows), width = a->width;
  float *queries = scratch;                     // [P, columns]
  float *output = queries + width * TILE;       // [P, columns]
  float *values = output + width * TILE;        // [TILE, P]
  float *scores = values + width * TILE;        // [TILE, columns]
  float *largest = scores + TILE * TILE, *sum = largest + TILE;
  struct softmax softmax = {largest, sum, (int32_t *)(sum + TILE), 0, 0};
  load_visible(&softmax, a->visible, a->rows);
  panel_transpose_padded(a->queries, a->rows, width, a->query_stride, queries, columns, a->scale);
  for (ptrdiff_t j = 0; j < columns; j++) largest[j] = -3e38f, sum[j] = 0;

  for (ptrdiff_t first = 0; first < softmax.most; first += TILE) {
    const ptrdiff_t keys = MIN(TILE, softmax.most - first);
    const struct left_factor key = {a->keys + first * a->key_stride, a->key_stride, 1};
    const struct left_factor value = {values, 1, width};
    copy_rows(a->values + first * a->key_stride, keys, width, a->key_stride, values, width);
    panel_product(keys, columns, width, key, queries, columns, scores, columns, 0);
    soften(&softmax, scores, first, keys, columns, output, width);
    panel_product(width, columns, keys, value, scores, columns, output, columns, first > 0);
  }
  for (ptrdiff_t j = 0; j < columns; j += LANES) {
    const vf factor = 1.0f / vf_load(sum + j);
    for (ptrdiff_t p = 0; p < width; p++)
      vf_store(output + p * columns + j, vf_load(output + p * columns + j) * factor);
  }
  panel_transpose(output, width, a->rows, columns, a->output, a->query_stride, 1);
  if (a->log_sum_exp)
    for (ptrdiff_t i = 0; i < a->rows; i++)
      a->log_sum_exp[i * a->log_stride] = largest[i] + logf(sum[i]);
}

// Scratch of the gradient, for one tile of queries.
struct attention_tile {
  float *queries, *output_gradient;              // transposed [P, columns]
  float *queries_gradient;                       // transposed [P, columns]
  float *query_rows, *output_gradient_rows;      // [rows, padded(P)]
  float *key_rows;                               // [TILE, P]
  float *weights, *scores_gradient;              // [TILE, columns]
  float *log_sum_exp, *inner;                    // [columns]
  struct softmax softmax;
};

static struct attention_tile attention_tile(float *scratch, ptrdiff_t width) {
  struct attention_tile t;
  t.queries = scratch;
  t.output_gradient = t.queries + width * TILE;
  t.queries_gradient = t.output_gradient + width * TILE;
  t.query_rows = t.queries_gradient + width * TILE;
  t.output_gradient_rows = t.query_rows + padded(width) * TILE;
  t.key_rows = t.output_gradient_rows + padded(width) * TILE;
  t.weights = t.key_rows + width * TILE;
  t.scores_gradient = t.weights + TILE * TILE;
  t.log_sum_exp = t.scores_gradient + TILE * TILE;
  t.inner = t.log_sum_exp + TILE;
  t.softmax = (struct softmax){.visible = (int32_t *)(t.inner + TILE)};
  return t;
}

// Query rows first… of head `head` of the group. The gradient of a score is its weight times what
// the weight's own gradient has above `inner`, the row's mean of these: dy · output.
static void load_tile(struct attention_tile *t, const struct matvlm_attention_gradient *a,
                      ptrdiff_t head, ptrdiff_t first, ptrdiff_t rows) {
  const ptrdiff_t stride = a->query_stride, width = a->width, columns = padded(rows);
  const ptrdiff_t offset = first * stride + head * width;
  const float *dy = a->output_gradient + offset;
  load_visible(&t->softmax, a->visible + first, rows);
  panel_transpose_padded(a->queries + offset, rows, width, stride, t->queries, columns, a->scale);
  panel_transpose_padded(dy, rows, width, stride, t->output_gradient, columns, 1);
  float scales[TILE];
  for (ptrdiff_t i = 0; i < rows; i++) scales[i] = a->scale;
  copy_padded(a->queries + offset, rows, width, stride, t->query_rows, scales);
  copy_padded(dy, rows, width, stride, t->output_gradient_rows, NULL);
  for (ptrdiff_t i = 0; i < columns; i++) {
    const int real = i < rows;
    t->log_sum_exp[i] = real ? a->log_sum_exp[(first + i) * a->log_stride + head] : 0;
    t->inner[i] = real ? dot(dy + i * stride, a->output + offset + i * stride, width) : 0;
  }
}

// weights = exp(score − log sum); the gradient of the weights becomes that of the scores.
static void differentiate_scores(struct attention_tile *t, ptrdiff_t first, ptrdiff_t keys,
                                 ptrdiff_t columns) {
  const int masked = first + keys > t->softmax.fewest;
  for (ptrdiff_t j = 0; j < columns; j += LANES) {
    const vf log_sum = vf_load(t->log_sum_exp + j), inner = vf_load(t->inner + j);
    for (ptrdiff_t k = 0; k < keys; k++) {
      const ptrdiff_t at = k * columns + j;
      vf weight = vf_exp(vf_load(t->weights + at) - log_sum);
      if (masked) weight = vf_select(is_visible(&t->softmax, j, first + k), weight, vf_set(0));
      vf_store(t->weights + at, weight);
      vf_store(t->scores_gradient + at, weight * (vf_load(t->scores_gradient + at) - inner));
    }
  }
}

// What a tile of queries and a tile of keys, from `first` on, add to the gradients of all three.
static void differentiate_tiles(const struct matvlm_attention_gradient *a,
                                struct attention_tile *t, ptrdiff_t rows, ptrdiff_t first,
                                ptrdiff_t keys, float *dk, float *dv) {
  const ptrdiff_t width = a->width, wide = padded(width), columns = padded(rows);
  const ptrdiff_t stride = a->key_stride;
  const float *key = a->keys + first * stride, *value = a->values + first * stride;
  const struct left_factor by_key = {key, stride, 1}, by_value = {value, stride, 1};
  panel_product(keys, columns, width, by_key, t->queries, columns, t->weights, columns, 0);
  panel_product(keys, columns, width, by_value, t->output_gradient, columns, t->scores_gradient,
                columns, 0);
  differentiate_scores(t, first, keys, columns);
  const struct left_factor by_column = {t->key_rows, 1, width};
  copy_rows(key, keys, width, stride, t->key_rows, width);
  panel_product(width, columns, keys, by_column, t->scores_gradient, columns, t->queries_gradient,
                columns, first > 0);
  const struct left_factor weights = {t->weights, columns, 1};
  const struct left_factor ds = {t->scores_gradient, columns, 1};
  panel_product(keys, wide, rows, weights, t->output_gradient_rows, wide, dv, wide, 1);
  panel_product(keys, wide, rows, ds, t->query_rows, wide, dk, wide, 1);
}

static void attention_gradient(const struct matvlm_attention_gradient *a, float *scratch) {
  const ptrdiff_t width = a->width, wide = padded(width), stride = a->query_stride;
  float *dk = scratch, *dv = dk + a->rows * wide;  // [T, padded(P)]
  struct attention_tile t = attention_tile(dv + a->rows * wide, width);
  memset(dk, 0, (size_t)(2 * a->rows * wide) * sizeof(float));
  for (ptrdiff_t head = 0; head < a->group; head++)
    for (ptrdiff_t row = 0; row < a->rows; row += TILE) {
      const ptrdiff_t rows = MIN(TILE, a->rows - row);
      load_tile(&t, a, head, row, rows);
      for (ptrdiff_t first = 0; first < t.softmax.most; first += TILE)
        differentiate_tiles(a, &t, rows, first, MIN(TILE, t.softmax.most - first),
                            dk + first * wide, dv + first * wide);
      panel_transpose(t.queries_gradient, width, rows, padded(rows),
                      a->queries_gradient + row * stride + head * width, stride, a->scale);
    }
  copy_rows(dk, a->rows, width, wide, a->keys_gradient, a->key_stride);
  copy_rows(dv, a->rows, width, wide, a->values_gradient, a->key_stride);
}
