#include "job/job.h"

#include "model/registry.h"

static enum kz_cpu_level wanted_level(const kz_job_options *options)
{
    return options->cpu_level ? (enum kz_cpu_level)(options->cpu_level - 1) : KZ_CPU_AMX;
}

int kz_engine_open(kz_engine *engine, const kz_job_options *options, const kz_dirs *dirs,
                   kz_log *log)
{
    *engine = (kz_engine){.backend = kz_backend_by_name(kz_job_backend_name(options))};
    kz_device_params device = {.threads = options->threads, .level = wanted_level(options)};
    int error = kz_model_open(&engine->model, options->model, dirs->path, dirs->count, log);
    if (!error)
        error = engine->backend->open(&engine->device, &device, log);
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

int kz_engine_upscaler(kz_upscaler **upscaler, const kz_engine *engine,
                       const kz_job_options *options, const kz_video_format *in,
                       const kz_video_format *out, const atomic_bool *cancel, kz_log *log)
{
    kz_upscaler_params params = {
        .backend = engine->backend,
        .device = engine->device,
        .graph = engine->model->graph,
        .luma = in->luma,
        .in = side_of(in),
        .out = side_of(out),
        .precision = (enum kz_precision)options->precision,
        .tile = options->tile,
        .columns = options->columns,
        .rows = options->rows,
        .halo = options->halo >= 0 ? options->halo : engine->model->info.halo,
        .network_tone = options->network_tone,
        .cancel = cancel,
    };
    return kz_upscaler_open(upscaler, &params, log);
}
