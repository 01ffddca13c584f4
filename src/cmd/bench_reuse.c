/* What reuse saves and costs: every frame of a clip with it and without, in turns. */
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/thread.h"
#include "cmd/bench.h"
#include "job/probe.h"
#include "model/registry.h"

struct reuse_bench {
    const kz_bench_options *options;
    const char *clip;
    kz_log *log;
    kz_job_options job;
    kz_engine engine;
    kz_input *input;
    kz_decoder *decoder;
    kz_upscaler *full, *reusing;
    kz_frame_pool *pool;
    kz_video_format out_format;
    /* ---- over all frames ---- */
    int frames;
    double seconds, full_seconds, squares, worst;
};

struct frame_figures {
    double share, seconds, full_seconds;
    double square; /* mean square error; the largest code value is 1 */
};

static double decibels(double square)
{
    return square > 0 ? fmin(-10 * log10(square), 999) : 999; /* equal: no number in JSON either */
}

/* Mean square difference of the luma planes. */
static double square_of(const kz_plane *a, const kz_plane *b)
{
    const kz_levels levels = {0, (float)((1 << a->depth) - 1)};
    double sum = 0;
    float one[64], other[64];
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x += 64) {
            const int count = a->width - x < 64 ? a->width - x : 64;
            kz_levels_load(levels, a, x, y, count, one);
            kz_levels_load(levels, b, x, y, count, other);
            for (int i = 0; i < count; i++)
                sum += (double)(one[i] - other[i]) * (one[i] - other[i]);
        }
    return sum / ((double)a->width * a->height);
}

static int time_run(kz_upscaler *upscaler, const kz_frame *in, const kz_frame *out, double *seconds)
{
    const double began = kz_now();
    const kz_picture from = kz_frame_picture(in), to = kz_frame_picture(out);
    const int error = kz_upscaler_run(upscaler, &from, &to);
    *seconds = kz_now() - began;
    return error;
}

static int measure(struct reuse_bench *b, const kz_frame *in, struct frame_figures *f)
{
    kz_frame *full = NULL, *reused = NULL;
    const kz_reuse_stats before = kz_upscaler_get_stats(b->reusing);
    int error = kz_frame_pool_get(b->pool, &full, in);
    if (!error)
        error = kz_frame_pool_get(b->pool, &reused, in);
    if (!error)
        error = time_run(b->full, in, full, &f->full_seconds);
    if (!error)
        error = time_run(b->reusing, in, reused, &f->seconds);
    if (!error) {
        const kz_reuse_stats after = kz_upscaler_get_stats(b->reusing);
        const kz_picture one = kz_frame_picture(reused), other = kz_frame_picture(full);
        f->share = (after.computed_pixels - before.computed_pixels) /
                   (after.all_pixels - before.all_pixels);
        f->square = square_of(&one.plane[0], &other.plane[0]);
    }
    kz_frame_close(&full);
    kz_frame_close(&reused);
    return error;
}

static void report_frame(struct reuse_bench *b, const struct frame_figures *f)
{
    b->seconds += f->seconds;
    b->full_seconds += f->full_seconds;
    b->squares += f->square;
    b->worst = f->square > b->worst ? f->square : b->worst;
    if (b->options->json)
        printf("{\"frame\":%d,\"computed\":%.4f,\"seconds\":%.4f,\"full_seconds\":%.4f,"
               "\"psnr\":%.2f}\n",
               b->frames, f->share, f->seconds, f->full_seconds, decibels(f->square));
    else
        printf("frame %5d  %5.1f %% computed  %8.4f s  %8.4f s without  %6.2f dB\n", b->frames,
               100 * f->share, f->seconds, f->full_seconds, decibels(f->square));
    fflush(stdout);
    b->frames++;
}

