/* The stages. Each runs on a thread of its own until its input ends, something fails, or the
 * rings are stopped; its thread function returns nothing: the outcome is in the shared state. */
#ifndef KZ_PIPELINE_STAGES_H
#define KZ_PIPELINE_STAGES_H

#include <pthread.h>

#include "base/ring.h"
#include "pipeline/made.h"
#include "pipeline/pipeline.h"

typedef struct kz_line {
    const kz_pipeline_params *params;
    kz_log *log;
    kz_ring *decoded, *upscaled, *encoded; /* the last for the check */
    kz_form *form;                         /* of the encoder, from its first frame on */
    kz_checker *checker; /* opened with the encoder, before the first packet is in the ring */
    kz_frame *like;      /* the run's first upscaled frame without samples */
    unsigned told;       /* what the user knows that encoders can't keep: encode.h */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a stage ended */
    /* ---- protected by lock ---- */
    int error;               /* of the first stage that failed */
    int running;             /* stages that haven't ended */
    double ended[KZ_STAGES]; /* seconds after the start, 0 while running */
    int64_t frames[KZ_STAGES];
    int64_t packets, bytes; /* of video made */
    int64_t kept;           /* frames that an earlier run had computed */
    kz_reuse_stats reuse;
    double media_time;
    int64_t damaged;
} kz_line;

void kz_stage_decode(kz_line *line);
void kz_stage_upscale(kz_line *line);
void kz_stage_encode(kz_line *line);
void kz_stage_check(kz_line *line);

/* Notes the first failure and stops everything. KZ_CLOSED is nobody's failure: it says that another
 * stage has failed. */
void kz_line_fail(kz_line *line, int error);

/* A stage has finished a frame. */
void kz_line_count(kz_line *line, enum kz_stage stage);

/* What of the pictures so far was computed. */
void kz_line_note_reuse(kz_line *line, const kz_reuse_stats *stats);

/* A frame needn't be computed again. */
void kz_line_count_kept(kz_line *line);

#endif
