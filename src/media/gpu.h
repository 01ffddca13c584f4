/* Libav on the GPU that the network runs on: what NVDEC and NVENC share. */
#ifndef KZ_MEDIA_GPU_H
#define KZ_MEDIA_GPU_H

#include <libavutil/buffer.h>

/* A device of libav's in the CUDA context `context` (a CUcontext), which outlives it; the caller's.
 * NULL: libav can't load the driver's libraries, or memory is short. */
AVBufferRef *kz_av_gpu(void *context);

#endif
