// Decoding: one query row against many cached keys. Bound by memory, so every key and value is
// read once, in the order in which it lies, for all query heads that share it.

// A vector of a cached row, from element `at` on.
INLINE vf cache_load(const void *rows, ptrdiff_t at, const int is_bf16) {
  return is_bf16 ? vf_from_bf16(vh_load((const uint16_t *)rows + at))
                 : vf_load((const float *)rows + at);
}

// All of a cached row's last LANES columns, the row beginning at element `at`.
INLINE vf cache_load_last(const void *rows, ptrdiff_t at, ptrdiff_t width, const int is_bf16) {
  if (width >= LANES) return cache_load(rows, at + width - LANES, is_bf16);
  return is_bf16 ? vf_from_bf16(vh_load_some((const uint16_t *)rows + at, width))
                 : vf_load_part((const float *)rows + at, width);
}

// A row's last LANES columns, less those that whole vectors cover: zeros there.
INLINE vf load_end(const float *row, ptrdiff_t width) {
  const ptrdiff_t rest = width % LANES;
  if (width < LANES) return vf_load_part(row, width);
  return vf_select(first_lanes(LANES - rest), vf_set(0), vf_load(row + width - LANES));
}

// All of a row's last LANES columns.
INLINE vf load_last(const float *row, ptrdiff_t width) {
  return width < LANES ? vf_load_part(row, width) : vf_load(row + width - LANES);
}

INLINE void store_last(float *row, vf v, ptrdiff_t width) {
  if (width < LANES) vf_store_part(row, v, width);
  else vf_store(row + width - LANES, v);
}

enum { KEYS_AT_ONCE = 8 };

// scores[i] = query · key i, for `count` keys, the first at element `at`.
INLINE void score_keys(const int count, const float *query, const void *keys, ptrdiff_t at,
                       ptrdiff_t stride, ptrdiff_t width, float *scores, float scale,
                       const int is_bf16) {
  vf sum[KEYS_AT_ONCE];
  for (int i = 0; i < count; i++) sum[i] = vf_set(0);
  ptrdiff_t j = 0;
  for (; j + LANES <= width; j += LANES) {
    const vf q = vf_load(query + j);
    for (int i = 0; i < count; i++) sum[i] += q * cache_load(keys, at + i * stride + j, is_bf16);
  }
  if (j < width) {
    const vf q = load_end(query, width);
    for (int i = 0; i < count; i++)
      sum[i] += q * cache_load_last(keys, at + i * stride, width, is_bf16);
  }
  for (int i = 0; i < count; i++) scores[i] = vf_sum(sum[i]) * scale;
}

// output += Σ weights[i] · value i, the first at element `at`. The last vector overlaps whole ones; it is computed from what
// they were, to the same values.
INLINE void add_values(const int count, const float *weights, const void *values, ptrdiff_t at,
                       ptrdiff_t stride, ptrdiff_t width, float *output, const int is_bf16) {
  vf last = load_last(output, width);
  ptrdiff_t j = 0;
  for (; j + LANES <= width; j += LANES) {
    vf sum = vf_load(output + j);
    for (int i = 0; i < count; i++)
      sum += weights[i] * cache_load(values, at + i * stride + j, is_bf16);
    vf_store(output + j, sum);
  }
  if (j == width) return;
  for (int i = 0; i < count; i++)
    last += weights[i] * cache_load_last(values, at + i * stride, width, is_bf16);
  store_last(output, last, width);
}

// The scores of one head, room for whole vectors, to weights exp(score − largest).
static void soften_row(float *scores, ptrdiff_t count, float *largest, float *sum) {
  for (ptrdiff_t k = count; k < padded(count); k++) scores[k] = -3e38f;
  vf top = vf_load(scores), total = vf_set(0);
  for (ptrdiff_t k = LANES; k < count; k += LANES) top = vf_max(top, vf_load(scores + k));
  *largest = top[0];
  for (int i = 1; i < LANES; i++) *largest = top[i] > *largest ? top[i] : *largest;
  for (ptrdiff_t k = 0; k < count; k += LANES) {
    const vf weights = vf_exp(vf_load(scores + k) - *largest);
    vf_store(scores + k, weights);
    total += weights;
  }
  *sum = vf_sum(total);
}

