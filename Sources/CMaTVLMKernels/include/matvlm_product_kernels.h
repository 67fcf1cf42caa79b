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

struct matvlm_product_kernels {
  /// The right factor of each type; sums are float32.
  /// scratch: matvlm_product_scratch floats.
  void (*with_floats)(const struct matvlm_product *, float *scratch);
  void (*with_bf16)(const struct matvlm_product *, float *scratch);
  void (*with_f16)(const struct matvlm_product *, float *scratch);
  /// Both factors in bfloat16, `left` in the place of the product's own; right_row is 1, and depth,
  /// left_row and right_column are even. NULL where the processor has no such products.
  void (*_Nullable of_bf16)(const struct matvlm_product *, const uint16_t *left, float *scratch);
};

/// Floats for a strip of the right factor, a vector's columns of it before they are turned, and sums that are
/// not whole yet.
static inline ptrdiff_t matvlm_product_scratch(ptrdiff_t rows, ptrdiff_t columns) {
  return (64 + 16) * MATVLM_PRODUCT_DEPTH + rows * ((columns + 15) / 16 * 16);
}

#pragma clang assume_nonnull end

#endif
