#include "attention-inl.h"
#include "cached-attention-inl.h"
#include "convolution-inl.h"
#include "rotary-inl.h"
#include "ssd-inl.h"
#include "ssd-gradient-inl.h"

#define SEQUENCE_KERNELS                                                                          \
  {                                                                                               \
    .rotate = rotate, .attention = attention, .attention_gradient = attention_gradient,           \
    .attend_row = attend_row, .merge_ranges = merge_ranges, .convolve = convolve,                 \
    .convolve_gradient = convolve_gradient, .scan = scan, .scan_gradient = scan_gradient          \
  }
