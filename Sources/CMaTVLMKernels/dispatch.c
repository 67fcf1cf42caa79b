#include "matvlm_kernels.h"

#include <stddef.h>

extern const struct matvlm_kernels matvlm_generic_kernels;
#if defined(__x86_64__)
extern const struct matvlm_kernels matvlm_avx2_kernels;
extern const struct matvlm_kernels matvlm_avx512_kernels;
extern const struct matvlm_kernels matvlm_avx512_bf16_kernels;
#endif

const struct matvlm_kernels *matvlm_kernels_for(enum matvlm_instruction_set set) {
  switch (set) {
  case MATVLM_GENERIC:
    return &matvlm_generic_kernels;
#if defined(__x86_64__)
  case MATVLM_AVX2:
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c"))
      return &matvlm_avx2_kernels;
    return NULL;
  case MATVLM_AVX512:
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
      return &matvlm_avx512_kernels;
    return NULL;
  case MATVLM_AVX512_BF16:
    if (matvlm_kernels_for(MATVLM_AVX512) && __builtin_cpu_supports("avx512bf16"))
      return &matvlm_avx512_bf16_kernels;
    return NULL;
#endif
  default:
    return NULL;
  }
}

enum matvlm_instruction_set matvlm_best_instruction_set(void) {
  for (int set = MATVLM_INSTRUCTION_SETS - 1; set > MATVLM_GENERIC; set--)
    if (matvlm_kernels_for((enum matvlm_instruction_set)set)) return (enum matvlm_instruction_set)set;
  return MATVLM_GENERIC;
}
