// What every kernel file starts from. Compiled by NVRTC with ELEMENT defined as the type of
// activations, float or bf16; nothing outside this folder is included.

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;
typedef long long i64;

struct bf16 { u16 bits; };
struct f16 { u16 bits; };

__device__ __forceinline__ float toFloat(float x) { return x; }
__device__ __forceinline__ float toFloat(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
__device__ __forceinline__ float toFloat(f16 x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}

__device__ __forceinline__ void assign(float &y, float x) { y = x; }
__device__ __forceinline__ void assign(bf16 &y, float x) {
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
}
__device__ __forceinline__ void assign(f16 &y, float x) {
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
}

typedef ELEMENT Element;

__device__ __forceinline__ Element element(float x) {
  Element y;
  assign(y, x);
  return y;
}

// Sixteen bytes of elements: one memory access of a thread.
#define LANES (16 / (int)sizeof(Element))
struct alignas(16) Pack { Element v[16 / sizeof(Element)]; };

// Sixteen bytes that are read once: they need not stay near.
__device__ __forceinline__ uint4 loadOnce(const uint4 *p) {
  uint4 v;
  asm volatile("ld.global.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}

// A pack of a row of WIDTH columns, which need not be whole packs: zeros past the end.
template <int WIDTH>
__device__ __forceinline__ uint4 loadColumns(const Element *row, int column) {
  if (WIDTH % LANES == 0) return loadOnce((const uint4 *)(row + column));
  Pack p;
#pragma unroll
  for (int i = 0; i < LANES; i++)
    p.v[i] = column + i < WIDTH ? row[column + i] : element(0.0f);
  return *(const uint4 *)&p;
}

template <int WIDTH>
__device__ __forceinline__ void storeColumns(Element *row, int column, const uint4 &pack) {
  const Pack &p = *(const Pack *)&pack;
#pragma unroll
  for (int i = 0; i < LANES; i++)
    if (column + i < WIDTH) row[column + i] = p.v[i];
}

// Hides from the compiler what x is, or it would convert all of it once, and run out of registers.
__device__ __forceinline__ void keepPacked(uint4 &x) {
  asm volatile("" : "+r"(x.x), "+r"(x.y), "+r"(x.z), "+r"(x.w));
}

// Column i of a pack.
__device__ __forceinline__ float column(const uint4 &pack, int i) {
  const u32 words[4] = {pack.x, pack.y, pack.z, pack.w};
  if (sizeof(Element) == 4) return __uint_as_float(words[i]);
  const u32 pair = words[i / 2];  // each bfloat16 is the upper half of a float
  return __uint_as_float(i % 2 ? pair & 0xffff0000u : pair << 16);
}

// Where the caches of some sequences lie.
#define SEGMENTS_AT_ONCE 32
struct Addresses { u64 of[SEGMENTS_AT_ONCE]; };

// Element types by the number that the host passes.
enum { FLOAT32 = 0, BFLOAT16 = 1, FLOAT16 = 2 };

__device__ __forceinline__ float loadAs(const void *p, i64 i, int type) {
  switch (type) {
    case FLOAT32: return ((const float *)p)[i];
    case BFLOAT16: return toFloat(((const bf16 *)p)[i]);
    default: return toFloat(((const f16 *)p)[i]);
  }
}

__device__ __forceinline__ void storeAs(void *p, i64 i, int type, float x) {
  switch (type) {
    case FLOAT32: ((float *)p)[i] = x; break;
    case BFLOAT16: assign(((bf16 *)p)[i], x); break;
    default: assign(((f16 *)p)[i], x); break;
  }
}

// Every kernel begins with this: it lets the next kernel of the stream take free processors at
// once, and waits for the memory of the one before (programmatic dependent launch). Nothing that an
// earlier kernel may still be writing is read, and nothing at all written, above it.
__device__ __forceinline__ void beginKernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The same, but the next kernel begins only when everything before this one has ended: whatever it
// reads above its own beginning can be from any kernel but this one.
__device__ __forceinline__ void beginKernelInTurn() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// Waits for COUNT threads of a block at barrier BARRIER; 0 is that of __syncthreads.
template <int BARRIER, int COUNT> __device__ __forceinline__ void waitForThreads() {
  asm volatile("bar.sync %0, %1;" :: "n"(BARRIER), "n"(COUNT) : "memory");
}

// Counts at such a barrier and goes on.
template <int BARRIER, int COUNT> __device__ __forceinline__ void arrive() {
  asm volatile("bar.arrive %0, %1;" :: "n"(BARRIER), "n"(COUNT) : "memory");
}

__device__ __forceinline__ float warpSum(float x) {
  for (int d = 16; d; d >>= 1) x += __shfl_xor_sync(0xffffffffu, x, d);
  return x;
}

__device__ __forceinline__ float warpMax(float x) {
  for (int d = 16; d; d >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, d));
  return x;
}

// The sum over all threads of a block, in an order that never changes; every thread gets it.
__device__ __forceinline__ float blockSum(float x) {
  __shared__ float parts[32];
  const int warps = (blockDim.x + 31) / 32;
  x = warpSum(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < warps; i++) sum += parts[i];
  return sum;
}

__device__ __forceinline__ float blockMax(float x) {
  __shared__ float parts[32];
  const int warps = (blockDim.x + 31) / 32;
  x = warpMax(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  float most = parts[0];
  for (int i = 1; i < warps; i++) most = fmaxf(most, parts[i]);
  return most;
}

// 2^x by the special function unit: two units in the last place, zero below 2^-126.
__device__ __forceinline__ float power(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// 1 / (1 + e^-x) to a few units in the last place, by the same unit.
__device__ __forceinline__ float sigmoid(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(1.0f + power(-1.4426950408889634f * x)));
  return y;
}

// The derivative of x · sigmoid(x).
__device__ __forceinline__ float siluGradient(float x) {
  const float s = sigmoid(x);
  return s * (1.0f + x * (1.0f - s));
}

__device__ __forceinline__ float softplus(float x) { return x > 20.0f ? x : log1pf(expf(x)); }

enum { GELU = 0, GELU_TANH = 1, SILU = 2 };

#define SQRT_2_OVER_PI 0.7978845608028654f
#define CUBIC 0.044715f

// GELU's ½ (1 + tanh u) is sigmoid(2u).
__device__ __forceinline__ float activation(float x, int kind) {
  switch (kind) {
    case GELU: return 0.5f * x * (1.0f + erff(x * 0.7071067811865476f));
    case GELU_TANH: return x * sigmoid(2.0f * SQRT_2_OVER_PI * (x + CUBIC * x * x * x));
    default: return x * sigmoid(x);
  }
}

#define INFINITY_F __int_as_float(0x7f800000)
