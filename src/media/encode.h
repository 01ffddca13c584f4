/* Frames to the packets of the output's video stream. Not thread-safe. */
#ifndef KZ_MEDIA_ENCODE_H
#define KZ_MEDIA_ENCODE_H

#include "media/choice.h"
#include "media/frame.h"
#include "media/packet.h"

typedef struct kz_encoder kz_encoder;

typedef struct kz_encoder_params {
    const char *codec;       /* a libavcodec encoder: "libx265" */
    const char *preset;      /* the encoder's own preset, or NULL */
    double crf;              /* constant quality in the encoder's units (its crf or cq option),
                              * < 0: its default */
    const char *x265_params; /* key=value:key=value, or NULL; libx265 only */
    int threads;        /* 0: the encoder's choice; for libx265 the size of its pool, 0: as many
                         * as there are processors for this process */
    int frame_threads;  /* frames that are encoded at a time, on which the result depends; 0:
                         * the encoder's choice */
    bool global_header; /* kz_output_needs_global_header() */
    kz_choice choice;   /* what may be lost: captions, hdr10plus, dovi */
    bool strict;        /* what else it can't keep of a later frame is a failure */
    unsigned *told;     /* what the user knows to be lost, for encoders that follow each other; 0
                         * at first; NULL: this encoder is the only one */
    void *context;      /* a CUcontext, which outlives the encoder: an encoder of NVIDIA's runs on
                         * its GPU; NULL: on one that libav chooses */
} kz_encoder_params;

/* Only checks that the encoder exists and can take the pixel format. KZ_ERROR_USAGE with the
 * formats or the reason otherwise. */
int kz_encoder_check(const kz_encoder_params *params, const kz_video_format *format, kz_log *log);

/* How many frames the encoder works on at a time on a machine with so many processors. */
int kz_encoder_frame_threads(const char *codec, int processors);

/* x265 parameters that tell of the whole video, so that it can't be made of segments; NULL: none.
 * Points into `x265_params`, up to its '='. */
const char *kz_encoder_whole_param(const char *x265_params);

/* Its packets are things in memory that can't be kept in a file. */
bool kz_encoder_is_raw(const char *codec);

/* `format` describes the frames to come. `like` (may be NULL) is the first of them: colour tags,
 * HDR side data. Options that the encoder doesn't know are an error, not ignored; so is what it
 * can't keep of `like`, unless the choice drops it. In later frames that is a warning, once, or a
 * failure (`strict`). */
int kz_encoder_open(kz_encoder **encoder, const kz_encoder_params *params,
                    const kz_video_format *format, const kz_frame *like, kz_log *log);
void kz_encoder_close(kz_encoder **encoder);

/* Whether libavcodec's encoder of this name is NVENC. */
bool kz_encoder_is_nvenc(const char *name);

/* Whether this machine can encode so now: opens the encoder as for a film without colour tags, and
 * closes it. 0, or KZ_ERROR_FAILED, KZ_ERROR_USAGE or KZ_ERROR_MEMORY with why not in `why`, a
 * clause without a full stop (nothing is reported). Keeps no state: others may do the same at the
 * same time, and somebody else may take then what was free here (consumers' GPUs bear few
 * encoders). */
int kz_encoder_try(const kz_encoder_params *params, const kz_video_format *format, char *why,
                   size_t size);

/* Takes a frame (ownership in every case); NULL begins draining. 0 or KZ_ERROR_FAILED. */
int kz_encoder_send(kz_encoder *encoder, kz_frame *frame);

/* 0, KZ_AGAIN, KZ_END (drained) or KZ_ERROR_FAILED. */
int kz_encoder_receive(kz_encoder *encoder, kz_packet **packet);

#endif
