#include <math.h>
#include <stdint.h>
#include <string.h>

#include "matvlm_kernels.h"

#define LANES 4
#define KERNELS matvlm_generic_kernels
#define KERNELS_NAME "generic"

#include "kernels-inl.h"
