// Tile registers (AMX): 16 rows of 64 bytes each, which the processor multiplies as wholes, and products of
// pairs of bfloat16 by them. Included where MULTIPLIES_TILES is defined.

enum { REGISTER_ROWS = 16, REGISTER_PAIRS = 16 };

// What tile registers hold, as LDTILECFG reads it.
struct tile_shapes {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

// Sums are in registers 0 to 3, two tiles of the left factor in 4 and 5, two of the right in 6 and 7.
// lower_rows: 0 where there is one row of tiles. words: of 32 bits, in depth.
INLINE void shape_tiles(int upper_rows, int lower_rows, int words) {
  struct tile_shapes shapes = {.palette = 1};
  const int rows[] = {upper_rows, upper_rows, lower_rows, lower_rows, upper_rows, lower_rows,
                      words, words};
  for (int i = 0; i < 8; i++)
    if (rows[i]) {
      shapes.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? 4 * words : 64);
      shapes.rows[i] = (uint8_t)rows[i];
    }
  _tile_loadconfig(&shapes);
}

// c = start + a b for `down` by `across` tiles of c, whole ones of depth.
INLINE void multiply_tiles(const int down, const int across, ptrdiff_t depth, struct left_factor a,
                           const float *b, ptrdiff_t b_stride, struct product_start start, float *c,
                           ptrdiff_t c_stride) {
  const ptrdiff_t a_bytes = a.row * 4, b_bytes = b_stride * 4, c_bytes = c_stride * 4;
  const float *lower = a.p + REGISTER_ROWS * a.row;
#define EACH_SUM(DO)                                                                              \
  DO(0, 0, 0)                                                                                     \
  if (across == 2) DO(1, 0, 1)                                                                    \
  if (down == 2) DO(2, 1, 0)                                                                      \
  if (down == 2 && across == 2) DO(3, 1, 1)
#define BEGIN_SUM(TILE, I, J)                                                                     \
  {                                                                                               \
    if (start.p)                                                                                  \
      _tile_loadd(TILE, start.p + (I) * REGISTER_ROWS * start.row + (J) * LANES, start.row * 4);  \
    else                                                                                          \
      _tile_zero(TILE);                                                                           \
  }
#define END_SUM(TILE, I, J)                                                                       \
  { _tile_stored(TILE, c + (I) * REGISTER_ROWS * c_stride + (J) * LANES, c_bytes); }
  EACH_SUM(BEGIN_SUM)
  for (ptrdiff_t k = 0; k < depth; k += REGISTER_PAIRS) {
    _tile_loadd(4, a.p + k, a_bytes);
    _tile_loadd(6, b + k * b_stride, b_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if (down == 2) {
      _tile_loadd(5, lower + k, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
    }
    if (across == 2) {
      _tile_loadd(7, b + k * b_stride + LANES, b_bytes);
      _tile_dpbf16ps(1, 4, 7);
      if (down == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  EACH_SUM(END_SUM)
#undef END_SUM
#undef BEGIN_SUM
#undef EACH_SUM
}

// Rows first ..< end of c [m, n], `down` tiles of them at a time.
INLINE void multiply_tile_rows(const int down, ptrdiff_t first, ptrdiff_t end, ptrdiff_t n,
                               ptrdiff_t depth, struct left_factor a, const float *b,
                               ptrdiff_t b_stride, struct product_start start, float *c,
                               ptrdiff_t c_stride) {
  // Tiles of the right factor stay in the nearest cache while all rows pass by.
  for (ptrdiff_t column = 0; column < n; column += 2 * LANES)
    for (ptrdiff_t row = first; row < end; row += down * REGISTER_ROWS) {
      const struct left_factor rows = {a.p + row * a.row, a.row, 1};
      const struct product_start from = {start.p ? start.p + row * start.row + column : 0, start.row};
      float *to = c + row * c_stride + column;
      if (n - column > LANES)
        multiply_tiles(down, 2, depth, rows, b + column, b_stride, from, to, c_stride);
      else
        multiply_tiles(down, 1, depth, rows, b + column, b_stride, from, to, c_stride);
    }
}

// As pairs_product_from, a in rows. What fills no tile of depth is added without tiles.
static void tiles_product_from(struct product_start start, ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth,
                               struct left_factor a, const float *b, ptrdiff_t b_stride, float *c,
                               ptrdiff_t c_stride) {
  const ptrdiff_t whole = depth / REGISTER_PAIRS * REGISTER_PAIRS;
  const ptrdiff_t even = m / (2 * REGISTER_ROWS) * 2 * REGISTER_ROWS;
  const int rest = (int)(m - even);
  if (even) {
    shape_tiles(REGISTER_ROWS, REGISTER_ROWS, REGISTER_PAIRS);
    multiply_tile_rows(2, 0, even, n, whole, a, b, b_stride, start, c, c_stride);
  }
  if (rest > REGISTER_ROWS) {
    shape_tiles(REGISTER_ROWS, rest - REGISTER_ROWS, REGISTER_PAIRS);
    multiply_tile_rows(2, even, m, n, whole, a, b, b_stride, start, c, c_stride);
  } else if (rest) {
    shape_tiles(rest, 0, REGISTER_PAIRS);
    multiply_tile_rows(1, even, m, n, whole, a, b, b_stride, start, c, c_stride);
  }
  _tile_release();
  if (whole == depth) return;
  const struct left_factor end = {a.p + whole, a.row, 1};
  pairs_product_from((struct product_start){c, c_stride}, m, n, depth - whole, end,
                     b + whole * b_stride, b_stride, c, c_stride);
}
