/* Convolutions of small networks: what packing and computing share. */
#ifndef KZ_BACKEND_KERNELS_SMALL_H
#define KZ_BACKEND_KERNELS_SMALL_H

#include "backend/kernels/kernel.h"

/* Bytes of a convolution's weights, and those weights from the parameters; `kernel` is measured,
 * its memory zero. As kz_kernel_ops' weight_bytes() and pack(). */
size_t kz_small_bytes(const kz_kernel *kernel);
void kz_small_pack(kz_kernel *kernel, const kz_kernel_params *params);

/* The same for the end: four outputs, in a pixel shuffle's order. */
size_t kz_small_end_bytes(const kz_kernel *kernel);
void kz_small_end_pack(kz_kernel *kernel, const kz_kernel_params *params);

#endif
