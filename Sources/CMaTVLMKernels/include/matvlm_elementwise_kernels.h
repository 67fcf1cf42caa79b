// Element by element. Arrays have n elements; an output may be one of the inputs, but not overlap
// one otherwise.
#ifndef MATVLM_ELEMENTWISE_KERNELS_H
#define MATVLM_ELEMENTWISE_KERNELS_H

#include <stdint.h>

#pragma clang assume_nonnull begin

/// What all elements of an AdamW step share.
struct matvlm_adamw {
  /// 1 - learning rate · weight decay: what a value is multiplied by first.
  float decay;
  /// learning rate / (1 - beta1^t)
  float step_size;
  float beta1;
  float beta2;
  float epsilon;
  /// 1 / sqrt(1 - beta2^t)
  float inverse_root_correction2;
  float gradient_scale;
};

struct matvlm_elementwise_kernels {
  /// y = a + b
  void (*add)(const float *a, const float *b, float *y, int64_t n);
  /// y = a · b
  void (*multiply)(const float *a, const float *b, float *y, int64_t n);
  /// y = factor · x
  void (*scale)(const float *x, float factor, float *y, int64_t n);
  /// y = factor · (a - b)
  void (*scale_difference)(const float *a, const float *b, float factor, float *y, int64_t n);
  /// y [width] += the sum of the rows of x [rows, width], in order; row t begins at x + t · stride
  void (*add_rows)(const float *x, int64_t rows, int64_t stride, int64_t width, float *y);

  /// y = activation(x); absolute error below 1e-6 of the largest output
  void (*gelu)(const float *x, float *y, int64_t n);
  void (*gelu_tanh)(const float *x, float *y, int64_t n);
  void (*silu)(const float *x, float *y, int64_t n);
  /// dx = dy · activation'(x)
  void (*gelu_gradient)(const float *dy, const float *x, float *dx, int64_t n);
  void (*gelu_tanh_gradient)(const float *dy, const float *x, float *dx, int64_t n);
  void (*silu_gradient)(const float *dy, const float *x, float *dx, int64_t n);

  /// Exact.
  void (*bf16_to_float)(const uint16_t *x, float *y, int64_t n);
  void (*f16_to_float)(const uint16_t *x, float *y, int64_t n);
  /// To nearest even; NaN stays NaN, subnormals are made, what is too large is infinite.
  void (*float_to_bf16)(const float *x, uint16_t *y, int64_t n);
  void (*float_to_f16)(const float *x, uint16_t *y, int64_t n);

  /// One step of AdamW in place: value and both moments are read and written.
  void (*adamw)(float *value, const float *gradient, float *first_moment, float *second_moment,
                int64_t n, const struct matvlm_adamw *step);
};

#pragma clang assume_nonnull end

#endif
