// Matrix products of one warp on the tensor cores, out of shared memory, for either element type.
//
// bf16: one mma.m16n8k16 for each 16 of k. float: three tf32 products of high and low halves
// (hi·hi + hi·lo + lo·hi), which keeps float32's accuracy to about 1e-6. Both have the same
// accumulators, so kernels are written once:
// a lane holds rows lane/4 and lane/4 + 8, columns 2(lane%4) and 2(lane%4) + 1 of each 16 × 8 tile,
// as c[0] c[1] (upper row) and c[2] c[3] (lower row).

struct Accumulator { float c[4]; };

#define LANE (threadIdx.x % 32)
#define QUAD_ROW (LANE / 4)
#define QUAD_COLUMN (2 * (LANE % 4))

template <class E> struct FragmentA;  // 16 × 16
template <class E> struct FragmentB;  // 16 × 8
template <> struct FragmentA<bf16> { u32 r[4]; };
template <> struct FragmentB<bf16> { u32 r[2]; };
template <> struct FragmentA<float> { float r[8]; };  // two steps of k = 8
template <> struct FragmentB<float> { float r[4]; };

__device__ __forceinline__ u32 sharedAddress(const void *p) {
  return (u32)__cvta_generic_to_shared(p);
}

__device__ __forceinline__ u32 packPair(float low, float high) {
  u32 y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}

// A[row, k] = s[(row0 + row) ld + k0 + k]
__device__ __forceinline__ void loadA(FragmentA<bf16> &a, const bf16 *s, int ld, int row0, int k0) {
  u32 address = sharedAddress(s + (row0 + LANE % 16) * ld + k0 + 8 * (LANE / 16));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(a.r[0]), "=r"(a.r[1]), "=r"(a.r[2]), "=r"(a.r[3]) : "r"(address));
}

// A[row, k] = s[(k0 + k) ld + row0 + row]
__device__ __forceinline__ void loadATransposed(
    FragmentA<bf16> &a, const bf16 *s, int ld, int row0, int k0) {
  u32 address =
      sharedAddress(s + (k0 + LANE % 8 + 8 * (LANE / 16)) * ld + row0 + 8 * (LANE / 8 % 2));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(a.r[0]), "=r"(a.r[1]), "=r"(a.r[2]), "=r"(a.r[3]) : "r"(address));
}

// Two neighbouring B tiles, columns n0 … n0 + 15: B[k, n] = s[(n0 + n) ld + k0 + k]
__device__ __forceinline__ void loadB(
    FragmentB<bf16> &b, FragmentB<bf16> &next, const bf16 *s, int ld, int n0, int k0) {
  u32 address =
      sharedAddress(s + (n0 + LANE % 8 + 8 * (LANE / 16)) * ld + k0 + 8 * (LANE / 8 % 2));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(b.r[0]), "=r"(b.r[1]), "=r"(next.r[0]), "=r"(next.r[1]) : "r"(address));
}

// The same for B[k, n] = s[(k0 + k) ld + n0 + n]
__device__ __forceinline__ void loadBTransposed(
    FragmentB<bf16> &b, FragmentB<bf16> &next, const bf16 *s, int ld, int n0, int k0) {
  u32 address = sharedAddress(s + (k0 + LANE % 16) * ld + n0 + 8 * (LANE / 16));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(b.r[0]), "=r"(b.r[1]), "=r"(next.r[0]), "=r"(next.r[1]) : "r"(address));
}

// The order of k within a step of 8 is free as long as A and B agree; with k = t at column 2t and
// k = t + 4 at column 2t + 1, accumulators can be used as A without moving between lanes.
__device__ __forceinline__ void loadA(
    FragmentA<float> &a, const float *s, int ld, int row0, int k0) {
#pragma unroll
  for (int j = 0; j < 2; j++)
#pragma unroll
    for (int i = 0; i < 4; i++)
      a.r[4 * j + i] =
          s[(row0 + QUAD_ROW + 8 * (i % 2)) * ld + k0 + 8 * j + QUAD_COLUMN + i / 2];
}

