// What a Mamba-2 mixer adds to a decoder's stream for one row, and what other layers add: one kernel,
// in which some warps mix (mixer_row.cuh) while the others multiply (row_products.cuh). Mixing is a
// chain of short waits, which the other layers' weights fill.

// y [O] ← stream [O] + Σ over slabs of x weightᵀ + bias, where the x of slabs from `known` on are
// `mixed` [H·P], what the mixer makes of projected [z | x | B | C | Δ].
// - isEarly: see mixHead.
// Shared: as addProducts has it. Block: THREADS + MIXER_THREADS. Grid: one block a multiprocessor at
// most, since blocks wait for each other, and H at least.
extern "C" __global__ void __launch_bounds__(THREADS + MIXER_THREADS, 1) mixAndAdd(
    Element *y, const Element *stream, const __grid_constant__ Slabs slabs, int outputs,
    Element *mixed, const Element *projected, const __grid_constant__ MixerWeights weights,
    const __grid_constant__ MixerState past, int heads, float epsilon, Meeting meeting,
    int isEarly) {
  extern __shared__ uint4 ring[];
  if (threadIdx.x < THREADS) {
    addProducts<STAGES>(
        y, stream, slabs, outputs, ring, [] { beginKernel(); }, [&] { meeting.waitFor(heads); });
    if (threadIdx.x == 0) meeting.leave();
  } else if (blockIdx.x < heads) {
    const int thread = threadIdx.x - THREADS;
    mixHead(mixed, projected, weights, past, blockIdx.x, heads, epsilon, thread, isEarly);
    waitForMixer();
    if (thread == 0) meeting.arrive();
  }
}
