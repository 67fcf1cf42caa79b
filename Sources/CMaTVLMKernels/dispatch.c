#include "matvlm_kernels.h"

#include <stddef.h>
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

extern const struct matvlm_kernels matvlm_generic_kernels;
#if defined(__x86_64__)
extern const struct matvlm_kernels matvlm_avx2_kernels;
extern const struct matvlm_kernels matvlm_avx512_kernels;
extern const struct matvlm_kernels matvlm_avx512_bf16_kernels;
extern const struct matvlm_kernels matvlm_avx512_amx_kernels;

// Whether this process may use tile registers, which Linux saves only for those that ask
// (Documentation/arch/x86/xstate.rst).
static int permits_tiles(void) {
#if defined(__linux__)
  const int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return 0;
#endif
}
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
  case MATVLM_AVX512_AMX:
    if (matvlm_kernels_for(MATVLM_AVX512_BF16) && __builtin_cpu_supports("amx-tile") &&
        __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("amx-int8") && permits_tiles())
      return &matvlm_avx512_amx_kernels;
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
