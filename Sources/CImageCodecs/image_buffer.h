// What the decoders share: the size check that comes before any allocation.

#ifndef MATVLM_IMAGE_BUFFER_H
#define MATVLM_IMAGE_BUFFER_H

#include "image_codecs.h"

/// Sets the size and allocates black pixels. Returns -1 with a message if the size is refused or
/// memory is short; then `image->pixels` stays NULL.
int matvlm_image_allocate(
  matvlm_image *image, uint32_t width, uint32_t height, char *message, size_t capacity);

#endif
