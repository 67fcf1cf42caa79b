// Products with matrices whose weights are rounded to a few bits in groups. Rows of x are rounded
// too, to int8 in the same groups, so that products are sums of small integers.
#ifndef MATVLM_QUANTIZED_KERNELS_H
#define MATVLM_QUANTIZED_KERNELS_H

#include <stdint.h>

#pragma clang assume_nonnull begin

enum {
  /// Outputs whose codes lie side by side.
  MATVLM_PANEL = 16,
};

/// A matrix [outputs, inputs] in panels, as `QuantizedLayout` describes it. Panels and groups are
/// filled up; what is there is multiplied with zeros or not stored.
struct matvlm_quantized_matrix {
  int64_t outputs, inputs;
  /// Inputs that share a scale: 32, 64, 128 or 256.
  int64_t group;
  /// Of a code: 8 or 4.
  int64_t bits;
  /// bfloat16 [panels, groups, 16]
  const uint16_t *scales;
  /// int8: code + 128 [panels, groups · group / 4, 16, 4]; int4: code + 8 in half bytes
  /// [panels, groups · group / 8, 16, 4], of each eight inputs the first four in the low halves.
  const uint8_t *codes;
};

/// Rows rounded to int8 in groups.
struct matvlm_rounded_rows {
  /// [rows, groups · group], each from -127 to 127; zeros behind the inputs.
  int8_t *codes;
  /// [rows, groups]
  float *scales;
  /// [rows, groups]: what takes back the constant that is added to the codes of weights.
  int32_t *corrections;
};

struct matvlm_quantized_kernels {
  /// Rounds at most 16 rows of x [rows, inputs] to a panel: scales [groups, 16] and its codes.
  /// scratch: groups · group · 16 floats.
  void (*quantize_panel)(const float *x, int64_t rows, int64_t inputs, int64_t group, int64_t bits,
                         uint16_t *scales, uint8_t *codes, float *scratch);
  /// y [count]: inputs first… of one output.
  void (*unpack)(const struct matvlm_quantized_matrix *, int64_t output, int64_t first,
                 int64_t count, float *y);
  /// Rounds x [rows, inputs] for products with a matrix of this group and these bits. A group with
  /// a number that is not finite gets a scale that is not finite.
  void (*round_rows)(const float *x, int64_t rows, int64_t inputs, int64_t group, int64_t bits,
                     const struct matvlm_rounded_rows *);
  /// y[t, o] = x[t] · weight[o] + bias[o] for the outputs of some panels, from the first of which y
  /// begins; row t of y is at y + t · y_stride, bias [outputs]. Sums within a group are exact, sums of groups float32 in their order.
  void (*products)(const struct matvlm_rounded_rows *x, int64_t rows,
                   const struct matvlm_quantized_matrix *weight, int64_t first_panel,
                   int64_t panels, const float *_Nullable bias, float *y, int64_t y_stride);
};

#pragma clang assume_nonnull end

#endif
