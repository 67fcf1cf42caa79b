void matvlm_kernels_link(void);
