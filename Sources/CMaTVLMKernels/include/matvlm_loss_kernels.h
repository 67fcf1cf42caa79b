// Losses over one row of logits, and sums of squares. Outputs do not overlap inputs unless stated.
// Gradients below 1e-30 are zero.
#ifndef MATVLM_LOSS_KERNELS_H
#define MATVLM_LOSS_KERNELS_H

#include <stdint.h>

#pragma clang assume_nonnull begin

/// What turns logits x into log probabilities: (x - maximum) · factor - log_sum.
struct matvlm_log_partition {
  float maximum;
  float log_sum;
};

/// Distances of two distributions; p is the student's, q the teacher's, m the mean of both.
enum matvlm_divergence {
  MATVLM_FORWARD,                 // KL(q || p)
  MATVLM_REVERSE,                 // KL(p || q)
  MATVLM_JENSEN_SHANNON,          // (KL(q || m) + KL(p || m)) / 2
  MATVLM_JENSEN_SHANNON_AUTHORS,  // (KL(m || q) + KL(m || p)) / 2
};

struct matvlm_loss_kernels {
  /// The log partition of factor · x [n]; factor is 1 / temperature.
  struct matvlm_log_partition (*log_partition)(const float *x, int64_t n, float factor);
  /// The divergence of softmax(factor · student) from softmax(factor · teacher), both [n], given
  /// the log partition of each. With a gradient [n]: weight · the derivative with respect to
  /// factor · student; gradient may be teacher.
  double (*divergence)(const float *student, struct matvlm_log_partition student_partition,
                       const float *teacher, struct matvlm_log_partition teacher_partition,
                       int64_t n, float factor, float weight, float *_Nullable gradient,
                       enum matvlm_divergence kind);
  /// y [n] += weight · softmax(x); y may be x.
  void (*add_softmax)(const float *x, struct matvlm_log_partition partition, int64_t n,
                      float weight, float *y);
  /// The sum of x² over n elements, in double precision.
  double (*sum_of_squares)(const float *x, int64_t n);
  /// The sum of (a - b)² over n elements, in double precision.
  double (*squared_distance)(const float *a, const float *b, int64_t n);
};

#pragma clang assume_nonnull end

#endif
