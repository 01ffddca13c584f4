#include "job/auto.h"

#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/thread.h"
#include "job/pace.h"
#include "model/registry.h"

#define SMALL "kizuna-s-clean"
#define LARGE "kizuna-m-clean"
#define ON_GPU "anime-6b"

/* The picture that is timed: so many rows for each thread keep it busy, and none waits long. */
enum { PROBE_WIDTH = 640, PROBE_ROWS = 48, MOST_RUNS = 8 };

/* After which no further run is begun. */
#define PROBE_SECONDS 0.1

/* A network that was too slow by less is timed again: what else the machine did then may have been
 * the reason. */
#define DISTURBED 2.0

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
             installed ? "" : "; better is " ON_GPU ", which scripts/fetch-models.sh fetches");
    return open_model(engine, installed ? ON_GPU : LARGE, dirs, log);
}

/* ---- on a CPU ---- */

/* The fastest of a few runs on a picture without a feature, which takes as long as any. What counts
 * is the processors' time, shared out evenly: by the clock such short runs take up to twice as
 * long, as the threads are often woken on one processor, and longer where others work. */
static int time_runs(double *seconds, kz_upscaler *upscaler, const kz_picture *in,
                     const kz_picture *out, int threads)
{
    const double first = kz_now();
    int error = 0;
    for (int i = 0; i < MOST_RUNS && !error && (!i || kz_now() - first < PROBE_SECONDS); i++) {
        const double began = kz_cpu_seconds();
        error = kz_upscaler_run(upscaler, in, out);
        const double passed = (kz_cpu_seconds() - began) / threads;
        *seconds = !i || passed < *seconds ? passed : *seconds;
    }
    return error;
}

static int open_plane(kz_picture *picture, const kz_video_format *format, kz_log *log)
{
    const size_t count = (size_t)format->width * (size_t)format->height;
    const int bytes = format->depth > 8 ? 2 : 1;
    picture->planes = 1;
    picture->plane[0] = (kz_plane){.data = kz_alloc(count, (size_t)bytes),
                                   .stride = (ptrdiff_t)format->width * bytes,
                                   .width = format->width,
                                   .height = format->height,
                                   .bytes = bytes,
                                   .depth = format->depth};
    return picture->plane[0].data ? 0 : kz_fail_memory(log, "a picture");
}

/* Seconds that the network, once, takes for each of the input's pixels. */
static int time_pixel(double *seconds, const kz_engine *engine, const kz_job_options *options,
                      const kz_video_format *in, kz_log *log)
{
    const int threads = engine->backend->threads(engine->device);
    kz_job_options plain = *options;
    kz_video_format from = *in, to;
    kz_picture pictures[2] = {0};
    kz_upscaler *upscaler = NULL;
    plain.reuse = "off";
    plain.tile = plain.columns = 0;
    plain.halo = -1;
    from.planes = 1;
    from.width = PROBE_WIDTH;
    from.height = PROBE_ROWS * threads;
    to = from;
    to.width *= engine->model->info.scale;
    to.height *= engine->model->info.scale;
    int error = kz_engine_upscaler(&upscaler, engine, &plain, &from, &to, NULL, log);
    if (!error)
        error = open_plane(&pictures[0], &from, log);
    if (!error)
        error = open_plane(&pictures[1], &to, log);
    if (!error)
        error = time_runs(seconds, upscaler, &pictures[0], &pictures[1], threads);
    kz_free(pictures[0].plane[0].data);
    kz_free(pictures[1].plane[0].data);
    kz_upscaler_close(&upscaler);
    *seconds /= (double)from.width * from.height;
    return error;
}

/* All that the time of a pixel depends on. */
static char *pace_key(const kz_engine *engine, const kz_job_options *options)
{
    const kz_backend *backend = engine->backend;
    char cpu[200];
    return kz_asprintf(
        "kizuna %s, %s, %s, %d threads, %s, %s", KZ_VERSION, kz_cpu_model(cpu, sizeof(cpu)),
        kz_cpu_level_name(backend->level(engine->device)), backend->threads(engine->device),
        kz_precision_name((enum kz_precision)options->precision), engine->model->digest);
}

/* The same, where `enough` is fast enough: timed where what is known doesn't answer that. */
static int find_pace(double *seconds, double enough, const kz_engine *engine,
                     const kz_job_options *options, const kz_video_format *in, kz_log *log)
{
    char *key = pace_key(engine, options);
    if (!key)
        return kz_fail_memory(log, "a time");
    const double known = kz_pace_known(key);
    int error = 0;
    *seconds = known;
    if (known <= 0 || (known > enough && known < DISTURBED * enough)) {
        error = time_pixel(seconds, engine, options, in, log);
        if (!error && (known <= 0 || *seconds < known))
            kz_pace_keep(key, *seconds);
        else
            *seconds = known;
    }
    kz_free(key);
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
    const double rate =
        in->frame_rate.num > 0 ? (double)in->frame_rate.num / in->frame_rate.den : USUAL_RATE;
    kz_video_format out;
    double seconds = 0;
    int error = open_model(engine, LARGE, dirs, log);
    if (!error)
        error = kz_job_out_format(&out, in, options, kz_model_most_scale(engine->model), log);
    if (error)
        return error;
    /* A second, of which each run on each pixel has its share. */
    const double pixels = runs_a_pixel(engine, in, &out) * in->width * in->height;
    const double enough = 1 / (rate * pixels);
    error = find_pace(&seconds, enough, engine, options, in, log);
    if (error)
        return error;
    const bool fast = seconds <= enough;
    snprintf(engine->model_note, sizeof(engine->model_note),
             fast ? " (auto: %.3g fps of %.3g without reuse)"
                  : " (auto: " LARGE " would make %.3g fps of %.3g)",
             1 / (seconds * pixels), rate);
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
