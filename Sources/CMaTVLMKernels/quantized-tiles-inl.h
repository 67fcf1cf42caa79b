// Products of rounded rows with panels of codes by tile registers. Sums are what they are without tiles, to the
// bit. Included where MULTIPLIES_TILES is defined.

enum {
  TILE_INPUTS = 64,
  DEPTH_GROUPS = QUANTIZED_DEPTH / 32,  // the most groups that are multiplied before the next rows are
};

// What tiles have added up for 16 rows: of each group and panel, [row, output].
typedef int32_t group_sums_of_tiles[DEPTH_GROUPS][QUANTIZED_PANELS][REGISTER_ROWS][LANES];

// Codes with their sign, four inputs of an output side by side.
INLINE void sign_codes(const uint8_t *codes, int64_t inputs, int8_t *signed_codes, const int bits) {
  for (int64_t k = 0; k < inputs; k += 32 / bits, codes += 4 * MATVLM_PANEL) {
    const vc c = load_codes(codes);
    const vc low = bits == 8 ? c ^ 128 : (c & 15) - 8;
    __builtin_memcpy(signed_codes + k * MATVLM_PANEL, &low, sizeof low);
    if (bits == 8) continue;
    const vc high = ((vc)((vi)c >> 4) & 15) - 8;
    __builtin_memcpy(signed_codes + (k + 4) * MATVLM_PANEL, &high, sizeof high);
  }
}

// 16 rows of x and a group of some panels, whose codes are QUANTIZED_DEPTH inputs apart.
INLINE void multiply_group(const int8_t *x, int64_t stride, const int8_t *codes, int64_t group,
                           int32_t sums[QUANTIZED_PANELS][REGISTER_ROWS][LANES], const int panels) {
  const int64_t row = sizeof sums[0][0];
  _tile_zero(0);
  if (panels == 2) _tile_zero(1);
  for (int64_t k = 0; k < group; k += TILE_INPUTS) {
    _tile_loadd(4, x + k, stride);
    _tile_loadd(6, codes + k * MATVLM_PANEL, row);
    _tile_dpbssd(0, 4, 6);
    if (panels == 1) continue;
    _tile_loadd(7, codes + (QUANTIZED_DEPTH + k) * MATVLM_PANEL, row);
    _tile_dpbssd(1, 4, 7);
  }
  _tile_stored(0, sums[0], row);
  if (panels == 2) _tile_stored(1, sums[1], row);
}

// Scales the sums of 16 rows and one of the panels, `p`, and adds them to y, which begins as in quantized_tile.
INLINE void add_scaled(const struct quantized_tile *t, group_sums_of_tiles sums, int64_t p) {
  const int64_t output = (t->panel + p) * MATVLM_PANEL, left = t->weight->outputs - output;
  const uint16_t *scales = t->weight->scales + ((t->panel + p) * t->groups + t->first) * MATVLM_PANEL;
  float *y = t->y + p * MATVLM_PANEL;
  vf total[REGISTER_ROWS];
  FOR_TILE(r, REGISTER_ROWS) {
    const float *from = t->first ? y + r * t->y_stride : t->bias ? t->bias + output : 0;
    total[r] = from ? vf_load_some(from, left) : vf_set(0);
  }
  for (int64_t g = 0; g < t->end - t->first; g++) {
    const vf scale = vf_from_bf16(vh_load(scales + g * MATVLM_PANEL));
    const float *own = t->x->scales + t->row * t->groups + t->first + g;
    FOR_TILE(r, REGISTER_ROWS) {
      vi sum;
      __builtin_memcpy(&sum, sums[g][p][r], sizeof sum);
      total[r] += __builtin_convertvector(sum, vf) * (scale * vf_set(own[r * t->groups]));
    }
  }
  FOR_TILE(r, REGISTER_ROWS) vf_store_some(y + r * t->y_stride, total[r], left);
}

// As many of the rows of some panels as fill tiles, for some groups; how many rows that were.
INLINE int64_t quantized_tiles(struct quantized_tile t, int64_t rows, const int panels,
                               const int bits) {
  const int64_t whole = rows / REGISTER_ROWS * REGISTER_ROWS;
  if (whole == 0) return 0;
  const int64_t group = t.weight->group, stride = t.groups * group, groups = t.end - t.first;
  _Alignas(64) int8_t codes[QUANTIZED_PANELS][QUANTIZED_DEPTH * MATVLM_PANEL];
  _Alignas(64) group_sums_of_tiles sums;
  for (int64_t p = 0; p < panels; p++) {
    const int64_t at = (t.panel + p) * t.groups + t.first;
    sign_codes(t.weight->codes + at * group * bits / 8 * MATVLM_PANEL, groups * group, codes[p], bits);
  }
  shape_tiles((int)MIN(group, TILE_INPUTS) / 4);
  for (; t.row < whole; t.row += REGISTER_ROWS, t.y += REGISTER_ROWS * t.y_stride) {
    const int8_t *x = t.x->codes + t.row * stride + t.first * group;
    for (int64_t g = 0; g < groups; g++)
      multiply_group(x + g * group, stride, codes[0] + g * group * MATVLM_PANEL, group, sums[g],
                     panels);
    for (int64_t p = 0; p < panels; p++) add_scaled(&t, sums, p);
  }
  _tile_release();
  return whole;
}
