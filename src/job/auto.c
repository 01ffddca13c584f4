#include "job/auto.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "model/registry.h"

#define SMALL "kizuna-s-clean"
#define LARGE "kizuna-m-clean"
#define ON_GPU "anime-6b"

/* The picture that is timed: so many rows for each thread keep it busy, and none waits long. */
enum { PROBE_WIDTH = 640, PROBE_ROWS = 48, MOST_RUNS = 3 };

/* After which no further run is begun. */
#define PROBE_SECONDS 0.1

/* Of an input that doesn't tell its own. */
#define USUAL_RATE 24.0

static int open_model(kz_engine *engine, const char *name, const kz_dirs *dirs, kz_log *log)
{
    kz_model_close(&engine->model);
    return kz_model_open(&engine->model, name, dirs->path, dirs->count, log);
}

/* ---- on a GPU ---- */

static int open_on_gpu(kz_engine *engine, const kz_dirs *dirs, kz_log *log)
{
    kz_model_info *infos;
    bool installed = false;
    int count, error = kz_registry_list(&infos, &count, dirs->path, dirs->count, log);
    if (error)
        return error;
    for (int i = 0; i < count; i++)
        installed |= infos[i].installed && strcmp(infos[i].name, ON_GPU) == 0;
    kz_registry_free(&infos, count);
    snprintf(engine->model_note, sizeof(engine->model_note), " (auto: on a GPU%s)",
             installed ? "" : ", where " ON_GPU " isn't installed");
    return open_model(engine, installed ? ON_GPU : LARGE, dirs, log);
}

/* ---- on a CPU ---- */

static int lesser(int a, int b)
{
    return a < b ? a : b;
}

/* The fastest of a few runs on a picture without a feature, which takes as long as any. */
static int time_runs(double *seconds, kz_upscaler *upscaler, const kz_picture *in,
                     const kz_picture *out)
{
    const double first = kz_now();
    int error = 0;
    for (int i = 0; i < MOST_RUNS && !error && (!i || kz_now() - first < PROBE_SECONDS); i++) {
        const double began = kz_now();
        error = kz_upscaler_run(upscaler, in, out);
        const double passed = kz_now() - began;
        *seconds = !i || passed < *seconds ? passed : *seconds;
    }
    return error;
}

static int time_picture(double *seconds, kz_upscaler *upscaler, const kz_video_format *in,
                        const kz_video_format *out, kz_log *log)
{
    const kz_video_format *formats[] = {in, out};
    kz_picture pictures[2] = {0};
    int error = 0;
    for (int i = 0; i < 2 && !error; i++) {
        const size_t width = (size_t)formats[i]->width, height = (size_t)formats[i]->height;
        const int bytes = formats[i]->depth > 8 ? 2 : 1;
        pictures[i].planes = 1;
        pictures[i].plane[0] = (kz_plane){.data = kz_alloc(width * height, (size_t)bytes),
                                          .stride = (ptrdiff_t)width * bytes,
                                          .width = formats[i]->width,
                                          .height = formats[i]->height,
                                          .bytes = bytes,
                                          .depth = formats[i]->depth};
        error = pictures[i].plane[0].data ? 0 : kz_fail_memory(log, "a picture");
    }
    if (!error)
        error = time_runs(seconds, upscaler, &pictures[0], &pictures[1]);
    kz_free(pictures[0].plane[0].data);
    kz_free(pictures[1].plane[0].data);
    return error;
}

/* Seconds that the network, once, takes for each of the input's pixels. */
static int time_pixel(double *seconds, const kz_engine *engine, const kz_job_options *options,
                      const kz_video_format *in, kz_log *log)
{
    kz_job_options plain = *options;
    kz_video_format from = *in, to;
    kz_upscaler *upscaler = NULL;
    plain.reuse = "off";
    plain.tile = plain.columns = 0;
    from.planes = 1;
    from.width = lesser(in->width, PROBE_WIDTH);
    from.height = lesser(in->height, PROBE_ROWS * engine->backend->threads(engine->device));
    to = from;
    to.width *= engine->model->info.scale;
    to.height *= engine->model->info.scale;
    int error = kz_engine_upscaler(&upscaler, engine, &plain, &from, &to, NULL, log);
    if (!error)
        error = time_picture(seconds, upscaler, &from, &to, log);
    kz_upscaler_close(&upscaler);
    *seconds /= (double)from.width * from.height;
    return error;
}

/* How often the work of one run a pixel of the input takes. */
static double runs_a_pixel(const kz_engine *engine, const kz_video_format *in,
                           const kz_video_format *out)
{
    const kz_model_use use =
        kz_model_use_for(engine->model, in->width, in->height, out->width, out->height);
    return kz_graph_macs(use.graph) / kz_graph_macs(engine->model->graph);
}

static int open_on_cpu(kz_engine *engine, const kz_job_options *options, const kz_video_format *in,
                       const kz_dirs *dirs, kz_log *log)
{
    const double wanted =
        in->frame_rate.num > 0 ? (double)in->frame_rate.num / in->frame_rate.den : USUAL_RATE;
    kz_video_format out;
    double seconds = 0;
    int error = open_model(engine, LARGE, dirs, log);
    if (!error)
        error = kz_job_out_format(&out, in, options, kz_model_most_scale(engine->model), log);
    if (!error)
        error = time_pixel(&seconds, engine, options, in, log);
    if (error)
        return error;
    seconds *= runs_a_pixel(engine, in, &out) * in->width * in->height;
    const bool fast = seconds * wanted <= 1;
    snprintf(engine->model_note, sizeof(engine->model_note),
             fast ? " (auto: %.3g fps of %.3g without reuse)"
                  : " (auto: " LARGE " would make %.3g fps of %.3g)",
             1 / seconds, wanted);
    return fast ? 0 : open_model(engine, SMALL, dirs, log);
}

int kz_auto_open(kz_engine *engine, const kz_job_options *options, const kz_video_format *in,
                 const kz_dirs *dirs, kz_log *log)
{
    if (engine->backend == &kz_backend_cpu)
        return open_on_cpu(engine, options, in, dirs, log);
    if (engine->backend != &kz_backend_reference)
        return open_on_gpu(engine, dirs, log);
    snprintf(engine->model_note, sizeof(engine->model_note), " (auto: the smallest)");
    return open_model(engine, SMALL, dirs, log);
}
