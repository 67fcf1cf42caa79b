#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "matvlm_kernels.h"

#define LANES 8
#define KERNELS matvlm_avx2_kernels
#define KERNELS_NAME "avx2"

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "kernels-inl.h"
#pragma clang attribute pop
#endif
