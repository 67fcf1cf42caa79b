#include "image_codecs.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct {
  png_structp png;
  png_infop info;
  jmp_buf escape;
  uint8_t *bytes;
  size_t count, allocated;
  char *message;
  size_t capacity;
} png_encoder;

static void on_error(png_structp png, png_const_charp text) {
  png_encoder *encoder = png_get_error_ptr(png);
  snprintf(encoder->message, encoder->capacity, "%s", text);
  longjmp(encoder->escape, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static void on_write(png_structp png, png_bytep bytes, size_t count) {
  png_encoder *encoder = png_get_io_ptr(png);
  if (count > encoder->allocated - encoder->count) {
    size_t allocated = 2 * encoder->allocated + count;
    uint8_t *grown = realloc(encoder->bytes, allocated);
    if (grown == NULL) png_error(png, "there is no memory for the PNG");
    encoder->bytes = grown;
    encoder->allocated = allocated;
  }
  memcpy(encoder->bytes + encoder->count, bytes, count);
  encoder->count += count;
}

static void on_flush(png_structp png) { (void)png; }

/// Everything that may escape by longjmp. The encoder lives in the caller's frame, so its fields
/// are defined after the jump.
static int encode_guarded(
  png_encoder *encoder, const uint8_t *pixels, uint32_t width, uint32_t height
) {
  if (setjmp(encoder->escape)) return -1;
  encoder->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, encoder, on_error, on_warning);
  if (encoder->png != NULL) encoder->info = png_create_info_struct(encoder->png);
  if (encoder->info == NULL) {
    snprintf(encoder->message, encoder->capacity, "libpng does not start");
    return -1;
  }
  png_set_write_fn(encoder->png, encoder, on_write, on_flush);
  png_set_IHDR(
    encoder->png, encoder->info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
    PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(encoder->png, encoder->info);
  for (uint32_t y = 0; y < height; y++)
    png_write_row(encoder->png, pixels + (size_t)width * 3 * y);
  png_write_end(encoder->png, NULL);
  return 0;
}

int matvlm_png_encode(
  const uint8_t *pixels, uint32_t width, uint32_t height,
  uint8_t **bytes, size_t *count, char *message, size_t capacity
) {
  png_encoder encoder;
  memset(&encoder, 0, sizeof encoder);
  encoder.message = message;
  encoder.capacity = capacity;

  int status = encode_guarded(&encoder, pixels, width, height);
  png_destroy_write_struct(&encoder.png, &encoder.info);
  if (status != 0) {
    free(encoder.bytes);
    encoder.bytes = NULL;
    encoder.count = 0;
  }
  *bytes = encoder.bytes;
  *count = encoder.count;
  return status;
}
