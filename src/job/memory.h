/* What a run will need, told before it starts. */
#ifndef KZ_JOB_MEMORY_H
#define KZ_JOB_MEMORY_H

#include <stddef.h>

#include "media/format.h"

typedef struct kz_memory {
    size_t engine;  /* the network's plan, exactly */
    size_t device;  /* the same in a device's own memory; not in the total */
    size_t frames;  /* rings, and frames in the decoder's hands */
    size_t encoder; /* fitted to measurements: docs/performance.md */
    size_t base;    /* program, libraries, demuxer and muxer */
} kz_memory;

/* `check`: what the encoder makes is decoded. `threads` are the processors that encoder and decoder
 * will see. */
kz_memory kz_memory_estimate(size_t engine, const kz_video_format *in, const kz_video_format *out,
                             const char *encoder, const char *encoder_preset, bool check,
                             int threads);

/* Bytes of a frame's samples. */
size_t kz_memory_frame(const kz_video_format *format);

size_t kz_memory_total(const kz_memory *memory);

#endif
