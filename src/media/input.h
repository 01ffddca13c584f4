/* A media file or pipe, demultiplexed. */
#ifndef KZ_MEDIA_INPUT_H
#define KZ_MEDIA_INPUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/log.h"
#include "media/choice.h"
#include "media/format.h"
#include "media/packet.h"

typedef struct kz_input kz_input;

typedef struct kz_input_params {
    const char *path;          /* "-" is standard input */
    double start;              /* seconds to skip, 0: none */
    double duration;           /* seconds to take, 0: all */
    const atomic_bool *cancel; /* read and probe return KZ_ERROR_CANCELLED soon after it is set;
                                * NULL: never */
    kz_choice choice;
    bool again;   /* the file has been opened before: only errors are told */
    bool to_pipe; /* the output's header can't be completed later: what it needs is found first */
    /* For raw video, which says nothing of itself: "640x360", a pixel format (NULL: yuv420p) and
     * frames a second (NULL: 25). NULL `raw_size`: not raw. */
    const char *raw_size, *raw_pixels, *raw_rate;
} kz_input_params;

/* Opens and probes. The best video stream (not an attached picture) is the one to upscale; all
 * other streams that the choice takes are read too. Returns 0, KZ_ERROR_USAGE (no such file, a
 * directory), KZ_ERROR_FAILED (unreadable, no video, unsupported pixel format, with what to do),
 * KZ_ERROR_MEMORY. */
int kz_input_open(kz_input **input, const kz_input_params *params, kz_log *log);
void kz_input_close(kz_input **input);

/* The stream as it is stored; what the decoder gives may differ. */
const kz_video_format *kz_input_format(const kz_input *input);

/* One line for people: container, codec, size, pixel format, rate, length, copied streams.
 * Owned by the input. */
const char *kz_input_describe(const kz_input *input);

/* By its tags (PQ, HLG) or HDR10's metadata: more of that may come with its frames. */
bool kz_input_is_hdr(const kz_input *input);

/* Frames that the run will give as far as the container tells, 0 when it doesn't. */
int64_t kz_input_frames(const kz_input *input);

/* Reports that the video has given no frame: KZ_ERROR_FAILED. */
int kz_input_has_no_frame(const kz_input *input);

/* It ended before the length that the container tells. */
bool kz_input_is_cut(const kz_input *input);

/* The number of a stream that began so late that it wasn't among those to copy; 0: none has so far,
 * or it isn't wanted. */
int kz_input_late_stream(const kz_input *input);
int kz_input_check_late(const kz_input *input); /* reports one: KZ_ERROR_FAILED */

/* Nothing shown from `time` on (in units of `base`, counted from the start) is wanted. */
void kz_input_end_at(kz_input *input, int64_t time, kz_ratio base);

/* The next packet of a stream that is upscaled or copied, within start and duration. The caller
 * owns it. Returns 0, KZ_END, KZ_ERROR_CANCELLED, or KZ_ERROR_FAILED on a read error (reported;
 * a truncated file ends with a warning and KZ_END, as ffmpeg does). */
int kz_input_read(kz_input *input, kz_packet **packet);

#endif
