// Products of a warp group (four warps, 64 rows) on Hopper's tensor cores, which read shared memory by
// themselves. For bfloat16 and heads of 65 … 80 columns: Phi-2's 80 and SigLIP's 72.
//
// A tile is 64 rows of PADDED columns in two parts, each swizzled over the whole width of its rows (PTX
// ISA, wgmma's shared memory layout): the first 64 columns are 128 bytes of a row, the other 16 are 32.
// So few rows of memory are asked for, and no accesses meet in a bank. A tile begins at a multiple of
// TILE_ALIGNMENT. Accumulators are those of mma.cuh: a warp has sixteen of the rows.

#define PADDED 80
#define CHUNKS (PADDED / 8)  // of sixteen bytes
#define TILE 64
#define FIRST_COLUMNS 64
#define FIRST_CHUNKS (FIRST_COLUMNS / 8)
#define FIRST_ROW_BYTES (FIRST_COLUMNS * 2)
#define FIRST_BYTES (TILE * FIRST_ROW_BYTES)
#define REST_ROW_BYTES ((PADDED - FIRST_COLUMNS) * 2)
#define TILE_BYTES (TILE * PADDED * 2)
#define TILE_ALIGNMENT 1024
#define GROUP_WARP (threadIdx.x / 32 % 4)  // of a warp group

// Four bytes in the background; zero when not `valid`.
__device__ __forceinline__ void copyFloatAsync(float *shared, const float *global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :: "r"(sharedAddress(shared)), "l"(global), "r"(valid ? 4 : 0));
}

// Where a part of a tile lies (PTX ISA, matrix descriptor): eight rows of it together, which repeat
// their swizzling, then the next eight. Whichever dimension sums run along, a part is one such
// column of rows, so that the stride between columns is never used.
__device__ __forceinline__ u64 descriptor(const unsigned char *part, int rowBytes) {
  const u64 swizzle = rowBytes == FIRST_ROW_BYTES ? 1 : 3;  // of 128 bytes, of 32
  return (sharedAddress(part) & 0x3ffff) >> 4 | (u64)1 << 16 | (u64)(8 * rowBytes >> 4) << 32
         | swizzle << 62;
}
__device__ __forceinline__ u64 firstPart(const unsigned char *tile) {
  return descriptor(tile, FIRST_ROW_BYTES);
}
__device__ __forceinline__ u64 restPart(const unsigned char *tile) {
  return descriptor(tile + FIRST_BYTES, REST_ROW_BYTES);
}

// Registers and shared memory that are written before it are seen by the products after it.
__device__ __forceinline__ void beginProducts() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void commitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int PENDING> __device__ __forceinline__ void waitForProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(PENDING) : "memory");
}
#define FOUR(x, n) "+f"(x[n].c[0]), "+f"(x[n].c[1]), "+f"(x[n].c[2]), "+f"(x[n].c[3])

// s [64, 64] ← A Bᵀ, of two tiles, when the products are waited for.
__device__ __forceinline__ void multiplyTiles(
    Accumulator *s, const unsigned char *a, const unsigned char *b) {
#pragma unroll
  for (int k = 0; k < PADDED; k += 16) {
    const bool isFirst = k < FIRST_COLUMNS;
    asm volatile(
        "{.reg .pred adds; setp.ne.b32 adds, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"
        "%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, adds, 1, 1, 0, 0;}"
        : FOUR(s, 0), FOUR(s, 1), FOUR(s, 2), FOUR(s, 3), FOUR(s, 4), FOUR(s, 5), FOUR(s, 6),
          FOUR(s, 7)
        : "l"(isFirst ? firstPart(a) + (k * 2 >> 4) : restPart(a)),
          "l"(isFirst ? firstPart(b) + (k * 2 >> 4) : restPart(b)), "r"(k));
  }
}

// Accumulators [64, 64] as the left side of a product.
struct TileWeights { FragmentA<bf16> of[TILE / 16]; };

__device__ __forceinline__ void asWeights(TileWeights &weights, const Accumulator *s) {
#pragma unroll
  for (int k = 0; k < TILE / 16; k++) asA(weights.of[k], s[2 * k], s[2 * k + 1]);
}

// sum [64, PADDED] += weights [64, 64] · the rows of a tile, when the products are waited for.
__device__ __forceinline__ void multiplyWeights(
    Accumulator *sum, const TileWeights &weights, const unsigned char *b) {
#pragma unroll
  for (int k = 0; k < TILE; k += 16) {
    const u32 *a = weights.of[k / 16].r;
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"
        "%24,%25,%26,%27,%28,%29,%30,%31}, {%32,%33,%34,%35}, %36, 1, 1, 1, 1;"
        : FOUR(sum, 0), FOUR(sum, 1), FOUR(sum, 2), FOUR(sum, 3), FOUR(sum, 4), FOUR(sum, 5),
          FOUR(sum, 6), FOUR(sum, 7)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]),
          "l"(firstPart(b) + (k * FIRST_ROW_BYTES >> 4)));
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7}, {%8,%9,%10,%11}, %12, 1, 1, 1, 1;"
        : FOUR(sum, 8), FOUR(sum, 9)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]),
          "l"(restPart(b) + (k * REST_ROW_BYTES >> 4)));
  }
}

// Writes the first `rows` rows of a warp group's accumulators [64, PADDED] at `target`, each times the
// factor of its row: factors[0] for QUAD_ROW, factors[1] for QUAD_ROW + 8.
__device__ __forceinline__ void storeTile(
    Element *target, i64 stride, const Accumulator *x, int rows, const float *factors) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = GROUP_WARP * 16 + QUAD_ROW + 8 * i;
    if (row >= rows) continue;
#pragma unroll
    for (int n = 0; n < PADDED / 8; n++) {
      const int column = n * 8 + QUAD_COLUMN;
      if (column < HEAD_WIDTH)
        *(u32 *)(target + row * stride + column) =
            packPair(x[n].c[2 * i] * factors[i], x[n].c[2 * i + 1] * factors[i]);
    }
  }
}
