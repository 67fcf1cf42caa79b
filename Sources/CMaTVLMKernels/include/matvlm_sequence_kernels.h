#ifndef MATVLM_SEQUENCE_KERNELS_H
#define MATVLM_SEQUENCE_KERNELS_H

#include <stdint.h>

struct matvlm_sequence_kernels {
  int64_t unused;
};

#endif
