// Tiles of rows of a head on their way into shared memory by Hopper's copy engine (PTX ISA,
// cp.async.bulk.tensor), which one thread asks and which writes them as warpgroup.cuh says. Copies by
// the threads themselves took as long as the products that they were for.

#define SLOTS 3  // tiles that are walked over: one in use, one still read by products, one on its way

// Where the rows of a tensor [T, H·P] lie, as the driver describes them (TileMap.swift): its heads'
// first 64 columns, and those after them. Columns past HEAD_WIDTH and rows past T are zeros.
struct __align__(64) TensorMap { u64 words[16]; };
struct TileMap { TensorMap first, rest; };

// A barrier for each slot, at which the bytes of its tiles arrive.
struct Arrivals {
  u64 of[SLOTS];

  // By one thread; the others may wait behind the next __syncthreads.
  __device__ __forceinline__ void begin() {
#pragma unroll
    for (int i = 0; i < SLOTS; i++)
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(sharedAddress(of + i)) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __device__ __forceinline__ void expect(int slot, int tiles) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :: "r"(sharedAddress(of + slot)), "r"(tiles * TILE_BYTES) : "memory");
  }
};

// The slot that a walk is at, and how often it has been around, modulo two.
struct Place {
  int slot = 0, round = 0;
  __device__ __forceinline__ Place next() const {
    Place place;
    place.slot = slot + 1 == SLOTS ? 0 : slot + 1;
    place.round = slot + 1 == SLOTS ? round ^ 1 : round;
    return place;
  }
};

__device__ __forceinline__ void copyPart(
    const TensorMap &map, unsigned char *shared, int column, int row, int head, u64 *arrival) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4}], [%5];"
      :: "r"(sharedAddress(shared)), "l"(&map), "r"(column), "r"(row), "r"(head),
         "r"(sharedAddress(arrival)) : "memory");
}

// Asks for the tile from `row` on, by one thread, which has told the slot to expect it.
__device__ __forceinline__ void bringTile(
    unsigned char *shared, const TileMap &map, int row, int head, Arrivals &arrivals, int slot) {
  copyPart(map.first, shared, 0, row, head, arrivals.of + slot);
  copyPart(map.rest, shared + FIRST_BYTES, FIRST_COLUMNS, row, head, arrivals.of + slot);
}

// Zeros in the rows from `valid` on.
__device__ __forceinline__ void clearRows(unsigned char *tile, int valid) {
  for (int i = threadIdx.x; i < TILE * CHUNKS; i += blockDim.x)
    if (i / CHUNKS >= valid) {
      const int row = i / CHUNKS, chunk = i % CHUNKS;
      *(uint4 *)(tile + (chunk < FIRST_CHUNKS
                             ? row * FIRST_ROW_BYTES + chunk * 16
                             : FIRST_BYTES + row * REST_ROW_BYTES + (chunk - FIRST_CHUNKS) * 16)) =
          make_uint4(0, 0, 0, 0);
    }
}

// Waits, all threads of a block, until the two tiles of a place are there. Their rows from `valid` on
// are another sequence's, or were never written, and become zeros: what is no number is that also
// times zero.
__device__ __forceinline__ void awaitTiles(
    const Arrivals &arrivals, Place place, unsigned char *a, unsigned char *b, int valid) {
  asm volatile(
      "{.reg .pred there;\n"
      "AGAIN: mbarrier.try_wait.parity.shared::cta.b64 there, [%0], %1;\n"
      "@!there bra AGAIN;}"
      :: "r"(sharedAddress(arrivals.of + place.slot)), "r"(place.round) : "memory");
  if (valid >= TILE) return;
  clearRows(a, valid);
  clearRows(b, valid);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // the tensor cores see it
  __syncthreads();
}
