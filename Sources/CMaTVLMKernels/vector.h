// Vectors of floats, as wide as the instruction set that this file is included for: the one place
// where kernels meet the processor. Included inside a target's attribute region, after the system
// headers.

// Sums may be reordered and products fused inside kernels; results still do not depend on threads,
// because each item is always computed by the same code.
#pragma clang fp contract(fast)

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((ext_vector_type(LANES)));
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
INLINE float vf_sum(vf v) {
  float s[LANES];
  vf_store(s, v);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) s[i] += s[i + width];
  return s[0];
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

// e^x to about 1 ulp (Cephes' expf: range reduction by ln 2 in two parts, polynomial of degree 5).
INLINE vf vf_exp(vf x) {
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
  return p * scale;
}

// 1 / (1 + e^-x)
INLINE vf vf_sigmoid(vf x) { return 1.0f / (1.0f + vf_exp(-x)); }