static void report(const struct reuse_bench *b)
{
    const kz_reuse_stats s = kz_upscaler_get_stats(b->reusing);
    const double share = kz_reuse_share(&s), checked = kz_reuse_error(&s);
    const double cells = s.cells ? (double)s.new_cells / (double)s.cells : 1;
    const double mean = decibels(b->squares / b->frames), worst = decibels(b->worst);
    if (b->options->json)
        printf("{\"frames\":%d,\"computed\":%.4f,\"new_cells\":%.4f,\"seconds\":%.3f,"
               "\"full_seconds\":%.3f,\"speedup\":%.3f,\"psnr\":%.2f,\"worst_psnr\":%.2f,"
               "\"checked_cells\":%lld,\"checked_error\":%.3f,\"checked_worst\":%.3f}\n",
               b->frames, share, cells, b->seconds, b->full_seconds, b->full_seconds / b->seconds,
               mean, worst, (long long)s.checked_cells, checked, s.worst_error);
    else
        printf("%d frames: %.1f %% of the pixels computed (%.1f %% of the cells were new), %.3f s, "
               "%.3f s without: %.2f times as fast\n"
               "to the full network %.2f dB, the worst frame %.2f dB; %lld cells checked, off by "
               "%.2f of 255 on average, %.2f at most\n",
               b->frames, 100 * share, 100 * cells, b->seconds, b->full_seconds,
               b->full_seconds / b->seconds, mean, worst, (long long)s.checked_cells, checked,
               s.worst_error);
}

static int open_upscalers(struct reuse_bench *b)
{
    const kz_video_format *in = kz_decoder_format(b->decoder);
    kz_job_options full = b->job;
    full.reuse = "off";
    int error = kz_job_out_format(&b->out_format, in, &b->job, kz_model_most_scale(b->engine.model),
                                  b->log);
    if (!error)
        error = kz_engine_upscaler(&b->full, &b->engine, &full, in, &b->out_format, NULL, b->log);
    if (!error)
        error =
            kz_engine_upscaler(&b->reusing, &b->engine, &b->job, in, &b->out_format, NULL, b->log);
    return error ? error : kz_frame_pool_open(&b->pool, &b->out_format, b->log);
}

static int open_bench(struct reuse_bench *b, const kz_dirs *dirs)
{
    const kz_input_params input = {.path = b->clip};
    const kz_decoder_params decoder = {0};
    int error = kz_input_open(&b->input, &input, b->log);
    if (!error)
        error = kz_decoder_open(&b->decoder, b->input, &decoder, b->log);
    if (!error)
        error = kz_engine_open(&b->engine, &b->job, kz_decoder_format(b->decoder), dirs, b->log);
    return error ? error : open_upscalers(b);
}

static void close_bench(struct reuse_bench *b)
{
    kz_frame_pool_close(&b->pool);
    kz_upscaler_close(&b->full);
    kz_upscaler_close(&b->reusing);
    kz_decoder_close(&b->decoder);
    kz_engine_close(&b->engine);
    kz_input_close(&b->input);
}

static int run_frames(struct reuse_bench *b)
{
    int error = 0;
    while (!error && b->frames < b->options->frames) {
        kz_frame *frame = NULL;
        struct frame_figures figures = {0};
        int count = 0;
        error = kz_probe_decode(b->input, b->decoder, &frame, 1, &count, NULL);
        if (error || !count)
            break;
        error = measure(b, frame, &figures);
        if (!error)
            report_frame(b, &figures);
        kz_frame_close(&frame);
    }
    if (!error && !b->frames)
        error = kz_input_has_no_frame(b->input);
    return error;
}

int kz_bench_reuse(const kz_bench_options *options, const char *clip, const kz_dirs *dirs,
                   kz_log *log)
{
    struct reuse_bench b = {.options = options, .clip = clip, .log = log};
    kz_bench_job_options(&b.job, options);
    int error = open_bench(&b, dirs);
    if (!error)
        kz_bench_print_engine(options, &b.engine);
    if (!error)
        error = run_frames(&b);
    if (!error)
        report(&b);
    close_bench(&b);
    return error;
}
