// One row of each sequence through the middle of a Mamba-2 mixer (mixer_row.cuh).

// y [S, H·P] ← projected [S, z | x | B | C | Δ].
// tails [S]: addresses of float32 [TAPS − 1, x | B | C]; states [S]: of float32 [H, P, N].
// isEarly: see mixHead. Block: MIXER_THREADS. Grid: (H, S).
extern "C" __global__ void __launch_bounds__(MIXER_THREADS) mixerStep(
    Element *y, const Element *projected, const __grid_constant__ MixerWeights weights,
    const u64 *tails, const u64 *states, int heads, float epsilon, int isEarly) {
  const i64 sequence = blockIdx.y;
  const MixerState past = {(float *)tails[sequence], (float *)states[sequence]};
  mixHead(
      y + sequence * heads * P, projected + sequence * heads * (2 * P + 2 * N + 1), weights, past,
      blockIdx.x, heads, epsilon, threadIdx.x, isEarly);
}
