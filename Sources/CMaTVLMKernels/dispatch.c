#include "matvlm_kernels.h"
void matvlm_kernels_link(void) {}
