// A card that is not there: CUDA's driver, compiler, matrix products and NCCL as far as this package
// calls them, with kernels that do nothing and memory that keeps nothing, so that every result is zero. Built
// by PretendedCard.swift with the constants
//   DRIVER_VERSION  as cuDriverGetVersion gives it
//   COMPILER_MAJOR  of NVRTC
//   MEMORY          bytes of the card
//   COMPILING       microseconds that a file of kernels takes
//   FAILING_CALL    a function that fails with FAILING_CODE when it was called FAILING_AFTER times; a
//                   card that was lost then fails in everything
//   QUEUED          a file that gets a line for what is queued on a stream and orders streams: the
//                   call, its streams by number from 1, an event's too, and counts

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OUT_OF_MEMORY = 2 };

static int broken;

static int status(const char *name) {
  static long calls;
  if (broken) return broken;
  if (strcmp(name, FAILING_CALL) != 0 || calls++ < FAILING_AFTER) return 0;
  if (FAILING_CODE != OUT_OF_MEMORY) broken = FAILING_CODE;
  return FAILING_CODE;
}

static void note(const char *name, intptr_t stream, intptr_t other) {
  FILE *file = fopen(QUEUED, "a");
  fprintf(file, "%s %ld %ld\n", name, (long)stream, (long)other);
  fclose(file);
}

// Calls whose work is of no consequence.
#define NOTHING(name) int name(void) { return status(#name); }

// MARK: driver

static size_t used;
#define HEADER 256  // before each block: its size

int cuInit(unsigned flags) { return status("cuInit"); }
int cuDriverGetVersion(int *version) { *version = DRIVER_VERSION; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return status("cuDeviceGetCount"); }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
  snprintf(name, (size_t)size, "Pretended card");
  return 0;
}
int cuDeviceGetAttribute(int *value, int number, int device) {
  // Hopper, of four multiprocessors
  *value = number == 75 ? 9 : number == 16 ? 4 : number == 97 ? 232448 : 0;
  return 0;
}

static int handle(const char *name, void **out) {
  *out = (void *)"handle";
  return status(name);
}
#define HANDLE(name) int name(void **out) { return handle(#name, out); }
HANDLE(cuDevicePrimaryCtxRetain)
HANDLE(cuModuleLoadData)
HANDLE(cuModuleGetFunction)
HANDLE(cuEventCreate)
HANDLE(cuGraphInstantiateWithFlags)
int cuStreamEndCapture(void *stream, void **graph) { return handle("cuStreamEndCapture", graph); }

int cuStreamCreate(void **stream, unsigned flags) {
  static intptr_t streams;
  *stream = (void *)++streams;
  return status("cuStreamCreate");
}
// An event is where it was last recorded.
static intptr_t recorded_on;
int cuEventRecord(void *event, void *stream) {
  recorded_on = (intptr_t)stream;
  return status("cuEventRecord");
}
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
  note("wait", (intptr_t)stream, recorded_on);
  return status("cuStreamWaitEvent");
}

int cuMemAlloc_v2(uint64_t *address, size_t size) {
  const int failure = status("cuMemAlloc_v2");
  if (failure) return failure;
  if (used + size > MEMORY) return OUT_OF_MEMORY;
  char *block = aligned_alloc(256, (HEADER + size + 255) / 256 * 256);
  if (!block) return OUT_OF_MEMORY;
  memset(block, 0, HEADER + size);
  *(size_t *)block = size;
  used += size;
  *address = (uint64_t)(block + HEADER);
  return 0;
}
int cuMemFree_v2(uint64_t address) {
  if (broken) return broken;
  char *block = (char *)address - HEADER;
  used -= *(size_t *)block;
  free(block);
  return 0;
}
int cuMemGetInfo_v2(size_t *free, size_t *total) {
  *free = MEMORY - used;
  *total = MEMORY;
  return status("cuMemGetInfo_v2");
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) {
  const int failure = status("cuMemcpyHtoDAsync_v2");
  if (!failure) memset((void *)to, 0, size);
  return failure;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) {
  const int failure = status("cuMemcpyDtoHAsync_v2");
  if (!failure) memcpy(to, (void *)from, size);
  return failure;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t size, void *stream) {
  const int failure = status("cuMemcpyDtoDAsync_v2");
  if (!failure) memmove((void *)to, (void *)from, size);
  return failure;
}
int cuMemsetD8Async(uint64_t to, unsigned char value, size_t size, void *stream) {
  const int failure = status("cuMemsetD8Async");
  if (!failure) memset((void *)to, 0, size);
  return failure;
}

