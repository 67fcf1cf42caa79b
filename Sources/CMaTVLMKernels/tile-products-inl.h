// Products by tile registers, which multiply bfloat16 only. Both factors are put into tiles that lie in memory as
// registers take them: a weight in bfloat16 as one part; a float as three, whose sum it is exactly, or rounded, as one.
// Of the nine products of three parts and three, six have all of float32's digits (the others are below its last).
// Included where MULTIPLIES_TILES is defined.

enum {
  TILE_WORDS = REGISTER_ROWS * REGISTER_PAIRS,  // a word: two bfloat16, neighbours in depth
  TILE_DEPTH = 2 * REGISTER_PAIRS,
  PARTS = MATVLM_FLOAT_PARTS,
  SQUARE = 2 * REGISTER_ROWS,  // rows and columns of y that are multiplied at once
};

// The parts of a vector of floats, each in the upper halves of 32 bits: x cut off, what is then left cut off, and
// what is left then.
struct float_parts {
  vi part[PARTS];
};

INLINE struct float_parts parts_of(vf x) {
  const vi upper_half = (vi)(int32_t)0xffff0000;
  const vi first = vf_bits(x) & upper_half;
  // Nothing is left of an infinite number, which less itself would not be one.
  const vi is_finite = vf_abs(x) < __builtin_inff();
  const vf rest = vf_from_bits(vf_bits(x - vf_from_bits(first)) & is_finite);
  const vi second = vf_bits(rest) & upper_half;
  return (struct float_parts){{first, second, vf_bits(rest - vf_from_bits(second))}};
}

