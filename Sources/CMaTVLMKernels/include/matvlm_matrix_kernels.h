#ifndef MATVLM_MATRIX_KERNELS_H
#define MATVLM_MATRIX_KERNELS_H

#include <stdint.h>

struct matvlm_matrix_kernels {
  int64_t unused;
};

#endif
