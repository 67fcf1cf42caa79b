// Products of matrices of many rows.
#ifndef MATVLM_PRODUCT_KERNELS_H
#define MATVLM_PRODUCT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// y [rows, columns] = start [rows, columns] + left [rows, depth] right [depth, columns]
///
/// Element (i, k) of the left factor is left[i · left_row + k], and (k, j) of the right one
/// right[k · right_row + j · right_column], one of which is 1: a transpose is strides.
struct matvlm_product {
  ptrdiff_t rows, columns, depth;
  const float *_Null_unspecified left;
  ptrdiff_t left_row;
  const void *_Null_unspecified right;
  ptrdiff_t right_row, right_column;
  /// Rows of it begin `start_row` apart, 0 for the same row each time; y itself, or NULL for zeros.
  const float *_Nullable start;
  ptrdiff_t start_row;
  float *_Null_unspecified y;
  ptrdiff_t y_stride;
};

/// Depth whose sums stay in registers, so that a strip of the right factor stays in a nearest cache of 32 KiB; an
/// element of y is the sum of such sums, in their order.
enum { MATVLM_PRODUCT_DEPTH = 128 };

/// bfloat16 whose sum a float32 is, exactly: each has 8 of its 24 digits.
enum { MATVLM_FLOAT_PARTS = 3 };

/// Floats' worth of memory for a factor in tiles of 16 lines by 32 of depth, so many of bfloat16 for each number; lines
/// are rows of the left factor or columns of the right one.
static inline ptrdiff_t matvlm_factor_size(ptrdiff_t lines, ptrdiff_t depth, ptrdiff_t parts) {
  return (lines + 15) / 16 * ((depth + 31) / 32) * (parts * 16 * 16);
}

/// Depth of the right factor that is in tiles at a time.
enum { MATVLM_TILES_DEPTH = 512 };

struct matvlm_product_kernels {
  /// The right factor of each type; sums are float32.
  /// scratch: matvlm_product_scratch floats.
  void (*with_floats)(const struct matvlm_product *, float *scratch);
  void (*with_bf16)(const struct matvlm_product *, float *scratch);
  void (*with_f16)(const struct matvlm_product *, float *scratch);
  /// Both factors in bfloat16, `left` in the place of the product's own; right_row is 1, and depth,
  /// left_row and right_column are even. NULL where the processor has no such products.
  void (*_Nullable of_bf16)(const struct matvlm_product *, const uint16_t *left, float *scratch);
  /// The left factor in tiles, matvlm_factor_size floats, each number as the sum of MATVLM_FLOAT_PARTS: element (i, k)
  /// is x[i · line + k · step], and one of both is 1. NULL, as all that follows, where the processor has no tiles.
  void (*_Nullable split_left)(const float *x, ptrdiff_t line, ptrdiff_t step, ptrdiff_t lines,
                               ptrdiff_t depth, float *tiles);
  /// The same with each number rounded to one part; step is 1.
  void (*_Nullable round_left)(const float *x, ptrdiff_t line, ptrdiff_t lines, ptrdiff_t depth,
                               float *tiles);
  /// As of_bf16, of any depth. left: what round_left makes, from a multiple of 16 rows on, in the place of the
  /// product's own. scratch: matvlm_tiles_scratch floats.
  void (*_Nullable rounded_with_bf16)(const struct matvlm_product *, const float *left, float *scratch);
  /// As with_floats and so on, with float32's accuracy; what is infinite in a factor may be NaN in the product.
  /// left: what split_left makes.
  void (*_Nullable split_with_floats)(const struct matvlm_product *, const float *left,
                                      float *scratch);
  void (*_Nullable split_with_bf16)(const struct matvlm_product *, const float *left, float *scratch);
  void (*_Nullable split_with_f16)(const struct matvlm_product *, const float *left, float *scratch);
};

/// Floats for a strip of the right factor, a vector's columns of it before they are turned, and sums that are
/// not whole yet.
static inline ptrdiff_t matvlm_product_scratch(ptrdiff_t rows, ptrdiff_t columns) {
  return (64 + 16) * MATVLM_PRODUCT_DEPTH + rows * ((columns + 15) / 16 * 16);
}

/// Floats for sums in squares of 32 rows and columns.
static inline ptrdiff_t matvlm_square_sums(ptrdiff_t rows, ptrdiff_t columns) {
  return (rows + 31) / 32 * ((columns + 31) / 32) * (32 * 32);
}

/// Floats for sums that are not whole yet, and for the tiles of the right factor that are used at a time, at most.
static inline ptrdiff_t matvlm_tiles_scratch(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t depth) {
  return matvlm_square_sums(rows, columns)
         + matvlm_factor_size(columns, depth < MATVLM_TILES_DEPTH ? depth : MATVLM_TILES_DEPTH,
                              MATVLM_FLOAT_PARTS);
}

#pragma clang assume_nonnull end

#endif
