#include "image_codecs.h"
void matvlm_image_codecs_link(void) {}
