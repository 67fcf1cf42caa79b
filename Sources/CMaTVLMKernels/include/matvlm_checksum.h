// Checksums of files.
#ifndef MATVLM_CHECKSUM_H
#define MATVLM_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4) of n more bytes after those that gave `crc`; 0 begins.
uint32_t matvlm_crc32c(uint32_t crc, const void *_Nullable bytes, size_t n);

#pragma clang assume_nonnull end

#endif
