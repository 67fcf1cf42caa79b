// bfloat16 and float16, to and from vectors of floats. Included after vector.h.
//
// To float is exact; from float rounds to nearest even, keeps NaN (quiet) and makes subnormals.

INLINE vh vh_load(const uint16_t *p) { vh v; __builtin_memcpy(&v, p, sizeof v); return v; }
INLINE void vh_store(uint16_t *p, vh v) { __builtin_memcpy(p, &v, sizeof v); }
// The next n elements of a row, at most a vector of them; zeros behind them.
INLINE vh vh_load_some(const uint16_t *p, int64_t n) {
  if (n >= LANES) return vh_load(p);
  vh v = (vh)(uint16_t)0;
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
}
INLINE void vh_store_some(uint16_t *p, vh v, int64_t n) {
  if (n >= LANES)
    vh_store(p, v);
  else
    for (int64_t i = 0; i < n; i++) p[i] = v[i];
}
INLINE vi vh_bits(vh h) { return __builtin_convertvector(h, vi); }
// The low 16 bits of each lane.
INLINE vh vh_from_bits(vi bits) { return __builtin_convertvector(bits, vh); }
INLINE vi logical_shift_right(vi bits, int count) {
  return (bits >> count) & (int32_t)(0xffffffffu >> count);
}

INLINE vf vf_from_bf16(vh h) { return vf_from_bits(vh_bits(h) << 16); }

INLINE vh vf_to_bf16(vf v) {
  const vi bits = vf_bits(v);
  const vi top = logical_shift_right(bits, 16);
  const vi rounded = logical_shift_right(bits + 0x7fff + (top & 1), 16);
  return vh_from_bits(vi_select(v != v, top | 0x40, rounded));
}

#if LANES == 16

INLINE vf vf_from_f16(vh h) { return (vf)_mm512_cvtph_ps((__m256i)h); }
INLINE vh vf_to_f16(vf v) {
  return (vh)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#elif LANES == 8

INLINE vf vf_from_f16(vh h) { return (vf)_mm256_cvtph_ps((__m128i)h); }
INLINE vh vf_to_f16(vf v) {
  return (vh)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#else

// Moves exponent and mantissa into place and lets a product with 2^112 mend the exponent's bias,
// of subnormals too.
INLINE vf vf_from_f16(vh h) {
  const vi bits = vh_bits(h);
  const vi sign = (bits & 0x8000) << 16;
  const vf magnitude = vf_from_bits((bits & 0x7fff) << 13) * 0x1p112f;
  const vi is_special = (bits & 0x7c00) == 0x7c00;
  return vf_from_bits(vf_bits(magnitude) | (is_special & 0x7f800000) | sign);
}

INLINE vh vf_to_f16(vf v) {
  const vi bits = vf_bits(v);
  const vi sign = logical_shift_right(bits, 16) & 0x8000;
  const vi magnitude = bits & 0x7fffffff;
  // Adding ½ shifts a subnormal's mantissa to the low bits, rounded by the adder.
  const vi subnormal = vf_bits(vf_from_bits(magnitude) + 0.5f) - 0x3f000000;
  const vi odd = (magnitude >> 13) & 1;
  const vi normal = (magnitude - (112 << 23) + 0xfff + odd) >> 13;
  const vi nan = 0x7e00 | ((magnitude >> 13) & 0x3ff);
  vi half = vi_select(magnitude < (113 << 23), subnormal, normal);
  half = vi_select(magnitude >= (143 << 23), (vi)0x7c00, half);
  half = vi_select(magnitude > 0x7f800000, nan, half);
  return vh_from_bits(half | sign);
}

#endif