// Asks for a head's columns of the `count` rows that follow as many others; of these, the first one's begin
// at `at`. Other heads' columns lie between, so that the processor does not see by itself what comes next.
INLINE void ask_for_next(const int count, const void *rows, ptrdiff_t at, ptrdiff_t stride,
                         ptrdiff_t width, const int is_bf16) {
  const ptrdiff_t size = is_bf16 ? 2 : 4, line = 64;
  for (int i = 0; i < count; i++) {
    const char *row = (const char *)rows + (at + (count + i) * stride) * size;
    for (ptrdiff_t b = 0; b < width * size; b += line) __builtin_prefetch(row + b);
  }
}

INLINE void attend_cached_row(const struct matvlm_attention_row *a, float *scores,
                              const int is_bf16) {
  const ptrdiff_t width = a->width, stride = a->key_stride, heads = a->key_heads * a->group;
  const ptrdiff_t whole = a->keys_count / KEYS_AT_ONCE * KEYS_AT_ONCE;
  for (ptrdiff_t k = 0; k < a->keys_count; k += k < whole ? KEYS_AT_ONCE : 1)
    for (ptrdiff_t h = 0; h < heads; h++) {
      const float *query = a->queries + h * width;
      const ptrdiff_t at = k * stride + h / a->group * width;
      float *to = scores + h * MATVLM_KEY_RANGE + k;
      if (k >= whole) {
        score_keys(1, query, a->keys, at, stride, width, to, a->scale, is_bf16);
        continue;
      }
      ask_for_next(KEYS_AT_ONCE, a->keys, at, stride, width, is_bf16);
      score_keys(KEYS_AT_ONCE, query, a->keys, at, stride, width, to, a->scale, is_bf16);
    }
  for (ptrdiff_t h = 0; h < heads; h++)
    soften_row(scores + h * MATVLM_KEY_RANGE, a->keys_count, a->largest + h, a->sum + h);
  memset(a->output, 0, (size_t)(heads * width) * sizeof(float));
  for (ptrdiff_t k = 0; k < a->keys_count; k += k < whole ? KEYS_AT_ONCE : 1)
    for (ptrdiff_t h = 0; h < heads; h++) {
      const float *weights = scores + h * MATVLM_KEY_RANGE + k;
      const ptrdiff_t at = k * stride + h / a->group * width;
      float *to = a->output + h * width;
      if (k >= whole) {
        add_values(1, weights, a->values, at, stride, width, to, is_bf16);
        continue;
      }
      ask_for_next(KEYS_AT_ONCE, a->values, at, stride, width, is_bf16);
      add_values(KEYS_AT_ONCE, weights, a->values, at, stride, width, to, is_bf16);
    }
}

static void attend_row(const struct matvlm_attention_row *a, float *scores) {
  if (a->is_bf16)
    attend_cached_row(a, scores, 1);
  else
    attend_cached_row(a, scores, 0);
}

static void merge_ranges(const float *largest, const float *sum, const float *output,
                         ptrdiff_t ranges, ptrdiff_t heads, ptrdiff_t width, float *y) {
  for (ptrdiff_t h = 0; h < heads; h++) {
    float top = largest[h], total = 0;
    for (ptrdiff_t r = 1; r < ranges; r++)
      top = largest[r * heads + h] > top ? largest[r * heads + h] : top;
    for (ptrdiff_t r = 0; r < ranges; r++)
      total += sum[r * heads + h] * expf(largest[r * heads + h] - top);
    for (ptrdiff_t r = 0; r < ranges; r++) {
      const float factor = expf(largest[r * heads + h] - top) / total;
      const float *from = output + (r * heads + h) * width;
      for (ptrdiff_t p = 0; p < width; p++)
        y[h * width + p] = (r ? y[h * width + p] : 0) + factor * from[p];
    }
  }
}
