// Every kernel, compiled for the instruction set of the including file, and their table.
#include "vector.h"

#include "half.h"

#include "elementwise-inl.h"
#include "loss-inl.h"
#include "panels-inl.h"

#include "matrix-inl.h"
#include "normalize-inl.h"
#ifdef MULTIPLIES_TILES
#include "tiles-inl.h"
#include "tile-products-inl.h"
#endif
#include "product-inl.h"
#include "sequence-inl.h"

#include "quantize-inl.h"
#include "quantized-products-inl.h"

const struct matvlm_kernels KERNELS = {
    .name = KERNELS_NAME,
    .elementwise = ELEMENTWISE_KERNELS,
    .normalize = NORMALIZE_KERNELS,
    .matrix = MATRIX_KERNELS,
    .product = PRODUCT_KERNELS,
    .quantized = QUANTIZED_KERNELS,
    .sequence = SEQUENCE_KERNELS,
    .loss = LOSS_KERNELS,
};
