// Vectors of floats, as wide as the instruction set that this file is included for: the one place
// where kernels meet the processor. Included inside a target's attribute region, after the system
// headers.

// Sums may be reordered and products fused inside kernels; results still do not depend on threads,
// because each item is always computed by the same code.
#pragma clang fp contract(fast)

#define INLINE static inline __attribute__((always_inline))

// Asks for what lies READ_AHEAD bytes behind the `count` bytes that are read now. A processor finds out by
// itself that memory is read in order, but begins anew with each page, and asks for less than it could.
enum { READ_AHEAD = 4096, CACHE_LINE = 64, LINE_FLOATS = CACHE_LINE / sizeof(float) };
INLINE void read_ahead(const void *now, int64_t count) {
  for (int64_t b = 0; b < count; b += CACHE_LINE)
    __builtin_prefetch((const char *)now + READ_AHEAD + b, 0, 2);
}

typedef float vf __attribute__((ext_vector_type(LANES)));
typedef float vq __attribute__((ext_vector_type(4)));
typedef int32_t vi __attribute__((ext_vector_type(LANES)));
typedef uint16_t vh __attribute__((ext_vector_type(LANES)));  // bfloat16 or float16 bits
typedef double vd __attribute__((ext_vector_type(LANES)));

INLINE vf vf_load(const float *p) { vf v; __builtin_memcpy(&v, p, sizeof v); return v; }
INLINE void vf_store(float *p, vf v) { __builtin_memcpy(p, &v, sizeof v); }
INLINE vf vf_set(float x) { return (vf)x; }
// The first n lanes, zeros behind them.
INLINE vf vf_load_part(const float *p, int64_t n) {
  vf v = (vf)0.0f;
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
}
INLINE void vf_store_part(float *p, vf v, int64_t n) {
  for (int64_t i = 0; i < n; i++) p[i] = v[i];
}
// The next n floats of a row, at most a vector of them.
INLINE vf vf_load_some(const float *p, int64_t n) {
  return n >= LANES ? vf_load(p) : vf_load_part(p, n);
}
INLINE void vf_store_some(float *p, vf v, int64_t n) {
  if (n >= LANES)
    vf_store(p, v);
  else
    vf_store_part(p, v, n);
}
// Lane i is the sum of every fourth lane from i on.
INLINE vq vf_fold(vf v) {
#if LANES == 16
  return (v.lo + v.hi).lo + (v.lo + v.hi).hi;
#elif LANES == 8
  return v.lo + v.hi;
#else
  return v;
#endif
}
INLINE float vf_sum(vf v) {
  const vq part = vf_fold(v);
  return (part[0] + part[2]) + (part[1] + part[3]);
}
// Sums of neighbouring lanes: two of a, two of b, for each four lanes.
INLINE vf vf_add_pairs(vf a, vf b) {
#if LANES == 16
  return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
#elif LANES == 8
  return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) +
         __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
#else
  return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
}
// The sums of four vectors.
INLINE vq vf_sum4(vf a, vf b, vf c, vf d) {
  return vf_fold(vf_add_pairs(vf_add_pairs(a, b), vf_add_pairs(c, d)));
}
INLINE double vd_sum(const vd *v) {
  double s = 0;
  for (int i = 0; i < LANES; i++) s += (*v)[i];
  return s;
}
INLINE vf vf_max(vf a, vf b) { return __builtin_elementwise_max(a, b); }
INLINE vf vf_min(vf a, vf b) { return __builtin_elementwise_min(a, b); }

INLINE vf vf_abs(vf v) { return __builtin_elementwise_abs(v); }
INLINE vf vf_sqrt(vf v) { return __builtin_elementwise_sqrt(v); }
INLINE vi vf_bits(vf v) { vi b; __builtin_memcpy(&b, &v, sizeof b); return b; }
INLINE vf vf_from_bits(vi b) { vf v; __builtin_memcpy(&v, &b, sizeof v); return v; }
// a where the mask is all ones, b where it is zero.
INLINE vi vi_select(vi mask, vi a, vi b) { return (mask & a) | (~mask & b); }
INLINE vf vf_select(vi mask, vf a, vf b) {
  return vf_from_bits(vi_select(mask, vf_bits(a), vf_bits(b)));
}
// All ones in the first n lanes, zeros behind them.
INLINE vi first_lanes(int64_t n) {
  vi lanes;
  for (int i = 0; i < LANES; i++) lanes[i] = i;
  return lanes < (int32_t)(n < LANES ? n : LANES);
}

// e^x to about 1 ulp (Cephes' expf: range reduction by ln 2 in two parts, polynomial of degree 5);
// zero where it would be subnormal, because arithmetic with subnormals takes a hundred times as
// long.
INLINE vf vf_exp(vf x) {
  const vi underflows = x < -87.3f;
  x = vf_min(vf_max(x, vf_set(-87.3f)), vf_set(88.3f));
  vf n = __builtin_elementwise_rint(x * 1.44269504088896341f);
  vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
  vf p = vf_set(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  vi power = (__builtin_convertvector(n, vi) + 127) << 23;
  vf scale;
  __builtin_memcpy(&scale, &power, sizeof scale);
  return vf_from_bits(vf_bits(p * scale) & ~underflows);
}

// 1 / (1 + e^-x)
INLINE vf vf_sigmoid(vf x) { return 1.0f / (1.0f + vf_exp(-x)); }
// Its derivative, without the cancellation of σ(1 - σ) where σ is near 1.
INLINE vf vf_sigmoid_slope(vf x) {
  const vf rest = vf_exp(-x), open = 1.0f / (1.0f + rest);
  return rest * open * open;
}
