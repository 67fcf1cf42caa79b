// CRC-32C by the processor's instruction where it has one, else by a table.
#include "matvlm_checksum.h"

#include <string.h>

static uint32_t table[256];

__attribute__((constructor)) static void fill_table(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    table[byte] = crc;
  }
}

static uint32_t by_table(uint32_t crc, const uint8_t *bytes, size_t n) {
  for (size_t i = 0; i < n; i++) crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xFF];
  return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes,
                                                                 size_t n) {
  uint64_t wide = crc;
  for (; n >= 8; n -= 8, bytes += 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  return by_table((uint32_t)wide, bytes, n);
}
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

static int has_instruction(void) { return 1; }

static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes, size_t n) {
  for (; n >= 8; n -= 8, bytes += 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    crc = __crc32cd(crc, word);
  }
  return by_table(crc, bytes, n);
}
#else
static int has_instruction(void) { return 0; }
static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes, size_t n) {
  return by_table(crc, bytes, n);
}
#endif

uint32_t matvlm_crc32c(uint32_t crc, const void *bytes, size_t n) {
  return ~(has_instruction() ? by_instruction(~crc, bytes, n) : by_table(~crc, bytes, n));
}
