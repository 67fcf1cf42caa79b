// Products of a few rows with a matrix of weights.
#ifndef MATVLM_MATRIX_KERNELS_H
#define MATVLM_MATRIX_KERNELS_H

#include <stdint.h>

#pragma clang assume_nonnull begin

struct matvlm_matrix_kernels {
  /// y[t, o] = x[t] · weight[o] + bias[o], for weights of each type; sums are float32.
  /// x [rows, inputs], weight [outputs, inputs], bias [outputs] or NULL; row t of y begins at
  /// y + t · y_stride. Weights are read once for all rows.
  void (*float_row_products)(const float *x, int64_t rows, const float *weight, int64_t inputs,
                             const float *_Nullable bias, int64_t outputs, float *y,
                             int64_t y_stride);
  void (*bf16_row_products)(const float *x, int64_t rows, const uint16_t *weight, int64_t inputs,
                            const float *_Nullable bias, int64_t outputs, float *y,
                            int64_t y_stride);
  void (*f16_row_products)(const float *x, int64_t rows, const uint16_t *weight, int64_t inputs,
                           const float *_Nullable bias, int64_t outputs, float *y,
                           int64_t y_stride);
  /// The same for one row, which is bfloat16 as well. NULL where the processor has no such products.
  void (*_Nullable row_product_of_bf16)(const uint16_t *x, const uint16_t *weight, int64_t inputs,
                                        const float *_Nullable bias, int64_t outputs, float *y);
};

#pragma clang assume_nonnull end

#endif
