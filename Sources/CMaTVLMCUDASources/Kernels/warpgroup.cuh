// Products of a warp group (four warps, 64 rows) on Hopper's tensor cores, which read shared memory by
// themselves. For bfloat16 and heads of 65 … 80 columns: Phi-2's 80 and SigLIP's 72.
//
// A tile is 64 rows of PADDED columns as the tensor cores read them without swizzling: eight rows of
// sixteen bytes lie together (128 bytes), the CHUNKS of a row's columns follow each other, then the
// next eight rows. Accumulators are those of mma.cuh: a warp has sixteen of the rows.

#define PADDED 80
#define CHUNKS (PADDED / 8)
#define CHUNK_BYTES (8 * 16)
#define GROUP_BYTES (CHUNKS * CHUNK_BYTES)
#define TILE 64
#define TILE_BYTES (TILE / 8 * GROUP_BYTES)
#define GROUP_WARP (threadIdx.x / 32 % 4)  // of a warp group

// A tile into shared memory in the background, by one warp group: zeros past `valid` rows and
// HEAD_WIDTH columns. Eight lanes fill 128 bytes, so they do not meet in a bank, and pairs of them
// read 32 bytes of a row, what memory gives at once.
__device__ __forceinline__ void loadTile(
    unsigned char *shared, const Element *source, i64 stride, int valid) {
  const int row = GROUP_WARP * 16 + LANE / 16 * 8 + LANE % 8, half = LANE / 8 % 2;
  const Element *from = source + min(row, valid - 1) * stride + half * 8;
  unsigned char *to = shared + (row / 8 * CHUNKS + half) * CHUNK_BYTES + row % 8 * 16;
#pragma unroll
  for (int pair = 0; pair < CHUNKS / 2; pair++)
    // Where nothing is real nothing is read, so any address will do.
    copyAsync(
        to + pair * 2 * CHUNK_BYTES, from + pair * 16,
        row < valid && (pair * 16 + 16 <= HEAD_WIDTH || half == 0));
}

// Four bytes in the background; zero when not `valid`.
__device__ __forceinline__ void copyFloatAsync(float *shared, const float *global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :: "r"(sharedAddress(shared)), "l"(global), "r"(valid ? 4 : 0));
}

// Where a matrix lies (PTX ISA, matrix descriptor): its blocks are `leading` and `across` bytes apart
// along the two dimensions, which change places with the dimension that sums run along.
__device__ __forceinline__ u64 descriptor(const unsigned char *shared, int leading, int across) {
  const u64 address = sharedAddress(shared);
  return (address & 0x3ffff) >> 4 | (u64)(leading >> 4) << 16 | (u64)(across >> 4) << 32;
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
// All copies but the last PENDING groups of them are there for everyone, the tensor cores too.
template <int PENDING> __device__ __forceinline__ void shareCopies() {
  waitForCopies<PENDING>();
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
}

#define FOUR(x, n) "+f"(x[n].c[0]), "+f"(x[n].c[1]), "+f"(x[n].c[2]), "+f"(x[n].c[3])

// s [64, 64] ← A Bᵀ, of two tiles, when the products are waited for.
__device__ __forceinline__ void multiplyTiles(
    Accumulator *s, const unsigned char *a, const unsigned char *b) {
  const u64 first = descriptor(a, CHUNK_BYTES, GROUP_BYTES);
  const u64 second = descriptor(b, CHUNK_BYTES, GROUP_BYTES);
#pragma unroll
  for (int k = 0; k < PADDED / 16; k++)
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"
        "%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, p, 1, 1, 0, 0;}"
        : FOUR(s, 0), FOUR(s, 1), FOUR(s, 2), FOUR(s, 3), FOUR(s, 4), FOUR(s, 5), FOUR(s, 6),
          FOUR(s, 7)
        : "l"(first + k * (2 * CHUNK_BYTES >> 4)), "l"(second + k * (2 * CHUNK_BYTES >> 4)), "r"(k));
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
  const u64 rows = descriptor(b, GROUP_BYTES, CHUNK_BYTES);
#pragma unroll
  for (int k = 0; k < TILE / 16; k++) {
    const u32 *a = weights.of[k].r;
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"
        "%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39}, {%40,%41,%42,%43}, %44, "
        "1, 1, 1, 1;"
        : FOUR(sum, 0), FOUR(sum, 1), FOUR(sum, 2), FOUR(sum, 3), FOUR(sum, 4), FOUR(sum, 5),
          FOUR(sum, 6), FOUR(sum, 7), FOUR(sum, 8), FOUR(sum, 9)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(rows + k * (2 * GROUP_BYTES >> 4)));
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
