#include "image_buffer.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct {
  png_structp png;
  png_infop info;
  jmp_buf escape;
  matvlm_image *image;
  /// 16-bit grey without alpha: rows arrive as [width] big-endian words, converted at the end.
  int wide_grey;
  int passes;
  int any_row, last_row;
  char *message;
  size_t capacity;
} png_decoder;

static _Noreturn void fail(png_decoder *decoder, const char *message) {
  if (message != decoder->message) snprintf(decoder->message, decoder->capacity, "%s", message);
  longjmp(decoder->escape, 1);
}

static void on_error(png_structp png, png_const_charp text) { fail(png_get_error_ptr(png), text); }

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

/// The header is read: check the size, ask libpng for RGB8.
static void on_header(png_structp png, png_infop info) {
  png_decoder *decoder = png_get_progressive_ptr(png);
  png_uint_32 width = png_get_image_width(png, info), height = png_get_image_height(png, info);
  int depth = png_get_bit_depth(png, info), colours = png_get_color_type(png, info);
  if (
    matvlm_image_allocate(decoder->image, width, height, decoder->message, decoder->capacity) != 0
  ) fail(decoder, decoder->message);

  decoder->wide_grey = colours == PNG_COLOR_TYPE_GRAY && depth == 16;
  if (!decoder->wide_grey) {
    if (colours == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (colours == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
    if (depth == 16) png_set_strip_16(png);
    if (!(colours & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
  }
  decoder->passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  if (png_get_rowbytes(png, info) != (size_t)width * (decoder->wide_grey ? 2 : 3))
    fail(decoder, "its rows do not become RGB");
}

static void on_row(png_structp png, png_bytep row, png_uint_32 y, int pass) {
  png_decoder *decoder = png_get_progressive_ptr(png);
  matvlm_image *image = decoder->image;
  if (row != NULL && y < image->height) {
    png_progressive_combine_row(png, image->pixels + (size_t)image->width * 3 * y, row);
    decoder->any_row = 1;
  }
  // An interlaced picture repeats every row in each pass, with NULL where the pass has nothing.
  if (y + 1 == image->height && pass + 1 == decoder->passes) decoder->last_row = 1;
}

/// Words to clamped RGB, in place: from the right, where the read position never passes the
/// written one.
static void widen_grey(matvlm_image *image) {
  for (size_t y = 0; y < image->height; y++) {
    uint8_t *row = image->pixels + (size_t)image->width * 3 * y;
    for (size_t x = image->width; x-- > 0;) {
      uint8_t grey = row[2 * x] != 0 ? 255 : row[2 * x + 1];
      memset(row + 3 * x, grey, 3);
    }
  }
}

/// Everything that may escape by longjmp. The decoder lives in the caller's frame, so its fields
/// are defined after the jump. Feeding the data (rather than letting libpng pull it) makes every
/// row available that the bytes hold, also of a file that ends early.
static int decode_guarded(png_decoder *decoder, const uint8_t *bytes, size_t count) {
  if (setjmp(decoder->escape)) return -1;
  decoder->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, on_error, on_warning);
  if (decoder->png == NULL) fail(decoder, "libpng does not start");
  decoder->info = png_create_info_struct(decoder->png);
  if (decoder->info == NULL) fail(decoder, "there is no memory for libpng");

  // Text, profiles and gamma are not used: a damaged one must not refuse the picture.
  png_set_keep_unknown_chunks(decoder->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  png_set_progressive_read_fn(decoder->png, decoder, on_header, on_row, NULL);
  png_process_data(decoder->png, decoder->info, (png_bytep)bytes, count);

  if (!decoder->any_row) fail(decoder, "the data ends before the first row of the picture");
  decoder->image->truncated = !decoder->last_row;
  if (decoder->wide_grey) widen_grey(decoder->image);
  return 0;
}

int matvlm_png_decode(
  const uint8_t *bytes, size_t count, matvlm_image *image, char *message, size_t capacity
) {
  png_decoder decoder;
  memset(&decoder, 0, sizeof decoder);
  memset(image, 0, sizeof *image);
  decoder.image = image;
  decoder.message = message;
  decoder.capacity = capacity;

  int status = decode_guarded(&decoder, bytes, count);
  png_destroy_read_struct(&decoder.png, &decoder.info, NULL);
  if (status != 0) {
    free(image->pixels);
    memset(image, 0, sizeof *image);
  }
  return status;
}
