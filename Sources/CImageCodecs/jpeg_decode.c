#include "image_buffer.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/// More scans than any encoder writes: a small file can otherwise ask for hours of work.
enum { max_scans = 500 };

typedef struct {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf escape;
  matvlm_image *image;
  char *message;
  size_t capacity;
} jpeg_decoder;

static _Noreturn void fail(jpeg_decoder *decoder, const char *message) {
  snprintf(decoder->message, decoder->capacity, "%s", message);
  longjmp(decoder->escape, 1);
}

static void on_error(j_common_ptr common) {
  char text[JMSG_LENGTH_MAX];
  common->err->format_message(common, text);
  fail(common->client_data, text);
}

/// libjpeg's memory source says so when the data ends, and then pretends an end-of-image marker
/// followed: what was not decoded becomes grey. Other warnings pass, as in Pillow.
static void on_message(j_common_ptr common, int level) {
  if (level >= 0 || common->err->msg_code != JWRN_JPEG_EOF) return;
  jpeg_decoder *decoder = common->client_data;
  if (decoder->jpeg.input_scan_number <= 1 && decoder->jpeg.input_iMCU_row == 0)
    fail(decoder, "the data ends before the first rows of the picture");
  decoder->image->truncated = 1;
}

static void on_progress(j_common_ptr common) {
  jpeg_decoder *decoder = common->client_data;
  if (decoder->jpeg.input_scan_number > max_scans)
    fail(decoder, "it has more than 500 scans");
}

/// a * b / 255, rounded: Pillow's MULDIV255.
static unsigned scaled(unsigned a, unsigned b) {
  unsigned product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/// One row of inverted CMYK [width, 4] to RGB [width, 3]: Pillow's `CMYK;I`, then `cmyk2rgb`.
static void convert_inverted_cmyk(const uint8_t *cmyk, uint8_t *rgb, size_t width) {
  for (size_t x = 0; x < width; x++, cmyk += 4, rgb += 3) {
    for (int channel = 0; channel < 3; channel++) {
      // The ink's share of the black plate's white never exceeds that white: no clamp is needed.
      unsigned white = cmyk[3];
      rgb[channel] = (uint8_t)(white - scaled(255 - cmyk[channel], white));
    }
  }
}

static void read_rows(jpeg_decoder *decoder) {
  struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
  size_t stride = (size_t)decoder->image->width * 3;
  JSAMPARRAY inks = NULL;  // [1, width * 4]
  if (jpeg->out_color_space == JCS_CMYK) {
    inks = jpeg->mem->alloc_sarray(
      (j_common_ptr)jpeg, JPOOL_IMAGE, jpeg->output_width * 4, 1);
  }
  while (jpeg->output_scanline < jpeg->output_height) {
    JSAMPROW row = decoder->image->pixels + stride * jpeg->output_scanline;
    jpeg_read_scanlines(jpeg, inks ? inks : &row, 1);
    if (inks) convert_inverted_cmyk(inks[0], row, jpeg->output_width);
  }
}

/// Everything that may escape by longjmp. The decoder lives in the caller's frame, so its fields
/// are defined after the jump.
static int decode_guarded(jpeg_decoder *decoder, const uint8_t *bytes, size_t count) {
  struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
  if (setjmp(decoder->escape)) return -1;
  jpeg_create_decompress(jpeg);
  jpeg->client_data = decoder;
  decoder->progress.progress_monitor = on_progress;
  jpeg->progress = &decoder->progress;
  jpeg_mem_src(jpeg, (unsigned char *)bytes, count);
  jpeg_read_header(jpeg, TRUE);

  switch (jpeg->num_components) {
  case 1: case 3: jpeg->out_color_space = JCS_RGB; break;
  case 4: jpeg->out_color_space = JCS_CMYK; break;
  default: fail(decoder, "it has neither 1, 3 nor 4 components");
  }
  if (
    matvlm_image_allocate(
      decoder->image, jpeg->image_width, jpeg->image_height, decoder->message, decoder->capacity)
    != 0
  ) return -1;
  jpeg_start_decompress(jpeg);
  read_rows(decoder);
  return 0;
}

int matvlm_jpeg_decode(
  const uint8_t *bytes, size_t count, matvlm_image *image, char *message, size_t capacity
) {
  jpeg_decoder decoder;
  memset(&decoder, 0, sizeof decoder);
  memset(image, 0, sizeof *image);
  decoder.image = image;
  decoder.message = message;
  decoder.capacity = capacity;
  decoder.jpeg.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = on_error;
  decoder.errors.emit_message = on_message;
  decoder.jpeg.client_data = &decoder;

  int status = decode_guarded(&decoder, bytes, count);
  jpeg_destroy_decompress(&decoder.jpeg);
  if (status != 0) {
    free(image->pixels);
    memset(image, 0, sizeof *image);
  }
  return status;
}
