// Kernels that look along a sequence: rotary positions, attention, the causal convolution and the
// scan. T rows of one segment, P columns of a head, N columns of a state, K taps, R query heads
// that share a key head. Strides count floats from one row to the next.
#ifndef MATVLM_SEQUENCE_KERNELS_H
#define MATVLM_SEQUENCE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
  /// Query rows of a tile of attention, keys of a tile, and rows of a scan's chunk at most.
  MATVLM_TILE = 64,
  /// Keys of one call of `attend_row` at most.
  MATVLM_KEY_RANGE = 128,
  /// Rows and channels of one call of the convolution's kernels at most.
  MATVLM_CONVOLUTION_ROWS = 64,
  MATVLM_CONVOLUTION_CHANNELS = 1024,
};

/// At most MATVLM_TILE query rows of one head against the keys and values of their segment.
struct matvlm_attention {
  ptrdiff_t rows, width;
  ptrdiff_t query_stride, key_stride;
  float scale;
  /// [rows]: how many keys each query sees, from the first one; at least one.
  const int32_t *visible;
  /// queries [rows, P] of query_stride, keys and values [max visible, P] of key_stride.
  const float *queries, *keys, *values;
  /// [rows, P] of query_stride.
  float *output;
  /// [rows] of log_stride, or NULL.
  float *log_sum_exp;
  ptrdiff_t log_stride;
};

/// One key head of one segment, with all query heads that share it.
struct matvlm_attention_gradient {
  ptrdiff_t rows, width, group;
  ptrdiff_t query_stride, key_stride, log_stride;
  float scale;
  /// [T], as in matvlm_attention.
  const int32_t *visible;
  /// queries, output and its gradient [T, R·P] of query_stride; keys, values [T, P] of key_stride.
  const float *queries, *keys, *values, *output, *output_gradient;
  /// [T, R] of log_stride.
  const float *log_sum_exp;
  /// Written: [T, R·P] of query_stride, [T, P] of key_stride.
  float *queries_gradient, *keys_gradient, *values_gradient;
};

/// One query row of several key heads against at most MATVLM_KEY_RANGE cached keys.
struct matvlm_attention_row {
  ptrdiff_t keys_count, key_heads, group, width, key_stride;
  float scale;
  /// [key_heads·R, P] contiguous.
  const float *queries;
  /// [keys_count, key_heads·P] of key_stride, floats or bfloat16.
  const void *keys, *values;
  int is_bf16;
  /// [key_heads·R]: the largest score, and the sum of exp(score − largest).
  float *largest, *sum;
  /// [key_heads·R, P]: Σ exp(score − largest) · value.
  float *output;
};

/// One block of channels of one block of rows of a segment.
struct matvlm_convolution {
  /// The segment's rows T; the block's first row and how many, at most MATVLM_CONVOLUTION_ROWS.
  ptrdiff_t rows, first, count;
  /// Channels of the block, at most MATVLM_CONVOLUTION_CHANNELS; floats from row to row; taps.
  ptrdiff_t channels, stride, taps;
  /// [T, channels] of stride: all rows of the segment, from the block's first channel.
  const float *x;
  /// [channels, K], [channels].
  const float *weight, *bias;
  /// [K − 1, channels] of stride: the rows before the segment; NULL: zeros.
  const float *tail;
  /// [T, channels] of stride; rows first ..< first + count are written.
  float *y;
};

struct matvlm_convolution_gradient {
  struct matvlm_convolution forward;  // y is not used
  /// [T, channels] of stride.
  const float *dy;
  /// As y.
  float *dx;
  /// [K + 1, channels] of parameters_stride, written: what the block's rows add to the gradient of
  /// each tap, then of the bias.
  float *parameters;
  ptrdiff_t parameters_stride;
};

/// One head of one segment of a scan.
struct matvlm_scan {
  ptrdiff_t rows, head_width, state_width;
  /// Rows of a chunk, at most MATVLM_TILE.
  ptrdiff_t chunk;
  ptrdiff_t x_stride, b_stride, c_stride, dt_stride, y_stride;
  /// x [T, P], b [T, N], c [T, N], dt [T] before bias and softplus.
  const float *x, *b, *c, *dt;
  float dt_bias, a_log, d;
  /// [P, N] contiguous, read and replaced; NULL: zero, and not kept.
  float *state;
  /// [T, P]
  float *y;
};

