// The hot loops of MaTVLM, in C, once for each instruction set.
//
// Kernels work on a range of independent items (rows, heads, chunks) that the caller chooses, so
// that the caller decides on threads and results do not depend on their number. All floats are
// float32 unless a name says otherwise; rows are contiguous; outputs never overlap inputs unless a
// kernel says so; callers bring all memory, scratch included.
#ifndef MATVLM_KERNELS_H
#define MATVLM_KERNELS_H

#include "matvlm_checksum.h"
#include "matvlm_elementwise_kernels.h"
#include "matvlm_files.h"
#include "matvlm_loss_kernels.h"
#include "matvlm_matrix_kernels.h"
#include "matvlm_normalize_kernels.h"
#include "matvlm_product_kernels.h"
#include "matvlm_quantized_kernels.h"
#include "matvlm_sequence_kernels.h"

enum matvlm_instruction_set {
  MATVLM_GENERIC,      // what every processor of the platform has: SSE2, NEON
  MATVLM_AVX2,         // with FMA and F16C
  MATVLM_AVX512,       // F, BW, DQ, VL and VNNI
  MATVLM_AVX512_BF16,  // products of bfloat16 as well
  MATVLM_AVX512_AMX,   // and of tiles of them and of int8
  MATVLM_INSTRUCTION_SETS,
};

/// The same kernels for one instruction set, by family.
struct __attribute__((swift_attr("@Sendable"))) matvlm_kernels {
  const char *name;
  struct matvlm_elementwise_kernels elementwise;
  struct matvlm_normalize_kernels normalize;
  struct matvlm_matrix_kernels matrix;
  struct matvlm_product_kernels product;
  struct matvlm_quantized_kernels quantized;
  struct matvlm_sequence_kernels sequence;
  struct matvlm_loss_kernels loss;
};

/// The kernels for an instruction set; NULL when this processor does not have it.
const struct matvlm_kernels *matvlm_kernels_for(enum matvlm_instruction_set set);

/// The fastest instruction set that this processor has.
enum matvlm_instruction_set matvlm_best_instruction_set(void);

#endif
