// What kernels of attention over tiles share.

#define LOG2E 1.4426950408889634f

struct Geometry {
  int heads;
  int keyValueHeads;
  float scale;
  int causal;
};
