/* The stages of a run one after the other, each alone and with its clocks: what a benchmark prints
 * and an estimate is made of. Not thread-safe; the frames of the stage before are kept in memory.
 */
#ifndef KZ_JOB_PROBE_H
#define KZ_JOB_PROBE_H

#include "media/check.h"
#include "media/decode.h"
#include "media/encode.h"
#include "upscale/upscaler.h"

/* What something took. */
typedef struct kz_cost {
    double seconds; /* by the clock on the wall */
    double cpu;     /* of the whole process */
} kz_cost;

/* The clocks as they stand, and what has passed since. */
kz_cost kz_cost_begin(void);
kz_cost kz_cost_since(kz_cost began);

/* Decodes until `frames` holds `most`, or the input ends; *count are there already, and are
 * counted on. *copied (may be NULL) grows by the bytes of the other streams' packets that were met.
 * 0, or what kz_source_next() returns but KZ_END. */
int kz_probe_decode(kz_input *input, kz_decoder *decoder, kz_frame **frames, int most, int *count,
                    int64_t *copied);

/* A part of a picture, in samples of luma; x and y are multiples of the chroma's steps. */
typedef struct kz_region {
    int x, y, width, height;
} kz_region;

/* Upscales `region` (NULL: all) of each frame, whose format is `format`, into a fresh frame of the
 * pool. The upscaler was opened for that size. What was made before a failure is in `out`. */
int kz_probe_upscale(kz_upscaler *upscaler, kz_frame_pool *pool, const kz_video_format *format,
                     const kz_region *region, kz_frame *const *frames, kz_frame **out, int count);

/* What an encoder made. All zero is none. */
typedef struct kz_encoded {
    kz_packet **packets;
    int count, room;
    int64_t bytes, first; /* of all, and of the first one */
    kz_form *form;
    kz_cost cost; /* without opening */
} kz_encoded;

/* Encodes the frames (ownership of all in every case, each pointer becomes NULL) as a video of its
 * own. kz_encoded_close() in any case. 0, KZ_ERROR_CANCELLED (`stop`, may be NULL, was set),
 * KZ_ERROR_MEMORY or what the encoder returns. */
int kz_probe_encode(kz_encoded *encoded, const kz_encoder_params *params,
                    const kz_video_format *format, kz_frame **frames, int count,
                    const atomic_bool *stop, kz_log *log);
void kz_encoded_close(kz_encoded *encoded);

/* Decodes them on one thread, as a run's check does. What can't be decoded isn't looked at. 0 or
 * KZ_ERROR_MEMORY, KZ_ERROR_FAILED (reported). */
int kz_probe_check(const kz_encoded *encoded, kz_cost *cost, kz_log *log);

#endif
