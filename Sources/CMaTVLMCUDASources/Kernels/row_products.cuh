// Products of single rows: bound by reading the weights once, so the weights' way to the processors
// decides. A row of weights is cut into pieces; a warp takes one piece after the other, and the
// next STAGES of them are on their way to shared memory meanwhile, where every lane finds what it
// asked for itself. A block has neighbouring rows and stays until they are done, one block a
// multiprocessor: what it asks for before the kernel ahead has ended keeps memory busy in between.

#define WARPS 8
#define THREADS (32 * WARPS)
#define DEPTH 10  // packs of a piece that a lane has
#define PIECE (32 * DEPTH)
#define STAGE (DEPTH * THREADS)  // packs that pieces of all warps take

// Rows begin ..< end of `rows`: a block's share.
struct Share { int begin, end; };
__device__ __forceinline__ Share shareOf(int rows) {
  auto start = [&](i64 block) { return (int)(rows * block / gridDim.x); };
  return {start(blockIdx.x), start(blockIdx.x + 1)};
}

// Asks for the first `packs` packs of a piece; the others are zeros.
__device__ __forceinline__ void askFor(uint4 *stage, const uint4 *piece, int packs) {
#pragma unroll
  for (int j = 0; j < DEPTH; j++) {
    const int at = 32 * j + LANE;
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2;"
                 :: "r"(sharedAddress(stage + j * THREADS + threadIdx.x)), "l"(piece + at),
                    "r"(at < packs ? 16 : 0));
  }
}

// What has arrived: a lane's packs.
__device__ __forceinline__ void take(uint4 *w, const uint4 *stage) {
#pragma unroll
  for (int j = 0; j < DEPTH; j++) w[j] = stage[j * THREADS + threadIdx.x];
}

// A lane's packs of the row that is multiplied, the first `packs` of them.
__device__ __forceinline__ void loadRow(uint4 *x, const uint4 *from, int packs) {
#pragma unroll
  for (int j = 0; j < DEPTH; j++) x[j] = 32 * j + LANE < packs ? from[32 * j + LANE] : uint4{};
}

__device__ __forceinline__ float dot(const uint4 &a, const uint4 &b, float sum) {
  const u32 p[4] = {a.x, a.y, a.z, a.w}, q[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
  for (int i = 0; i < 4; i++)
    if (sizeof(Element) == 2) {  // two bfloat16, each the upper half of a float
      sum += __uint_as_float(p[i] << 16) * __uint_as_float(q[i] << 16);
      sum += __uint_as_float(p[i] & 0xffff0000u) * __uint_as_float(q[i] & 0xffff0000u);
    } else {
      sum += __uint_as_float(p[i]) * __uint_as_float(q[i]);
    }
  return sum;
}

// The product of a piece of weights and one of a row, in every lane.
__device__ __forceinline__ float multiply(const uint4 *w, uint4 *x) {
  float sums[2] = {};  // two, so that additions need not wait for each other
#pragma unroll
  for (int j = 0; j < DEPTH; j++) {
    keepPacked(x[j]);
    sums[j % 2] = dot(w[j], x[j], sums[j % 2]);
  }
  return warpSum(sums[0] + sums[1]);
}

// INPUT_WIDTH columns of one of several products that add up, a piece of every row.
struct Slab {
  const Element *x;       // where its columns begin
  const Element *weight;  // where they begin in the first row
  const float *bias;      // [O] for the first slab of a product that has one, or null
  i64 packs;              // from one row of weights to the next
};
#define SLABS_AT_ONCE 8
struct Slabs {
  Slab of[SLABS_AT_ONCE];
  int count;
  int known;  // of so many, from the first on, x is known when the kernel begins
};

// How blocks of one kernel wait for rows that some of them make: zeros, and zeros again at the end.
struct Meeting {
  u32 *arrived;   // parts of the rows that are there
  u32 *finished;  // blocks that need them no more

  __device__ __forceinline__ void arrive() const {
    __threadfence();
    atomicAdd(arrived, 1);
  }
  __device__ __forceinline__ void waitFor(u32 parts) const {
    u32 there;
    do
      asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(there) : "l"(arrived) : "memory");
    while (there < parts);
  }
  __device__ __forceinline__ void leave() const {
    if (atomicAdd(finished, 1) == gridDim.x - 1) *arrived = 0, *finished = 0;
  }
};

// A block's share of y [O] ← stream [O] + Σ over slabs of x weightᵀ + bias, by THREADS threads.
// AHEAD pieces are on their way until those of known x are done; then `meet` waits for the other x,
// and STAGES pieces are.
// - begin: begins the kernel.
// - ring: STAGES stages, then as many floats as the share has pieces.
template <int AHEAD, class Begin, class Meet>
__device__ __forceinline__ void addProducts(
    Element *y, const Element *stream, const Slabs &slabs, int outputs, uint4 *ring, Begin begin,
    Meet meet) {
  float *parts = (float *)(ring + STAGES * STAGE);  // [rows, slabs]
  const Share share = shareOf(outputs);
  const int rows = share.end - share.begin, known = rows * slabs.known, count = rows * slabs.count;
  const int warp = threadIdx.x / 32, packs = INPUT_WIDTH / LANES;
  // Slab and row of piece i: row after row all slabs of known x, then the others.
  auto slabOf = [&](int i) {
    return i < known ? i % slabs.known : slabs.known + (i - known) % (slabs.count - slabs.known);
  };
  auto rowOf = [&](int i) {
    return i < known ? i / slabs.known : (i - known) / (slabs.count - slabs.known);
  };
  auto ask = [&](int i, int turn) {
    if (i < count) {
      const Slab &slab = slabs.of[slabOf(i)];
      askFor(
          ring + turn % STAGES * STAGE,
          (const uint4 *)slab.weight + (share.begin + rowOf(i)) * slab.packs, packs);
    }
    commitCopies();
  };
#pragma unroll
  for (int s = 0; s < AHEAD; s++) ask(warp + s * WARPS, s);
  // A block has no more rows than threads. What a row has besides products is asked for here and
  // looked at when the products are done, so that nobody waits for it.
  const int own = share.begin + threadIdx.x;
  float constant = 0;
  if (own < share.end)
    for (int s = 0; s < slabs.count; s++) constant += slabs.of[s].bias ? slabs.of[s].bias[own] : 0;
  begin();
  const Element before = own < share.end ? stream[own] : element(0.0f);

  int ahead = AHEAD;
  bool hasMet = false;
  for (int i = warp, turn = 0; i < count; i += WARPS, turn++) {
    if (!hasMet && i >= known) {
      for (int s = AHEAD; s < STAGES; s++) ask(i + s * WARPS, turn + s);
      ahead = STAGES;
      hasMet = true;
      meet();
    }
    uint4 w[DEPTH], x[DEPTH];
    loadRow(x, (const uint4 *)slabs.of[slabOf(i)].x, packs);
    waitForCopies<AHEAD - 1>();
    take(w, ring + turn % STAGES * STAGE);
    ask(i + ahead * WARPS, turn + ahead);
    const float sum = multiply(w, x);
    if (LANE == 0) parts[rowOf(i) * slabs.count + slabOf(i)] = sum;
  }
  waitForThreads<1, THREADS>();
  if (own >= share.end) return;
  float total = constant + toFloat(before);
  for (int s = 0; s < slabs.count; s++) total += parts[threadIdx.x * slabs.count + s];
  assign(y[own], total);
}
