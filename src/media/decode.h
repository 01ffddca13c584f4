/* The upscaled stream's packets to frames. Not thread-safe; uses libav's frame threads inside. */
#ifndef KZ_MEDIA_DECODE_H
#define KZ_MEDIA_DECODE_H

#include "media/frame.h"
#include "media/input.h"

typedef struct kz_decoder kz_decoder;

enum kz_deinterlace {
    KZ_DEINTERLACE_AUTO, /* bwdif where the video is found to be interlaced */
    KZ_DEINTERLACE_OFF,
    KZ_DEINTERLACE_BWDIF, /* every frame, whatever its flag says; as are the next */
    KZ_DEINTERLACE_YADIF,
    KZ_DEINTERLACE_W3FDIF,
    KZ_DEINTERLACE_ESTDIF
};

/* What happens to frames before they are given; all zero: only what they need. */
typedef struct kz_filter_params {
    enum kz_deinterlace deinterlace;
    bool ivtc;       /* undo 3:2 pulldown: 4 of 5 frames remain */
    bool turn;       /* by the display matrix, for containers that can't hold one */
    const char *vf;  /* a libavfilter chain, or NULL */
    const char *fps; /* constant frame rate, or NULL */
} kz_filter_params;

typedef struct kz_decoder_params {
    int threads; /* 0: libav's choice */
    kz_filter_params filter;
    const kz_input_params *input; /* how the input was opened, for a look at its frames beforehand;
                                   * NULL: its flags are believed */
} kz_decoder_params;

/* `input` must outlive the decoder. 0, KZ_ERROR_USAGE (a filter chain that libavfilter refuses; an
 * alpha plane that would be lost), KZ_ERROR_FAILED (no decoder, a pixel format that can't be
 * carried), KZ_ERROR_MEMORY; reported. */
int kz_decoder_open(kz_decoder **decoder, const kz_input *input, const kz_decoder_params *params,
                    kz_log *log);
void kz_decoder_close(kz_decoder **decoder);

/* Before the first packet: tells `watch` of the memory that frames will lie in, as far as libav
 * lets its user choose that: not of what filters make, nor of what a GPU decodes. 0,
 * KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported. */
int kz_decoder_watch(kz_decoder *decoder, const kz_block_watch *watch);

/* Before the first packet: lets the GPU decode that `context`, a CUcontext, belongs to, where it
 * gives the same frames (codec.h); they then lie in its memory, too (kz_plane's `there`). The
 * context outlives decoder and frames, of which the caller keeps `held` at a time at most. What
 * happens is told in one line. */
void kz_decoder_accelerate(kz_decoder *decoder, void *context, int held);

/* Bytes that this takes of the device's memory at most. */
size_t kz_decoder_device_memory(const kz_decoder *decoder);

/* What the frames will be like. Owned by the decoder. */
const kz_video_format *kz_decoder_format(const kz_decoder *decoder);

/* Frames that will come, as far as the container tells, 0 when it doesn't. */
int64_t kz_decoder_expected(const kz_decoder *decoder);

/* Hands over a packet; NULL begins draining. Takes ownership in every case. Returns 0 or
 * KZ_ERROR_FAILED (reported: codec, time). A damaged packet is a warning, not a failure. */
int kz_decoder_send(kz_decoder *decoder, kz_packet *packet);

/* The next frame, in presentation order, with its source timestamp (missing ones are continued from
 * the frame before), inside start and duration, its time counted from start. Returns 0, KZ_AGAIN
 * (send more), KZ_END (drained), KZ_ERROR_FAILED (the frame size or pixel format changes midway;
 * reported) or KZ_ERROR_MEMORY. */
int kz_decoder_receive(kz_decoder *decoder, kz_frame **frame);

/* The frames come as they were decoded: no filter keeps any of those before. */
bool kz_decoder_can_seek(const kz_decoder *decoder);

/* Goes on from a place before the frame shown at `time` (as kz_frame_mark has it), if the container
 * lets it; `input` is the decoder's. The frames up to there may lack what they refer to. 0,
 * KZ_ERROR_FAILED or KZ_ERROR_CANCELLED. */
int kz_decoder_seek(kz_decoder *decoder, kz_input *input, int64_t time);

/* Frames given, and damaged packets met. */
int64_t kz_decoder_frames(const kz_decoder *decoder);
int64_t kz_decoder_errors(const kz_decoder *decoder);

#endif
