// Products of rounded rows with panels of 8-bit codes by tile registers: a panel's codes of 64 inputs are a
// tile as they lie in memory. Sums are what they are without tiles, to the bit. Included where
// MULTIPLIES_TILES is defined.
//
// Of the time of a tile most is its sums' way out of the registers, to be scaled: groups of 32 inputs, as
// 4-bit codes have them, are multiplied faster without.

enum { TILE_INPUTS = 64 };

// 16 rows and a panel, as quantized_tile.
INLINE void quantized_registers(const struct quantized_tile *t) {
  const int64_t group = t->weight->group, stride = t->groups * group;
  const int64_t output = t->panel * MATVLM_PANEL, left = t->weight->outputs - output;
  const uint8_t *codes =
      t->weight->codes + (t->panel * t->groups + t->first) * group * MATVLM_PANEL;
  const uint16_t *scales = t->weight->scales + t->panel * t->groups * MATVLM_PANEL;
  const int8_t *x = t->x->codes + t->row * stride;
  vf total[REGISTER_ROWS];
  FOR_TILE(r, REGISTER_ROWS) {
    const float *from = t->first ? t->y + r * t->y_stride : t->bias ? t->bias + output : 0;
    total[r] = from ? vf_load_some(from, left) : vf_set(0);
  }
  for (int64_t g = t->first; g < t->end; g++) {
    int32_t sums[REGISTER_ROWS][LANES];
    _tile_zero(0);
    for (int64_t k = 0; k < group; k += TILE_INPUTS, codes += TILE_INPUTS * MATVLM_PANEL) {
      _tile_loadd(4, x + g * group + k, stride);
      _tile_loadd(6, codes, 4 * MATVLM_PANEL);
      _tile_dpbsud(0, 4, 6);
    }
    _tile_stored(0, sums, sizeof sums[0]);
    const vf scale = vf_from_bf16(vh_load(scales + g * MATVLM_PANEL));
    FOR_TILE(r, REGISTER_ROWS) {
      const int64_t at = (t->row + r) * t->groups + g;
      vi sum;
      __builtin_memcpy(&sum, sums[r], sizeof sum);
      sum += (vi)t->x->corrections[at];
      total[r] += __builtin_convertvector(sum, vf) * (scale * vf_set(t->x->scales[at]));
    }
  }
  FOR_TILE(r, REGISTER_ROWS) vf_store_some(t->y + r * t->y_stride, total[r], left);
}

// As many of the rows of some panels as fill tiles, for some groups; how many rows that were.
INLINE int64_t quantized_tiles(const struct quantized_tile *first, int64_t rows,
                               const int panels, const int bits) {
  const int64_t whole = rows / REGISTER_ROWS * REGISTER_ROWS;
  if (bits != 8 || first->weight->group % TILE_INPUTS || whole == 0) return 0;
  shape_tiles(REGISTER_ROWS, REGISTER_ROWS);
  for (int64_t p = 0; p < panels; p++) {
    struct quantized_tile t = *first;
    t.panel += p, t.y += p * MATVLM_PANEL;
    for (; t.row < whole; t.row += REGISTER_ROWS, t.y += REGISTER_ROWS * t.y_stride)
      quantized_registers(&t);
  }
  _tile_release();
  return whole;
}