NOTHING(cuCtxSetCurrent)
NOTHING(cuStreamSynchronize)
NOTHING(cuFuncSetAttribute)
NOTHING(cuLaunchKernelEx)
NOTHING(cuTensorMapEncodeTiled)
NOTHING(cuEventSynchronize)
NOTHING(cuEventElapsedTime)
NOTHING(cuEventDestroy_v2)
NOTHING(cuStreamBeginCapture_v2)
NOTHING(cuGraphLaunch)
NOTHING(cuGraphDestroy)
NOTHING(cuGraphExecDestroy)

int cuGetErrorName(int code, const char **text) {
  *text = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY"
          : code == 214 ? "CUDA_ERROR_ECC_UNCORRECTABLE"
          : code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                        : "CUDA_ERROR_UNKNOWN";
  return 0;
}
int cuGetErrorString(int code, const char **text) { *text = "as it was told to"; return 0; }

// MARK: compiler

HANDLE(nvrtcCreateProgram)
int nvrtcCompileProgram(void) {
  usleep(COMPILING);
  return status("nvrtcCompileProgram");
}
NOTHING(nvrtcDestroyProgram)
int nvrtcGetProgramLogSize(void *program, size_t *size) { *size = 1; return 0; }
int nvrtcGetProgramLog(void *program, char *text) { *text = 0; return 0; }
int nvrtcGetCUBINSize(void *program, size_t *size) { *size = 1; return 0; }
int nvrtcGetCUBIN(void *program, char *binary) { *binary = 0; return 0; }
const char *nvrtcGetErrorString(int code) { return "as it was told to"; }
// A minor version that there is not, so that nobody takes its kernels out of a cache.
int nvrtcVersion(int *major, int *minor) { *major = COMPILER_MAJOR; *minor = 99; return 0; }

// MARK: matrix products

HANDLE(cublasLtCreate)
HANDLE(cublasLtMatmulDescCreate)
HANDLE(cublasLtMatrixLayoutCreate)
HANDLE(cublasLtMatmulPreferenceCreate)
NOTHING(cublasLtMatmulDescSetAttribute)
NOTHING(cublasLtMatmulPreferenceSetAttribute)
NOTHING(cublasLtMatmulPreferenceDestroy)
NOTHING(cublasLtMatmul)
int cublasLtMatmulAlgoGetHeuristic(
    void *library, void *product, void *a, void *b, void *c, void *d, void *preference, int wanted,
    void *results, int *found) {
  *found = 1;
  return status("cublasLtMatmulAlgoGetHeuristic");
}
const char *cublasLtGetStatusString(int code) { return "as it was told to"; }

// MARK: NCCL, among one card

typedef struct {
  char bytes[128];
} unique_id;

NOTHING(ncclGetUniqueId)
NOTHING(ncclGroupStart)
NOTHING(ncclGroupEnd)
int ncclCommInitRank(void **ranks, int size, unique_id id, int rank) {
  return handle("ncclCommInitRank", ranks);
}
int ncclAllReduce(
    const void *from, void *to, size_t count, int type, int operation, void *ranks, void *stream) {
  note("sum", (intptr_t)stream, (intptr_t)count);
  return status("ncclAllReduce");
}
const char *ncclGetErrorString(int code) { return "as it was told to"; }
