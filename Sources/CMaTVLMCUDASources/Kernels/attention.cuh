// What kernels of attention over tiles share.

#define LOG2E 1.4426950408889634f

struct Geometry {
  int heads;
  int keyValueHeads;
  float scale;
  int causal;
};

// Of `count` numbers, by a whole warp; −1 of none.
__device__ __forceinline__ int greatest(const int *numbers, int count) {
  int most = -1;
  for (int i = LANE; i < count; i += 32) most = max(most, numbers[i]);
  return __reduce_max_sync(0xffffffffu, most);
}
