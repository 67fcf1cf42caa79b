// CUDA C kernels as text inside the binary, and the few structures that calls of the CUDA driver and
// of cuBLASLt pass by address. Nothing of CUDA is needed to build this.
#ifndef MATVLM_CUDA_SOURCES_H
#define MATVLM_CUDA_SOURCES_H

#include <stddef.h>
#include <stdint.h>

/// A file of the folder Kernels: UTF-8 text, not terminated by zero.
typedef struct {
  const char *name;
  const unsigned char *text;
  size_t length;
} matvlm_cuda_source;

/// The source called `name` (`attention.cu`); its text is NULL where there is none.
matvlm_cuda_source matvlm_cuda_source_named(const char *name);

/// CUlaunchAttribute of cuda.h (CUDA 12 and 13): an id, padding to 8 bytes, 64 bytes of value.
typedef struct {
  uint32_t id;
  uint32_t padding;
  union {
    uint32_t flag;
    uint64_t words[8];
  } value;
} matvlm_cuda_launch_attribute;

/// CUlaunchConfig of cuda.h (CUDA 12 and 13).
typedef struct {
  uint32_t grid_x, grid_y, grid_z;
  uint32_t block_x, block_y, block_z;
  uint32_t shared_bytes;
  void *stream;
  matvlm_cuda_launch_attribute *attributes;
  uint32_t attribute_count;
} matvlm_cuda_launch_configuration;

/// cublasLtMatmulAlgo_t: opaque.
typedef struct {
  uint64_t data[8];
} matvlm_cublaslt_algorithm;

/// cublasLtMatmulHeuristicResult_t.
typedef struct {
  matvlm_cublaslt_algorithm algorithm;
  size_t workspace_bytes;
  int32_t status;
  float waves;
  int32_t reserved[4];
} matvlm_cublaslt_heuristic;

/// ncclUniqueId of nccl.h: opaque, passed by value.
typedef struct {
  uint64_t words[16];
} matvlm_nccl_unique_id;

#endif
