// Norms of rows. Outputs do not overlap inputs. Gradients of parameters are added to what the
// caller's memory holds, so that rows can be cut into blocks whose sums are added in a fixed order.
#ifndef MATVLM_NORMALIZE_KERNELS_H
#define MATVLM_NORMALIZE_KERNELS_H

#include <stdint.h>

#pragma clang assume_nonnull begin

struct matvlm_normalize_kernels {
  /// y = (x - mean) / sqrt(variance + epsilon) · weight + bias for each row.
  /// x y [rows, width], weight bias [width].
  void (*layer_norm)(const float *x, const float *weight, const float *bias, float *y,
                     int64_t rows, int64_t width, float epsilon);
  /// dy x dx [rows, width], weight [width]; dweight dbias [width], added to; both or neither NULL.
  void (*layer_norm_gradient)(const float *dy, const float *x, const float *weight, float *dx,
                              float *_Nullable dweight, float *_Nullable dbias, int64_t rows,
                              int64_t width, float epsilon);
  /// g = x · silu(gate), y = g / sqrt(mean(g²) + epsilon) · weight for each group of a row.
  /// x gate y [rows, groups · width], weight [groups · width].
  void (*gated_rms_norm)(const float *x, const float *gate, const float *weight, float *y,
                         int64_t rows, int64_t groups, int64_t width, float epsilon);
  /// dy x gate dx dgate [rows, groups · width], weight [groups · width]; dweight
  /// [groups · width], added to.
  void (*gated_rms_norm_gradient)(const float *dy, const float *x, const float *gate,
                                  const float *weight, float *dx, float *dgate, float *dweight,
                                  int64_t rows, int64_t groups, int64_t width, float epsilon);
};

#pragma clang assume_nonnull end

#endif