// Two vectors rounded, one behind the other.
INLINE vf round_neighbours(vf low, vf high) {
  return (vf)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

// Lane i holds the upper halves of x's lanes 2i and 2i + 1, x being two vectors.
INLINE vf pair_neighbours(vi low, vi high) {
  typedef int16_t halves __attribute__((ext_vector_type(2 * LANES)));
  return (vf)__builtin_shufflevector((halves)low, (halves)high, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21,
                                     23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53,
                                     55, 57, 59, 61, 63);
}

// Lane i holds the upper halves of both lanes i.
INLINE vf pair_lanes(vi first, vi second) {
  return vf_from_bits(logical_shift_right(first, 16) | (second & (int32_t)0xffff0000));
}

INLINE void transpose_tile(float *words) {
  vf rows[LANES];
  EACH_ROW(i) rows[i] = vf_load(words + i * LANES);
  transpose_registers(rows);
  EACH_ROW(i) vf_store(words + i * LANES, rows[i]);
}

// A matrix as a factor: its lines are rows of the left factor or columns of the right one. Element (i, k) of them is
// values[at + i · line + k · step], and one of line and step is 1.
struct factor {
  const void *values;
  ptrdiff_t at, line, step;
  ptrdiff_t lines, depth;
};

// How a factor is put into tiles, known where it is compiled.
struct tiling {
  enum weight_type type;
  int parts;     // of a number: 1 for bfloat16, which needs no others, and for floats that are rounded
  int is_left;   // words are [line, depth / 2] in a tile, and [depth / 2, line] of the right factor
  int in_order;  // step is 1
};

// A whole tile of bfloat16 in order, for the right factor: pairs need only be turned.
INLINE void turn_tile(const uint16_t *lines, ptrdiff_t line, float *tile) {
  vf rows[LANES];
  EACH_ROW(i) memcpy(&rows[i], lines + i * line, sizeof rows[i]);
  transpose_registers(rows);
  EACH_ROW(i) vf_store(tile + i * REGISTER_PAIRS, rows[i]);
}

// A tile of each part: 16 lines by 32 of depth, zeros where there is nothing.
INLINE void fill_tile(const struct factor *x, ptrdiff_t at, ptrdiff_t lines, ptrdiff_t depth,
                      float *tiles, const struct tiling how) {
  if (how.type == WEIGHT_BF16 && how.in_order && lines == REGISTER_ROWS && depth == TILE_DEPTH) {
    turn_tile((const uint16_t *)x->values + at, x->line, tiles);
    return;
  }
  for (ptrdiff_t i = 0; i < REGISTER_ROWS; i++) {
    vf low = vf_set(0), high = vf_set(0);
    if (how.in_order && i < lines) {
      const ptrdiff_t row = at + i * x->line;
      low = weight_load_some(x->values, row, depth, how.type);
      if (depth > LANES) high = weight_load_some(x->values, row + LANES, depth - LANES, how.type);
    } else if (!how.in_order) {
      const ptrdiff_t row = at + 2 * i * x->step;
      if (2 * i < depth) low = weight_load_some(x->values, row, lines, how.type);
      if (2 * i + 1 < depth) high = weight_load_some(x->values, row + x->step, lines, how.type);
    }
    if (how.type == WEIGHT_FLOAT && how.parts == 1) {  // a left factor in order
      vf_store(tiles + i * REGISTER_PAIRS, round_neighbours(low, high));
      continue;
    }
    const struct float_parts a = parts_of(low), b = parts_of(high);
    for (int p = 0; p < how.parts; p++)
      vf_store(tiles + p * TILE_WORDS + i * REGISTER_PAIRS,
               how.in_order ? pair_neighbours(a.part[p], b.part[p]) : pair_lanes(a.part[p], b.part[p]));
  }
  if (how.in_order == how.is_left) return;
  for (int p = 0; p < how.parts; p++)
    transpose_tile(tiles + p * TILE_WORDS);
}

INLINE ptrdiff_t depth_tiles(ptrdiff_t depth) { return (depth + TILE_DEPTH - 1) / TILE_DEPTH; }

// All tiles of a factor: [lines / 16, depth / 32, part], filled up to whole ones.
INLINE void fill_tiles(const struct factor *x, float *tiles, const struct tiling how) {
  for (ptrdiff_t line = 0; line < x->lines; line += REGISTER_ROWS)
    for (ptrdiff_t k = 0; k < x->depth; k += TILE_DEPTH, tiles += how.parts * TILE_WORDS) {
      const ptrdiff_t at = x->at + line * x->line + k * x->step;
      const ptrdiff_t lines = x->lines - line, depth = x->depth - k;
      if (lines >= REGISTER_ROWS && depth >= TILE_DEPTH)
        fill_tile(x, at, REGISTER_ROWS, TILE_DEPTH, tiles, how);
      else
        fill_tile(x, at, MIN(lines, REGISTER_ROWS), MIN(depth, TILE_DEPTH), tiles, how);
    }
}

INLINE void fill_factor(const struct factor *x, float *tiles, const enum weight_type type,
                        const int parts, const int is_left) {
  if (x->step == 1)
    fill_tiles(x, tiles, (struct tiling){type, parts, is_left, 1});
  else
    fill_tiles(x, tiles, (struct tiling){type, parts, is_left, 0});
}

static void split_left_factor(const float *x, ptrdiff_t line, ptrdiff_t step, ptrdiff_t lines,
                              ptrdiff_t depth, float *tiles) {
  const struct factor left = {.values = x, .line = line, .step = step, .lines = lines, .depth = depth};
  fill_factor(&left, tiles, WEIGHT_FLOAT, PARTS, 1);
}

static void round_left_factor(const float *x, ptrdiff_t line, ptrdiff_t lines, ptrdiff_t depth,
                              float *tiles) {
  const struct factor left = {.values = x, .line = line, .step = 1, .lines = lines, .depth = depth};
  fill_tiles(&left, tiles, (struct tiling){WEIGHT_FLOAT, 1, 1, 1});
}

// Into how many parts the numbers of both factors are split, known where it is compiled.
struct parts {
  int left, right;
};

// Adds the products of two lines of tiles by two, `depth` tiles each, to the sums in registers 0 to 3. The smallest
// products come first.
INLINE void multiply_parts(const float *const a[2], const float *const b[2], ptrdiff_t depth,
                           const struct parts parts) {
#define LOAD_LEFT(PART)                                                                           \
  _tile_loadd(4, a[0] + left + PART * TILE_WORDS, 64);                                            \
  _tile_loadd(5, a[1] + left + PART * TILE_WORDS, 64);
#define LOAD_RIGHT(PART)                                                                          \
  _tile_loadd(6, b[0] + right + PART * TILE_WORDS, 64);                                           \
  _tile_loadd(7, b[1] + right + PART * TILE_WORDS, 64);
#define ADD_PRODUCTS                                                                              \
  _tile_dpbf16ps(0, 4, 6);                                                                        \
  _tile_dpbf16ps(1, 4, 7);                                                                        \
  _tile_dpbf16ps(2, 5, 6);                                                                        \
  _tile_dpbf16ps(3, 5, 7);
  for (ptrdiff_t k = 0; k < depth; k++) {
    const ptrdiff_t left = k * parts.left * TILE_WORDS, right = k * parts.right * TILE_WORDS;
    LOAD_RIGHT(0)
    if (parts.left > 1) {
      LOAD_LEFT(2) ADD_PRODUCTS
      LOAD_LEFT(1) ADD_PRODUCTS
    }
    if (parts.right == 1) {
      LOAD_LEFT(0) ADD_PRODUCTS
      continue;
    }
    LOAD_RIGHT(1) ADD_PRODUCTS
    LOAD_LEFT(0) ADD_PRODUCTS
    LOAD_RIGHT(2) ADD_PRODUCTS
    LOAD_RIGHT(0) ADD_PRODUCTS
  }
#undef ADD_PRODUCTS
#undef LOAD_RIGHT
#undef LOAD_LEFT
}

// y = start + the product, for two by two tiles of y.
INLINE void multiply_square(const float *const a[2], const float *const b[2], ptrdiff_t depth,
                            struct product_start start, float *y, ptrdiff_t y_stride,
                            const struct parts parts) {
#define EACH_TILE(DO) DO(0, 0, 0) DO(1, 0, 1) DO(2, 1, 0) DO(3, 1, 1)
#define BEGIN(TILE, I, J)                                                                         \
  _tile_loadd(TILE, start.p + (I) * REGISTER_ROWS * start.row + (J) * LANES, start.row * 4);
#define CLEAR(TILE, I, J) _tile_zero(TILE);
#define END(TILE, I, J)                                                                           \
  _tile_stored(TILE, y + (I) * REGISTER_ROWS * y_stride + (J) * LANES, y_stride * 4);
  if (start.p) {
    EACH_TILE(BEGIN)
  } else {
    EACH_TILE(CLEAR)
  }
  multiply_parts(a, b, depth, parts);
  EACH_TILE(END)
#undef END
#undef CLEAR
#undef BEGIN
#undef EACH_TILE
}

// One piece of the depth: from `first` times 32 on, where the left factor has all of it and the right one `depth`
// times 32. Until they are whole, sums are in squares of their own: rows of y may be so far apart that none stays in a
// cache. Those that y has no room for are always there.
INLINE void multiply_piece(const struct matvlm_product *p, const float *left, const float *right,
                           float *sums, ptrdiff_t first, ptrdiff_t depth, const struct parts parts) {
  const ptrdiff_t left_line = depth_tiles(p->depth) * parts.left * TILE_WORDS;
  const ptrdiff_t right_line = depth * parts.right * TILE_WORDS;
  const int begins = first == 0, ends = (first + depth) * TILE_DEPTH >= p->depth;
  for (ptrdiff_t i = 0; i < p->rows; i += SQUARE)
    for (ptrdiff_t j = 0; j < p->columns; j += SQUARE, sums += SQUARE * SQUARE) {
      const ptrdiff_t rows = MIN(SQUARE, p->rows - i), columns = MIN(SQUARE, p->columns - j);
      const int fits = rows == SQUARE && columns == SQUARE;
      // Lines behind the last are those before them once more, for sums that are not kept.
      const float *a[2] = {left + i / REGISTER_ROWS * left_line + first * parts.left * TILE_WORDS};
      const float *b[2] = {right + j / REGISTER_ROWS * right_line};
      a[1] = rows > REGISTER_ROWS ? a[0] + left_line : a[0];
      b[1] = columns > REGISTER_ROWS ? b[0] + right_line : b[0];
      const float *begin = p->start ? p->start + i * p->start_row + j : 0;
      float *y = p->y + i * p->y_stride + j;
      struct product_start start = {sums, SQUARE};
      if (begins && fits) {
        start = (struct product_start){begin, p->start_row};
      } else if (begins) {
        memset(sums, 0, SQUARE * SQUARE * sizeof *sums);
        if (begin) copy_rows(begin, rows, columns, p->start_row, sums, SQUARE);
      }
      if (ends && fits)
        multiply_square(a, b, depth, start, y, p->y_stride, parts);
      else
        multiply_square(a, b, depth, start, sums, SQUARE, parts);
      if (ends && !fits) copy_rows(sums, rows, columns, SQUARE, y, p->y_stride);
    }
}

INLINE void tile_product(const struct matvlm_product *p, const float *left, float *scratch,
                         const enum weight_type type, const struct parts parts) {
  shape_tiles(REGISTER_PAIRS);
  float *const sums = scratch, *const tiles = scratch + matvlm_square_sums(p->rows, p->columns);
  ptrdiff_t first = 0;
  do {  // at least once: without depth, y is what it begins with
    const ptrdiff_t depth = MIN(MATVLM_TILES_DEPTH, p->depth - first);
    const struct factor right = {p->right, first * p->right_row, p->right_column, p->right_row,
                                 p->columns, depth};
    fill_factor(&right, tiles, type, parts.right, 0);
    multiply_piece(p, left, tiles, sums, first / TILE_DEPTH, depth_tiles(depth), parts);
    first += depth;
  } while (first < p->depth);
  _tile_release();
}

#define TILE_PRODUCT(NAME, TYPE, LEFT, RIGHT)                                                      \
  static void NAME(const struct matvlm_product *p, const float *left, float *scratch) {           \
    tile_product(p, left, scratch, TYPE, (struct parts){LEFT, RIGHT});                            \
  }

TILE_PRODUCT(rounded_product_with_bf16, WEIGHT_BF16, 1, 1)
TILE_PRODUCT(split_product_with_floats, WEIGHT_FLOAT, PARTS, PARTS)
TILE_PRODUCT(split_product_with_bf16, WEIGHT_BF16, PARTS, 1)
TILE_PRODUCT(split_product_with_f16, WEIGHT_F16, PARTS, PARTS)
