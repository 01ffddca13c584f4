/* One job: an input file, an output file and the options, from opening to the finished file. */
#ifndef KZ_JOB_JOB_H
#define KZ_JOB_JOB_H

#include "job/device.h"
#include "job/dirs.h"
#include "job/memory.h"
#include "job/options.h"
#include "pipeline/pipeline.h"

typedef struct kz_job_params {
    const kz_job_options *options;
    const kz_dirs *dirs;
    const char *input;                                            /* path, or "-" */
    const char *output;                                           /* path, or "-" */
    atomic_bool *stop;                                            /* set from outside to cancel */
    void (*progress)(void *context, const kz_progress *progress); /* may be NULL */
    /* Told the path of the unfinished file, and NULL before it gets its final name or goes. */
    void (*unfinished)(void *context, const char *path);
    void *context;
} kz_job_params;

typedef struct kz_job_result {
    kz_progress progress; /* as it ended */
    size_t expected_memory;
    int out_width, out_height;
    int64_t computed_again; /* frames that an interrupted run had computed and lost, as far as it
                             * noted */
} kz_job_result;

/* Says what it will do (input, output, model, device, memory), does it, returns 0 or the first
 * failure's code, reported. */
int kz_job_run(const kz_job_params *params, kz_job_result *result, kz_log *log);

enum { KZ_MODEL_NOTE_SIZE = 96 };

/* The engine alone, as jobs and benchmarks use it. */
typedef struct kz_engine {
    const kz_backend *backend;
    kz_device *device;
    struct kz_model *model;
    char note[KZ_NOTE_SIZE]; /* as in kz_found_device */
    /* Why --model auto is this one, to follow a line; "": it was asked for. */
    char model_note[KZ_MODEL_NOTE_SIZE];
} kz_engine;

/* Loads the model and opens the device that the options name, for pictures of format `in`, on which
 * the choice of --model auto depends. */
int kz_engine_open(kz_engine *engine, const kz_job_options *options, const kz_video_format *in,
                   const kz_dirs *dirs, kz_log *log);
void kz_engine_close(kz_engine *engine);

/* Input pixels around a tile, for one pair of formats. */
int kz_engine_halo(const kz_engine *engine, const kz_job_options *options,
                   const kz_video_format *in, const kz_video_format *out);

/* The upscaler for one pair of formats. */
int kz_engine_upscaler(kz_upscaler **upscaler, const kz_engine *engine,
                       const kz_job_options *options, const kz_video_format *in,
                       const kz_video_format *out, const atomic_bool *cancel, kz_log *log);

/* The output's format for an input; a box is filled as far as a factor of `most_scale` goes. */
int kz_job_out_format(kz_video_format *out, const kz_video_format *in,
                      const kz_job_options *options, int most_scale, kz_log *log);

/* What a run will need. */
kz_memory kz_job_memory(const kz_job_options *options, const kz_upscaler *upscaler,
                        const kz_video_format *in, const kz_video_format *out,
                        const kz_encoder_params *encoder);

/* What happens to decoded frames; `format` and `path` are the output's. */
kz_filter_params kz_job_filter(const kz_job_options *options, const char *path);

/* How `path` is opened with these options. */
kz_input_params kz_job_input(const kz_job_options *options, const char *path,
                             const atomic_bool *stop);

#endif