struct matvlm_scan_gradient {
  struct matvlm_scan forward;  // state and y are not used
  /// [T, P] of y_stride.
  const float *dy;
  /// Whether dx and db are added to, for heads that share x and B, or written.
  int add;
  /// As x, b, c and dt.
  float *dx, *db, *dc, *ddt;
  /// Written: gradients of dt_bias, a_log and d.
  double parameters[3];
};

struct matvlm_sequence_kernels {
  /// x [rows, heads·P] → y, which may be x: the first `rotary` columns of each head rotated by the
  /// angles of table[positions[row]], [rotary]: cosines, then sines; `direction` 1 or −1.
  void (*rotate)(const float *x, const float *table, const int32_t *positions, ptrdiff_t rows,
                 ptrdiff_t heads, ptrdiff_t width, ptrdiff_t rotary, float direction, float *y);

  /// scratch: matvlm_attention_scratch(P) floats.
  void (*attention)(const struct matvlm_attention *, float *scratch);
  /// scratch: matvlm_attention_gradient_scratch(T, P) floats.
  void (*attention_gradient)(const struct matvlm_attention_gradient *, float *scratch);
  /// scratch: key_heads · R · MATVLM_KEY_RANGE floats.
  void (*attend_row)(const struct matvlm_attention_row *, float *scratch);
  /// Makes one softmax of the `ranges` that `attend_row` left: largest and sum [ranges, heads],
  /// output [ranges, heads, P] → y [heads, P].
  void (*merge_ranges)(const float *largest, const float *sum, const float *output,
                       ptrdiff_t ranges, ptrdiff_t heads, ptrdiff_t width, float *y);

  /// scratch: matvlm_convolution_scratch(K) floats.
  void (*convolve)(const struct matvlm_convolution *, float *scratch);
  void (*convolve_gradient)(const struct matvlm_convolution_gradient *, float *scratch);

  /// scratch: matvlm_scan_scratch(P, N) floats.
  void (*scan)(const struct matvlm_scan *, float *scratch);
  /// scratch: matvlm_scan_gradient_scratch(T, P, N, chunk) floats.
  void (*scan_gradient)(struct matvlm_scan_gradient *, float *scratch);
};

/// Columns filled up to whole vectors of the widest instruction set.
static inline ptrdiff_t matvlm_padded(ptrdiff_t columns) { return (columns + 15) / 16 * 16; }

static inline ptrdiff_t matvlm_attention_scratch(ptrdiff_t width) {
  return (3 * width + MATVLM_TILE + 3) * MATVLM_TILE;
}

static inline ptrdiff_t matvlm_attention_gradient_scratch(ptrdiff_t rows, ptrdiff_t width) {
  return 2 * rows * matvlm_padded(width) +
         (4 * width + 2 * matvlm_padded(width) + 2 * MATVLM_TILE + 3) * MATVLM_TILE;
}

static inline ptrdiff_t matvlm_convolution_scratch(ptrdiff_t taps) {
  return (2 * taps + MATVLM_CONVOLUTION_ROWS) * MATVLM_CONVOLUTION_CHANNELS;
}

static inline ptrdiff_t matvlm_scan_scratch(ptrdiff_t head_width, ptrdiff_t state_width) {
  return head_width * matvlm_padded(state_width) +
         (2 * head_width + state_width + matvlm_padded(state_width) + MATVLM_TILE) * MATVLM_TILE;
}

static inline ptrdiff_t matvlm_scan_gradient_scratch(
    ptrdiff_t rows, ptrdiff_t head_width, ptrdiff_t state_width, ptrdiff_t chunk) {
  const ptrdiff_t p = matvlm_padded(head_width), n = matvlm_padded(state_width);
  return ((rows + chunk - 1) / chunk + 1) * head_width * n + state_width * p +
         (3 * p + 5 * n + 4 * MATVLM_TILE) * MATVLM_TILE;
}

#endif