__device__ __forceinline__ void loadATransposed(
    FragmentA<float> &a, const float *s, int ld, int row0, int k0) {
#pragma unroll
  for (int j = 0; j < 2; j++)
#pragma unroll
    for (int i = 0; i < 4; i++)
      a.r[4 * j + i] =
          s[(k0 + 8 * j + QUAD_COLUMN + i / 2) * ld + row0 + QUAD_ROW + 8 * (i % 2)];
}

__device__ __forceinline__ void loadB(
    FragmentB<float> &b, FragmentB<float> &next, const float *s, int ld, int n0, int k0) {
#pragma unroll
  for (int j = 0; j < 2; j++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int k = k0 + 8 * j + QUAD_COLUMN + i;
      b.r[2 * j + i] = s[(n0 + QUAD_ROW) * ld + k];
      next.r[2 * j + i] = s[(n0 + 8 + QUAD_ROW) * ld + k];
    }
}

__device__ __forceinline__ void loadBTransposed(
    FragmentB<float> &b, FragmentB<float> &next, const float *s, int ld, int n0, int k0) {
#pragma unroll
  for (int j = 0; j < 2; j++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int k = k0 + 8 * j + QUAD_COLUMN + i;
      b.r[2 * j + i] = s[k * ld + n0 + QUAD_ROW];
      next.r[2 * j + i] = s[k * ld + n0 + 8 + QUAD_ROW];
    }
}

// Accumulators of two neighbouring tiles (16 columns) as the A of a following product.
__device__ __forceinline__ void asA(
    FragmentA<bf16> &a, const Accumulator &x, const Accumulator &next) {
  a.r[0] = packPair(x.c[0], x.c[1]);
  a.r[1] = packPair(x.c[2], x.c[3]);
  a.r[2] = packPair(next.c[0], next.c[1]);
  a.r[3] = packPair(next.c[2], next.c[3]);
}

__device__ __forceinline__ void asA(
    FragmentA<float> &a, const Accumulator &x, const Accumulator &next) {
  a.r[0] = x.c[0], a.r[1] = x.c[2], a.r[2] = x.c[1], a.r[3] = x.c[3];
  a.r[4] = next.c[0], a.r[5] = next.c[2], a.r[6] = next.c[1], a.r[7] = next.c[3];
}

__device__ __forceinline__ void multiplyAdd(
    Accumulator &d, const FragmentA<bf16> &a, const FragmentB<bf16> &b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d.c[0]), "+f"(d.c[1]), "+f"(d.c[2]), "+f"(d.c[3])
               : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
}

__device__ __forceinline__ u32 tf32(float x) {
  u32 y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
}

__device__ __forceinline__ void multiplyAddTF32(Accumulator &d, const u32 *a, const u32 *b) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d.c[0]), "+f"(d.c[1]), "+f"(d.c[2]), "+f"(d.c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void multiplyAdd(
    Accumulator &d, const FragmentA<float> &a, const FragmentB<float> &b) {
#pragma unroll
  for (int j = 0; j < 2; j++) {
    u32 aHigh[4], aLow[4], bHigh[2], bLow[2];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      aHigh[i] = tf32(a.r[4 * j + i]);
      aLow[i] = tf32(a.r[4 * j + i] - __uint_as_float(aHigh[i]));
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      bHigh[i] = tf32(b.r[2 * j + i]);
      bLow[i] = tf32(b.r[2 * j + i] - __uint_as_float(bHigh[i]));
    }
    multiplyAddTF32(d, aLow, bHigh);
    multiplyAddTF32(d, aHigh, bLow);
    multiplyAddTF32(d, aHigh, bHigh);
  }
}

