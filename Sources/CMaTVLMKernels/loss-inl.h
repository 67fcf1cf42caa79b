#define LOSS_KERNELS {0}
