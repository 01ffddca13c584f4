/* A few pieces of a film through decoder, network, encoder and check, to tell from them what all of
 * it will take. Where whole pictures would take too long, a part of each is enlarged and encoded,
 * a different part in each piece: time and size go with the area. */
#ifndef KZ_JOB_SAMPLE_H
#define KZ_JOB_SAMPLE_H

#include "job/job.h"
#include "job/probe.h"

typedef struct kz_sample_params {
    const kz_job_options *options;
    const char *input, *output;
    const atomic_bool *stop;
    const kz_engine *engine;
    kz_video_format in, out;
    kz_encoder_params encoder;
    kz_upscaler *upscaler;  /* of whole pictures, to learn what reuse leaves to compute */
    double network_seconds; /* that a whole picture takes */
    int64_t frames;         /* of the run, 0: unknown; then all pieces are of its beginning */
} kz_sample_params;

typedef struct kz_sample {
    int frames;      /* that were enlarged and encoded */
    double share;    /* of the picture's area that was */
    double computed; /* of whole pictures' pixels, by the network, after a segment's beginning */
    kz_cost decode;  /* a frame, as the next two; whole pictures */
    kz_cost encode;  /* of a part of the picture the seconds can't be told: 0 */
    kz_cost check;   /* on one thread; zero where nothing is checked */
    double first;    /* bytes of a video's first frame, and the mean of those after it */
    double other;
    double copied; /* bytes of the other streams for each frame */
} kz_sample;

/* 0, KZ_ERROR_CANCELLED, KZ_ERROR_USAGE (the encoder refuses what it was told), KZ_ERROR_FAILED (no
 * frame to decode, and as in a run) or KZ_ERROR_MEMORY; reported. */
int kz_sample_take(kz_sample *sample, const kz_sample_params *params, kz_log *log);

#endif
