// Rotary positions (RoFormer, arXiv:2104.09864) with pairs (i, i + rotary/2), as Phi-2 has them.

static void rotate(const float *x, const float *table, const int32_t *positions, ptrdiff_t rows,
                   ptrdiff_t heads, ptrdiff_t width, ptrdiff_t rotary, float direction, float *y) {
  const ptrdiff_t half = rotary / 2;
  for (ptrdiff_t row = 0; row < rows; row++) {
    const float *cosines = table + positions[row] * rotary, *sines = cosines + half;
    for (ptrdiff_t head = 0; head < heads; head++) {
      const float *from = x + (row * heads + head) * width;
      float *to = y + (row * heads + head) * width;
      for (ptrdiff_t i = 0; i < half; i++) {
        const float a = from[i], b = from[i + half], sine = direction * sines[i];
        to[i] = a * cosines[i] - b * sine;
        to[i + half] = b * cosines[i] + a * sine;
      }
      if (to != from)
        memcpy(to + rotary, from + rotary, (size_t)(width - rotary) * sizeof(float));
    }
  }
}
