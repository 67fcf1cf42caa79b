#ifndef MATVLM_LOSS_KERNELS_H
#define MATVLM_LOSS_KERNELS_H

#include <stdint.h>

struct matvlm_loss_kernels {
  int64_t unused;
};

#endif
