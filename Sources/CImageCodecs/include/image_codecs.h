// JPEG and PNG between memory buffers and RGB8 rows. No global state: calls may run on any thread
// at the same time.
//
// Every function returns 0 on success. On failure it returns -1, has written a NUL-terminated
// English message into `message` (cut at `capacity` bytes) and has allocated nothing.

#ifndef MATVLM_IMAGE_CODECS_H
#define MATVLM_IMAGE_CODECS_H

#include <stddef.h>
#include <stdint.h>

/// The widest and tallest picture that is decoded: libjpeg's own limit, held for PNG as well.
#define MATVLM_IMAGE_MAX_SIDE 65500

/// The most pixels that are decoded: Pillow's decompression-bomb limit, 2 * (1 GiB / 4 / 3).
#define MATVLM_IMAGE_MAX_PIXELS 178956970

/// A decoded picture. `pixels` is [height, width, 3], released with `matvlm_image_free`.
typedef struct {
  uint32_t width, height;
  uint8_t *pixels;
  /// The data ended before the last row. What is missing is grey (JPEG) or black (PNG).
  int truncated;
} matvlm_image;

/// Decodes what Pillow's `convert("RGB")` decodes: grey, YCbCr, RGB, CMYK and YCCK, any sampling,
/// sequential or progressive. Four-component pictures are taken as stored inverted, as Pillow
/// does. Data that ends early is an error only if it ends within the first row of blocks.
int matvlm_jpeg_decode(
  const uint8_t *bytes, size_t count, matvlm_image *image, char *message, size_t capacity);

/// Decodes every colour type and depth, interlaced or not. Alpha and tRNS are dropped, 16 bits
/// keep the high byte, except grey without alpha, which is clamped at 255: all as Pillow does.
/// Data that ends early is an error only before the first complete row; a wrong checksum always.
int matvlm_png_decode(
  const uint8_t *bytes, size_t count, matvlm_image *image, char *message, size_t capacity);

/// Encodes `pixels` [height, width, 3] as an 8-bit RGB PNG. `*bytes` is released with
/// `matvlm_image_free`.
int matvlm_png_encode(
  const uint8_t *pixels, uint32_t width, uint32_t height,
  uint8_t **bytes, size_t *count, char *message, size_t capacity);

/// Releases what one of the functions above allocated. NULL is allowed.
void matvlm_image_free(void *pointer);

#endif
