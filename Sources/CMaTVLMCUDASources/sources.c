#include "matvlm_cuda_sources.h"

#include <string.h>

#pragma clang diagnostic ignored "-Wc23-extensions"

// Text in the binary itself, so that it can be copied to a machine with a card as one file.
static const unsigned char common[] = {
#embed "Kernels/common.cuh"
};
static const unsigned char mma[] = {
#embed "Kernels/mma.cuh"
};
static const unsigned char attention_header[] = {
#embed "Kernels/attention.cuh"
};
static const unsigned char row_products[] = {
#embed "Kernels/row_products.cuh"
};
static const unsigned char split_softmax[] = {
#embed "Kernels/split_softmax.cuh"
};
static const unsigned char cached_attention_header[] = {
#embed "Kernels/cached_attention.cuh"
};
static const unsigned char mixer_row[] = {
#embed "Kernels/mixer_row.cuh"
};
static const unsigned char warpgroup[] = {
#embed "Kernels/warpgroup.cuh"
};
static const unsigned char tile_copies[] = {
#embed "Kernels/tile_copies.cuh"
};
static const unsigned char attend_and_add[] = {
#embed "Kernels/attend_and_add.cu"
};
static const unsigned char attention[] = {
#embed "Kernels/attention.cu"
};
static const unsigned char attention_gradient[] = {
#embed "Kernels/attention_gradient.cu"
};
static const unsigned char attention_gradient_warpgroup[] = {
#embed "Kernels/attention_gradient_warpgroup.cu"
};
static const unsigned char attention_warpgroup[] = {
#embed "Kernels/attention_warpgroup.cu"
};
static const unsigned char cached_attention[] = {
#embed "Kernels/cached_attention.cu"
};
static const unsigned char convolution[] = {
#embed "Kernels/convolution.cu"
};
static const unsigned char convolution_fours[] = {
#embed "Kernels/convolution_fours.cu"
};
static const unsigned char elementwise[] = {
#embed "Kernels/elementwise.cu"
};
static const unsigned char gated_norm[] = {
#embed "Kernels/gated_norm.cu"
};
static const unsigned char gemv[] = {
#embed "Kernels/gemv.cu"
};
static const unsigned char losses[] = {
#embed "Kernels/losses.cu"
};
static const unsigned char mix_and_add[] = {
#embed "Kernels/mix_and_add.cu"
};
static const unsigned char mixer_step[] = {
#embed "Kernels/mixer_step.cu"
};
static const unsigned char norms[] = {
#embed "Kernels/norms.cu"
};
static const unsigned char quantized_products[] = {
#embed "Kernels/quantized_products.cu"
};
static const unsigned char quantized_rows[] = {
#embed "Kernels/quantized_rows.cu"
};
static const unsigned char reductions[] = {
#embed "Kernels/reductions.cu"
};
static const unsigned char rows[] = {
#embed "Kernels/rows.cu"
};
static const unsigned char scan[] = {
#embed "Kernels/scan.cu"
};
static const unsigned char scan_gradient[] = {
#embed "Kernels/scan_gradient.cu"
};

#define ENTRY(name, array) {name, array, sizeof(array)}
static const matvlm_cuda_source sources[] = {
    ENTRY("common.cuh", common),
    ENTRY("mma.cuh", mma),
    ENTRY("attention.cuh", attention_header),
    ENTRY("row_products.cuh", row_products),
    ENTRY("split_softmax.cuh", split_softmax),
    ENTRY("cached_attention.cuh", cached_attention_header),
    ENTRY("mixer_row.cuh", mixer_row),
    ENTRY("warpgroup.cuh", warpgroup),
    ENTRY("tile_copies.cuh", tile_copies),
    ENTRY("attend_and_add.cu", attend_and_add),
    ENTRY("attention.cu", attention),
    ENTRY("attention_gradient.cu", attention_gradient),
    ENTRY("attention_gradient_warpgroup.cu", attention_gradient_warpgroup),
    ENTRY("attention_warpgroup.cu", attention_warpgroup),
    ENTRY("cached_attention.cu", cached_attention),
    ENTRY("convolution.cu", convolution),
    ENTRY("convolution_fours.cu", convolution_fours),
    ENTRY("elementwise.cu", elementwise),
    ENTRY("gated_norm.cu", gated_norm),
    ENTRY("gemv.cu", gemv),
    ENTRY("losses.cu", losses),
    ENTRY("mix_and_add.cu", mix_and_add),
    ENTRY("mixer_step.cu", mixer_step),
    ENTRY("norms.cu", norms),
    ENTRY("quantized_products.cu", quantized_products),
    ENTRY("quantized_rows.cu", quantized_rows),
    ENTRY("reductions.cu", reductions),
    ENTRY("rows.cu", rows),
    ENTRY("scan.cu", scan),
    ENTRY("scan_gradient.cu", scan_gradient),
};

matvlm_cuda_source matvlm_cuda_source_named(const char *name) {
  for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
    if (strcmp(sources[i].name, name) == 0) return sources[i];
  return (matvlm_cuda_source){name, NULL, 0};
}
