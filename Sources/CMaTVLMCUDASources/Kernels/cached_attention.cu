// Attention of single rows to a cache by itself; see cached_attention.cuh.

// Block: ATTENTION_THREADS. Grid: (splits, H / group, rows).
extern "C" __global__ void __launch_bounds__(ATTENTION_THREADS) splitAttention(
    const __grid_constant__ RowAttention a, const __grid_constant__ Addresses keys,
    const __grid_constant__ Addresses values) {
  extern __shared__ uint4 ring[];
  attendShare(
      a, keys, values, blockIdx.z, blockIdx.y, blockIdx.x, ring, threadIdx.x, false, [] {});
}
