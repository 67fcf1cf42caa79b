void matvlm_image_codecs_link(void);
