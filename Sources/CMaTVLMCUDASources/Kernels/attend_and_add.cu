// What attention adds to a decoder's stream for one row, and what other layers add: one kernel, in
// which some warps attend (cached_attention.cuh) while the others multiply (row_products.cuh).
// Attention is a chain of short waits, which the other layers' weights fill.

#define ALL_THREADS (THREADS + ATTENTION_THREADS)

// y [O] ← stream [O] + Σ over slabs of x weightᵀ + bias, where the x of slabs from `known` on are
// attention's output.
// - isEarly: see attendShare.
// Shared: STAGES stages, attention's ring, and the floats of addProducts. Block: ALL_THREADS. Grid:
// one block a multiprocessor at most, since blocks wait for each other, and (H / group) · splits at
// least.
extern "C" __global__ void __launch_bounds__(ALL_THREADS, 1) attendAndAdd(
    Element *y, const Element *stream, const __grid_constant__ Slabs slabs, int outputs,
    const __grid_constant__ RowAttention a, const __grid_constant__ Addresses keys,
    const __grid_constant__ Addresses values, Meeting meeting, int isEarly) {
  extern __shared__ uint4 ring[];
  const int groups = a.heads / a.group;
  const bool attends = blockIdx.x < groups * a.splits;
  // Many keys are read first, so that shares are put together while weights are read.
  const bool isOrdered = attends && a.splits > 1;
  if (threadIdx.x < THREADS) {
    auto begin = [&] {
      beginKernel();
      if (isOrdered) waitForThreads<3, ALL_THREADS>();
    };
    addProducts<1>(
        y, stream, slabs, outputs, ring + ATTENTION_RING, begin, [&] { meeting.waitFor(groups); });
    if (threadIdx.x == 0) meeting.leave();
  } else if (attends) {
    const int thread = threadIdx.x - THREADS;
    const bool isComplete = attendShare(
        a, keys, values, 0, blockIdx.x / a.splits, blockIdx.x % a.splits, ring, thread, isEarly,
        [&] { if (isOrdered) arrive<3, ALL_THREADS>(); });
    if (!isComplete) return;
    waitForAttention();
    if (thread == 0) meeting.arrive();
  }
}
