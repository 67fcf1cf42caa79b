// One thread per sixteen bytes; the last thread takes what is left over.

template <class F>
__device__ __forceinline__ void mapPacks(i64 count, F body) {
  i64 first = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * LANES;
  if (first < count) body(first, (int)min((i64)LANES, count - first));
}

template <class F>
__device__ __forceinline__ void mapOne(Element *y, const Element *x, i64 count, F f) {
  mapPacks(count, [=](i64 first, int n) {
    if (n == LANES) {
      Pack in = *(const Pack *)(x + first), out;
      for (int i = 0; i < LANES; i++) assign(out.v[i], f(toFloat(in.v[i])));
      *(Pack *)(y + first) = out;
    } else {
      for (int i = 0; i < n; i++) assign(y[first + i], f(toFloat(x[first + i])));
    }
  });
}

template <class F>
__device__ __forceinline__ void mapTwo(
    Element *y, const Element *a, const Element *b, i64 count, F f) {
  mapPacks(count, [=](i64 first, int n) {
    if (n == LANES) {
      Pack p = *(const Pack *)(a + first), q = *(const Pack *)(b + first), out;
      for (int i = 0; i < LANES; i++) assign(out.v[i], f(toFloat(p.v[i]), toFloat(q.v[i])));
      *(Pack *)(y + first) = out;
    } else {
      for (int i = 0; i < n; i++)
        assign(y[first + i], f(toFloat(a[first + i]), toFloat(b[first + i])));
    }
  });
}

__device__ __forceinline__ float activationDerivative(float x, int kind) {
  switch (kind) {
    case GELU:
      return 0.5f * (1.0f + erff(x * 0.7071067811865476f))
             + x * 0.3989422804014327f * expf(-0.5f * x * x);
    case GELU_TANH: {
      const float s = sigmoid(2.0f * SQRT_2_OVER_PI * (x + CUBIC * x * x * x));
      const float slope = 2.0f * SQRT_2_OVER_PI * (1.0f + 3.0f * CUBIC * x * x);
      return s + x * s * (1.0f - s) * slope;
    }
    default: return siluGradient(x);
  }
}

// y, a, b [count]
extern "C" __global__ void add(Element *y, const Element *a, const Element *b, i64 count) {
  beginKernel();
  mapTwo(y, a, b, count, [](float p, float q) { return p + q; });
}

extern "C" __global__ void multiply(Element *y, const Element *a, const Element *b, i64 count) {
  beginKernel();
  mapTwo(y, a, b, count, [](float p, float q) { return p * q; });
}

extern "C" __global__ void scale(Element *y, const Element *x, float factor, i64 count) {
  beginKernel();
  mapOne(y, x, count, [=](float v) { return v * factor; });
}

extern "C" __global__ void activate(Element *y, const Element *x, int kind, i64 count) {
  beginKernel();
  mapOne(y, x, count, [=](float v) { return activation(v, kind); });
}

extern "C" __global__ void activateGradient(
    Element *dx, const Element *dy, const Element *x, int kind, i64 count) {
  beginKernel();
  mapTwo(dx, dy, x, count, [=](float g, float v) { return g * activationDerivative(v, kind); });
}

// y [count] of yType ← x [count] of xType
extern "C" __global__ void convert(void *y, int yType, const void *x, int xType, i64 count) {
  beginKernel();
  i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  i64 step = (i64)gridDim.x * blockDim.x;
  for (; i < count; i += step) storeAs(y, i, yType, loadAs(x, i, xType));
}

// The usual case, four numbers a thread; count is a multiple of four.
extern "C" __global__ void floatsToBfloats(uint2 *y, const float4 *x, i64 fours) {
  beginKernel();
  i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  i64 step = (i64)gridDim.x * blockDim.x;
  for (; i < fours; i += step) {
    const float4 v = x[i];
    y[i] = make_uint2(packPair(v.x, v.y), packPair(v.z, v.w));
  }
}
