#ifndef MATVLM_NORMALIZE_KERNELS_H
#define MATVLM_NORMALIZE_KERNELS_H

#include <stdint.h>

struct matvlm_normalize_kernels {
  int64_t unused;
};

#endif
