#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "matvlm_kernels.h"

#define LANES 16
#define MULTIPLIES_BF16 1
#define MULTIPLIES_TILES 1
#define KERNELS matvlm_avx512_amx_kernels
#define KERNELS_NAME "avx512 amx"

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,amx-tile,amx-bf16,amx-int8,avx2,fma,f16c"))), apply_to = function)
#include "kernels-inl.h"
#pragma clang attribute pop
#endif
