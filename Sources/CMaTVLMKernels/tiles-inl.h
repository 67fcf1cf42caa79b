// Tile registers (AMX): 16 rows of 64 bytes each, which the processor multiplies as wholes. Included where
// MULTIPLIES_TILES is defined.

enum { REGISTER_ROWS = 16, REGISTER_PAIRS = 16 };

// What tile registers hold, as LDTILECFG reads it.
struct tile_shapes {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

// Sums are in registers 0 to 3, two tiles of the left factor in 4 and 5, two of the right in 6 and 7.
// words: of 32 bits, in depth.
INLINE void shape_tiles(int words) {
  struct tile_shapes shapes = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    shapes.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? 4 * words : 64);
    shapes.rows[i] = (uint8_t)(i < 6 ? REGISTER_ROWS : words);
  }
  _tile_loadconfig(&shapes);
}
