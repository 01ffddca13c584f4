/* Which of cuDNN's engines computes a convolution, and with which knobs: a value to measure, to
 * keep and to write into a cache. It means something only together with cuDNN's version, the GPU
 * and the convolution's parameters. */
#ifndef KZ_CUDA_CUDNN_ENGINE_H
#define KZ_CUDA_CUDNN_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define KZ_CUDNN_MAX_KNOBS 16

typedef struct kz_cudnn_knob {
    int type; /* cudnnBackendKnobType_t */
    int64_t value;
} kz_cudnn_knob;

typedef struct kz_cudnn_engine {
    int index; /* among all engines for the operation graph */
    int n_knobs;
    kz_cudnn_knob knobs[KZ_CUDNN_MAX_KNOBS]; /* types ascend; the others are the engine's default */
} kz_cudnn_engine;

/* Room for the longest text, end included. */
#define KZ_CUDNN_ENGINE_TEXT 640

/* "7", "7:24=21", "7:17=1,24=21": index, then knobs by type. Stable: equal engines have equal
 * texts. */
void kz_cudnn_engine_write(const kz_cudnn_engine *engine, char text[KZ_CUDNN_ENGINE_TEXT]);

/* Reads exactly what kz_cudnn_engine_write() writes, from text that anyone may have written; needs
 * no end after `length` bytes. 0, or KZ_ERROR_FAILED (not reported: whoever reads a cache measures
 * again). Whether cuDNN has such an engine is seen when a plan is opened with it. */
int kz_cudnn_engine_read(kz_cudnn_engine *engine, const char *text, size_t length);

#endif
