#include "image_buffer.h"

#include <stdio.h>
#include <stdlib.h>

int matvlm_image_allocate(
  matvlm_image *image, uint32_t width, uint32_t height, char *message, size_t capacity
) {
  if (
    width == 0 || height == 0 || width > MATVLM_IMAGE_MAX_SIDE || height > MATVLM_IMAGE_MAX_SIDE
    || (uint64_t)width * height > MATVLM_IMAGE_MAX_PIXELS
  ) {
    snprintf(
      message, capacity, "its header says %u x %u pixels; 1 to %d a side and %d in all are allowed",
      (unsigned)width, (unsigned)height, MATVLM_IMAGE_MAX_SIDE, MATVLM_IMAGE_MAX_PIXELS);
    return -1;
  }
  // calloc: pages of rows that a lying header promises and the data never fills stay untouched.
  uint8_t *pixels = calloc((size_t)width * height, 3);
  if (pixels == NULL) {
    snprintf(
      message, capacity, "there is no memory for %u x %u pixels", (unsigned)width,
      (unsigned)height);
    return -1;
  }
  image->width = width;
  image->height = height;
  image->pixels = pixels;
  return 0;
}

void matvlm_image_free(void *pointer) { free(pointer); }