// sum [16, N] += A [16, K] · Bᵀ: A from row `row0` of `a`, B [N, K].
template <int K, int N>
__device__ __forceinline__ void multiplyRows(
    Accumulator *sum, const Element *a, int lda, int row0, const Element *b, int ldb) {
#pragma unroll
  for (int k = 0; k < K; k += 16) {
    FragmentA<Element> fragment;
    loadA(fragment, a, lda, row0, k);
#pragma unroll
    for (int n = 0; n < N / 8; n += 2) {
      FragmentB<Element> b0, b1;
      loadB(b0, b1, b, ldb, n * 8, k);
      multiplyAdd(sum[n], fragment, b0);
      multiplyAdd(sum[n + 1], fragment, b1);
    }
  }
}

// sum [16, N] += A [16, K] · B: A from row `row0` of `a`, B [K, N].
template <int K, int N>
__device__ __forceinline__ void multiplyColumns(
    Accumulator *sum, const Element *a, int lda, int row0, const Element *b, int ldb) {
#pragma unroll
  for (int k = 0; k < K; k += 16) {
    FragmentA<Element> fragment;
    loadA(fragment, a, lda, row0, k);
#pragma unroll
    for (int n = 0; n < N / 8; n += 2) {
      FragmentB<Element> b0, b1;
      loadBTransposed(b0, b1, b, ldb, n * 8, k);
      multiplyAdd(sum[n], fragment, b0);
      multiplyAdd(sum[n + 1], fragment, b1);
    }
  }
}

// sum [16, N] += weights [16, K] · B: weights as accumulators hold them, B [K, N].
template <int K, int N>
__device__ __forceinline__ void multiplyWeights(
    Accumulator *sum, const Accumulator *weights, const Element *b, int ldb) {
#pragma unroll
  for (int k = 0; k < K; k += 16) {
    FragmentA<Element> fragment;
    asA(fragment, weights[k / 8], weights[k / 8 + 1]);
#pragma unroll
    for (int n = 0; n < N / 8; n += 2) {
      FragmentB<Element> b0, b1;
      loadBTransposed(b0, b1, b, ldb, n * 8, k);
      multiplyAdd(sum[n], fragment, b0);
      multiplyAdd(sum[n + 1], fragment, b1);
    }
  }
}

// Sequences cut into tiles of rows: first row, end of the rows of the sequence, its number, its
// first row. The same 16 bytes on the host.
struct RowTile { int first, end, segment, start; };

// Sum over the four lanes that share a row of accumulators.
__device__ __forceinline__ float quadSum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

__device__ __forceinline__ float quadMax(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

// Sixteen bytes from global to shared memory in the background; zeros when not `valid`.
__device__ __forceinline__ void copyAsync(void *shared, const void *global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :: "r"(sharedAddress(shared)), "l"(global), "r"(valid ? 16 : 0));
}
__device__ __forceinline__ void commitCopies() { asm volatile("cp.async.commit_group;"); }
template <int PENDING> __device__ __forceinline__ void waitForCopies() {
  asm volatile("cp.async.wait_group %0;" :: "n"(PENDING) : "memory");
}

// Rows 0 ..< ROWS of a tile, `valid` of them real and the others zeros: from rows of `width`
// columns at `source`, `stride` apart, to shared rows of ld ≥ PADDED; columns past WIDTH are zeros.
// Whole packs travel in the background: the caller commits and waits.
template <int ROWS, int WIDTH, int PADDED, int THREADS>
__device__ __forceinline__ void loadTile(
    Element *shared, int ld, const Element *source, i64 stride, int valid) {
  if constexpr (WIDTH % LANES == 0) {
    const int packs = PADDED / LANES;
    for (int i = threadIdx.x; i < ROWS * packs; i += THREADS) {
      int row = i / packs, column = i % packs * LANES;
      bool real = row < valid && column < WIDTH;
      copyAsync(shared + row * ld + column, real ? source + row * stride + column : source, real);
    }
  } else {
    for (int i = threadIdx.x; i < ROWS * PADDED; i += THREADS) {
      int row = i / PADDED, column = i % PADDED;
      shared[row * ld + column] =
          row < valid && column < WIDTH ? source[row * stride + column] : element(0);
    }
  }
}
