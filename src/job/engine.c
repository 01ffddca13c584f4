#include "job/job.h"

#include <stdio.h>
#include <string.h>

#include "job/auto.h"
#include "model/registry.h"

static enum kz_cpu_level wanted_level(const kz_job_options *options)
{
    return options->cpu_level ? (enum kz_cpu_level)(options->cpu_level - 1) : KZ_CPU_AMX;
}

/* `near` is the model's tolerance. */
static int parse_reuse(enum kz_reuse_mode *mode, double *tolerance, const char *text, int near,
                       kz_log *log)
{
    char end;
    *tolerance = near;
    *mode = KZ_REUSE_EXACT;
    if (!text || strcmp(text, "exact") == 0)
        return 0;
    *mode = KZ_REUSE_OFF;
    if (strcmp(text, "off") == 0)
        return 0;
    *mode = KZ_REUSE_NEAR;
    if (strcmp(text, "near") == 0 ||
        (sscanf(text, "near=%lf%c", tolerance, &end) == 1 && *tolerance >= 0 && *tolerance <= 64))
        return 0;
    return kz_fail(log, KZ_ERROR_USAGE,
                   "--reuse: '%s' is none of off, exact, near and near=T with T from 0 to 64",
                   text);
}

static int open_device(kz_engine *engine, const kz_job_options *options, kz_log *log)
{
    kz_found_device found;
    int error = kz_device_find(&found, options->device, log);
    if (error)
        return error;
    const kz_device_params params = {
        .threads = options->threads, .level = wanted_level(options), .index = found.index};
    engine->backend = found.backend;
    memcpy(engine->note, found.note, sizeof(engine->note));
    return engine->backend->open(&engine->device, &params, log);
}

/* A model that is named comes first: it is refused more cheaply than a device is opened. */
static int open_both(kz_engine *engine, const kz_job_options *options, const kz_video_format *in,
                     const kz_dirs *dirs, kz_log *log)
{
    const bool choose = strcmp(options->model, KZ_AUTO) == 0;
    int error =
        choose ? 0 : kz_model_open(&engine->model, options->model, dirs->path, dirs->count, log);
    if (!error)
        error = open_device(engine, options, log);
    if (!error && choose)
        error = kz_auto_open(engine, options, in, dirs, log);
    return error;
}

int kz_engine_open(kz_engine *engine, const kz_job_options *options, const kz_video_format *in,
                   const kz_dirs *dirs, kz_log *log)
{
    enum kz_reuse_mode mode;
    double tolerance;
    *engine = (kz_engine){0};
    int error = parse_reuse(&mode, &tolerance, options->reuse, 0, log);
    if (!error)
        error = open_both(engine, options, in, dirs, log);
    if (error)
        kz_engine_close(engine);
    return error;
}

void kz_engine_close(kz_engine *engine)
{
    if (engine->backend)
        engine->backend->close(&engine->device);
    kz_model_close(&engine->model);
}

static kz_upscale_side side_of(const kz_video_format *f)
{
    return (kz_upscale_side){.width = f->width,
                             .height = f->height,
                             .planes = f->planes,
                             .shift_x = f->shift_x,
                             .shift_y = f->shift_y,
                             .depth = f->depth,
                             .full_range = f->full_range,
                             .site = f->site};
}

/* The network in bf16 must be as near to fp32 as this, in dB, to be chosen without being asked for:
 * where a GPU is, fp16 is chosen, which has three bits more. */
enum { LEAST_BF16 = 55 };

static enum kz_precision precision_of(const kz_engine *engine, const kz_job_options *options)
{
    const enum kz_precision asked = (enum kz_precision)options->precision;
    const bool rounds_to_bf16 = engine->backend == &kz_backend_cpu;
    return asked == KZ_PRECISION_AUTO && rounds_to_bf16 && engine->model->info.bf16 < LEAST_BF16
               ? KZ_PRECISION_FP32
               : asked;
}

static kz_model_use use_of(const kz_engine *engine, const kz_video_format *in,
                           const kz_video_format *out)
{
    return kz_model_use_for(engine->model, in->width, in->height, out->width, out->height);
}

int kz_engine_halo(const kz_engine *engine, const kz_job_options *options,
                   const kz_video_format *in, const kz_video_format *out)
{
    if (options->columns > 0)
        return options->tiles_halo;
    return options->halo >= 0 ? options->halo : use_of(engine, in, out).halo;
}

int kz_engine_upscaler(kz_upscaler **upscaler, const kz_engine *engine,
                       const kz_job_options *options, const kz_video_format *in,
                       const kz_video_format *out, const atomic_bool *cancel, kz_log *log)
{
    const kz_model_use use = use_of(engine, in, out);
    kz_upscaler_params params = {
        .backend = engine->backend,
        .device = engine->device,
        .graph = use.graph,
        .luma = in->luma,
        .in = side_of(in),
        .out = side_of(out),
        .precision = precision_of(engine, options),
        .tile = options->tile,
        .columns = options->columns,
        .rows = options->rows,
        .halo = kz_engine_halo(engine, options, in, out),
        .reuse_halo = options->halo >= 0 ? options->halo : use.near_halo,
        .network_tone = options->network_tone,
        .cancel = cancel,
    };
    int error = parse_reuse(&params.reuse, &params.reuse_tolerance, options->reuse,
                            engine->model->info.near, log);
    if (error)
        return error;
    return kz_upscaler_open(upscaler, &params, log);
}
