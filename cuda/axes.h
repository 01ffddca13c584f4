/* The tables of the resamplers that were used last, on the device: they are the same for every
 * picture. */
#ifndef KZ_CUDA_AXES_H
#define KZ_CUDA_AXES_H

#include "cuda/kernels/kernels.h"
#include "pixel/resample.h"

typedef struct kz_axes kz_axes;

/* In so many bytes of the device, which outlive it. 0 or KZ_ERROR_MEMORY. */
int kz_axes_open(kz_axes **axes, kz_gpu *gpu, char *block, size_t bytes);
void kz_axes_close(kz_axes **axes); /* NULL is legal */

/* The resampler's tables. Where they aren't there yet they are copied, which waits for all that was
 * asked of the device; others may go. 0 or KZ_ERROR_MEMORY: they don't fit. */
int kz_axes_get(kz_axes *axes, const kz_resampler *resampler, kz_cuda_axis *x, kz_cuda_axis *y);

/* Bytes taken, from the block's beginning. */
size_t kz_axes_taken(const kz_axes *axes);

#endif
