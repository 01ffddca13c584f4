/* The line from input to output, and the only place that knows its order:
 *
 *   read + decode ──▶ ring ──▶ upscale ──▶ ring ──▶ encode + write ──▶ ring ──▶ check
 *        └─ copied packets ──▶ output's own queue ──────┘
 *
 * A thread owns each of the four boxes; the check decodes what the encoder made. Each is receive,
 * work, send. End of file travels forward through the rings; whoever fails has reported why, and
 * stops both rings, so that the others end at once. Copied packets don't pass the rings: the
 * encoder holds frames back, and a bounded queue shared with it could fill up with sound and stop
 * everything.
 *
 * A run of segments opens an encoder for each; its packets end in the check's box, which puts them
 * into the segment's file. When all are finished a second pass, on the calling thread, joins them
 * with the input's other streams. */
#ifndef KZ_PIPELINE_PIPELINE_H
#define KZ_PIPELINE_PIPELINE_H

#include <stdatomic.h>

#include "media/decode.h"
#include "media/encode.h"
#include "media/input.h"
#include "media/output.h"
#include "media/sketch.h"
#include "pipeline/journal.h"
#include "upscale/upscaler.h"

/* Bounds of each of the two rings. A few frames even out the stages; more would only delay what an
 * encoder with a look-ahead keeps anyway. A larger frame passes alone. */
#define KZ_RING_FRAMES 3
#define KZ_RING_BYTES ((size_t)256 << 20)

/* Decoded frames under way at a time: in the ring, one before and two behind it, and the run's
 * first one. */
#define KZ_DECODED_FRAMES (KZ_RING_FRAMES + 4)

/* Bounds of the ring of packets between encoder and check. */
#define KZ_RING_PACKETS 64
#define KZ_RING_PACKET_BYTES ((size_t)64 << 20)

enum kz_stage { KZ_STAGE_DECODE, KZ_STAGE_UPSCALE, KZ_STAGE_ENCODE, KZ_STAGE_CHECK, KZ_STAGES };

typedef struct kz_stage_times {
    double busy;    /* seconds at work */
    double waited;  /* seconds waiting for a frame to come or to be taken */
    int64_t frames; /* finished */
} kz_stage_times;

/* What stands at one moment. */
typedef struct kz_progress {
    double seconds; /* since the start */
    kz_stage_times stage[KZ_STAGES];
    int64_t packets;   /* video packets written */
    int64_t bytes;     /* output bytes made */
    double media_time; /* seconds of the output that are encoded */
    int64_t damaged;   /* packets that couldn't be decoded */
    int64_t before;    /* frames that an earlier run had finished, in no other count here */
    kz_reuse_stats reuse;
    int64_t kept;     /* frames of an earlier run's unfinished segments that weren't lost */
    int64_t expected; /* frames, as far as the container tells; 0 unknown */
    double finishing; /* seconds to write the end, read everything back and sync */
} kz_progress;

typedef struct kz_pipeline_params {
    /* All outlive the run; the stages use them alone while it lasts. */
    kz_input *input;
    kz_decoder *decoder;
    kz_upscaler *upscaler;
    kz_output *output;
    kz_encoder_params encoder;
    kz_video_format out_format;
    int64_t max_frames; /* 0: all */
    /* A run of segments: what is finished lies in the journal, and at the end everything is put
     * together from there and from `source`, the same file as `input`, opened for reading from the
     * beginning; `output` was opened for it. NULL: packets go to the output as they are made. */
    kz_journal *journal;
    kz_input *source;
    int64_t frames_before; /* of the journal's finished segments; the decoder stands behind them */
    const kz_frame *first; /* if so: what the input's first frame is like */
    kz_sketch *reuse_map;  /* where what was computed is drawn; NULL: nowhere */
    double spool_seconds;  /* a frame that takes as long to compute is kept until its segment is */
    bool strict;           /* a damaged or cut input is a failure, and so is what the encoder can't
                            * keep of a frame */
    bool check;            /* decode what the encoder makes */
    atomic_bool *stop;     /* set from outside to cancel; set by a stage that fails. The input and
                            * the upscaler must have been opened with the same flag. */
    /* Called on the calling thread a few times a second. */
    void (*progress)(void *context, const kz_progress *progress);
    void *context;
} kz_pipeline_params;

/* Lets the upscaler's device copy faster from and to frames; it outlives them. */
kz_block_watch kz_pipeline_watch(kz_upscaler *upscaler);

/* Runs to the end: decoder and encoder drained, the output finished under its final name. Returns
 * 0, KZ_ERROR_CANCELLED, or the failing stage's code (reported). *last is filled in any case. */
int kz_pipeline_run(const kz_pipeline_params *params, kz_progress *last, kz_log *log);

/* Threads that the check decodes on. */
int kz_check_threads(void);

#endif
