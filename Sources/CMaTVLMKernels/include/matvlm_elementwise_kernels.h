#ifndef MATVLM_ELEMENTWISE_KERNELS_H
#define MATVLM_ELEMENTWISE_KERNELS_H

#include <stdint.h>

struct matvlm_elementwise_kernels {
  int64_t unused;
};

#endif
