/* What a job would take, without doing it: docs/plan.md. */
#ifndef KZ_JOB_ESTIMATE_H
#define KZ_JOB_ESTIMATE_H

#include "job/encoder.h"
#include "job/probe.h"

typedef struct kz_estimate_params {
    const kz_job_options *options;
    const kz_dirs *dirs;
    const char *input;  /* a file: what is read of a pipe would be missing in the run */
    const char *output; /* as for the job; nothing is made there */
    const atomic_bool *stop;
} kz_estimate_params;

/* Of one frame, where a stage has the machine for itself. All zero: there is no such stage. */
typedef kz_cost kz_stage_cost;

typedef struct kz_estimate {
    char *described; /* the input, for people */
    kz_video_format in, out;
    kz_encoder_params encoder;               /* its strings are the options', or static */
    char encoder_note[KZ_ENCODER_NOTE_SIZE]; /* as kz_job_choose_encoder() has it */
    char *model;
    char model_note[KZ_MODEL_NOTE_SIZE]; /* as in kz_engine */
    char *device;                        /* for people */
    enum kz_precision precision;
    kz_stage_cost stage[KZ_STAGES];
    enum kz_stage bottleneck; /* what the others wait for, or what takes most of the processors */
    int processors;
    double startup;           /* seconds until the first frame can be read */
    double seconds_per_frame; /* with all stages at once */
    double bytes_per_frame;
    int64_t frames;       /* 0: the container doesn't tell, and the next three are 0 too */
    double media_seconds; /* that they last; 0 also where their rate is unknown */
    double seconds;
    int64_t bytes; /* of the output */
    kz_memory memory;
    double computed; /* of the pixels, by the network: what reuse leaves */
    double probed;   /* seconds that this took */
    int sampled;     /* frames that were enlarged and encoded for it */
    double share;    /* of each picture that was */
} kz_estimate;

/* A pipe would be read empty: KZ_ERROR_USAGE, reported. A file that isn't there is left to opening
 * it. */
int kz_estimate_check_input(const char *path, kz_log *log);

/* Opens everything as the job would but the output, runs pieces of it, and computes. Returns 0,
 * what the job would return where it can't be done, or KZ_ERROR_USAGE (an input that isn't a file);
 * reported. kz_estimate_close() in any case. */
int kz_estimate_make(kz_estimate *estimate, const kz_estimate_params *params, kz_log *log);
void kz_estimate_close(kz_estimate *estimate);

#endif
