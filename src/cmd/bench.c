#include "cmd/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/reader.h"
#include "base/thread.h"
#include "cmd/bench_layers.h"
#include "cmd/commands.h"
#include "job/auto.h"
#include "job/describe.h"
#include "job/encoder.h"
#include "job/size.h"
#include "model/registry.h"

#define ROW(name_, letter_, type_, field_, ...)                      \
    {                                                                \
        .name = name_, .letter = letter_, .type = KZ_OPTION_##type_, \
        .offset = offsetof(kz_bench_options, field_), __VA_ARGS__    \
    }

/* clang-format off */
static const kz_option rows[] = {
    ROW("model", 'm', STRING, model, .metavar = "NAME|FILE", .initial = KZ_AUTO,
        .help = "network to time; auto: as in kizuna upscale"),
    ROW("size", 0, STRING, size, .metavar = "WxH", .initial = "854x480",
        .help = "size of the picture"),
    ROW("frames", 0, INT, frames, .least = 1, .most = 10000, .metavar = "N", .initial = "5",
        .help = "pictures that count, after one that doesn't; with a clip: its frames"),
    ROW("device", 'd', STRING, device, .metavar = "auto|cpu|reference|cuda[:N]", .initial = "auto",
        .help = "where the network runs"),
    ROW("precision", 0, CHOICE, precision, .choices = "auto|fp32|bf16|fp16|tf32", .initial = "auto",
        .help = "auto: bf16 where the CPU gains by it and the model bears it; fp16 and\n"
                "tf32: with CUDA alone"),
    ROW("tile", 't', INT, tile, .least = 0, .most = 8192, .metavar = "N", .initial = "0",
        .help = "largest tile, halo included; 0: by speed and memory"),
    ROW("halo", 0, INT, halo, .least = -1, .most = 512, .metavar = "N", .initial = "-1",
        .help = "pixels around a tile; -1: the model's measured one"),
    ROW("threads", 0, INT, threads, .least = 0, .most = 1024, .metavar = "N", .initial = "0",
        .help = "0: one for each processor"),
    ROW("cpu-level", 0, CHOICE, cpu_level,
        .choices = "auto|baseline|avx2|avx512|avx512_bf16|amx", .initial = "auto",
        .help = "use no instructions beyond this level"),
    ROW("matrix", 0, CHOICE, matrix, .choices = "709|601", .initial = "709",
        .help = "luma weights that fold the network"),
    ROW("input", 'i', STRING, input, .metavar = "FILE",
        .help = "luma of one picture, fp32 in [0,1], row by row, instead of a synthetic one"),
    ROW("dump", 0, STRING, dump, .metavar = "FILE",
        .help = "write the network's output, fp32, row by row"),
    ROW("reuse", 0, STRING, reuse, .metavar = "exact|near[=T]",
        .help = "over CLIP, frame by frame: the share computed, the speed, and the PSNR to\n"
                "computing everything"),
    ROW("stages", 0, STRING, stages, .metavar = "CLIP",
        .help = "time decoder, network and encoder over a clip, each alone"),
    ROW("scale", 's', STRING, scale, .metavar = "SIZE",
        .help = "as in kizuna upscale [with a clip 4k, else the network's own factor]"),
    ROW("encoder", 'e', STRING, encoder, .metavar = "NAME", .initial = KZ_ENCODER_AUTO,
        .help = "with --stages: the encoder; auto: as upscale chooses"),
    ROW("encoder-preset", 0, STRING, encoder_preset, .metavar = "NAME",
        .help = "with --stages: its preset"),
    ROW("layers", 0, FLAG, layers,
        .help = "time each layer, beside the peak and the bandwidth of the machine"),
    ROW("precisions", 0, FLAG, precisions,
        .help = "every precision the device has, each with its PSNR to fp32"),
    ROW("json", 0, FLAG, json, .help = "one line of JSON on stdout"),
    ROW("help", 'h', FLAG, help, .help = "this text"),
};
/* clang-format on */

static const kz_option_table table = {rows, (int)(sizeof(rows) / sizeof(rows[0]))};

void kz_bench_job_options(kz_job_options *job, const kz_bench_options *o)
{
    *job = (kz_job_options){.model = o->model,
                            .device = o->device,
                            .precision = o->precision,
                            .tile = o->tile,
                            .halo = o->halo,
                            .threads = o->threads,
                            .cpu_level = o->cpu_level,
                            .scale = o->scale ? o->scale : "4k",
                            .encoder = o->encoder,
                            .encoder_preset = o->encoder_preset,
                            .reuse = o->reuse ? o->reuse : "off",
                            /* A dump is for comparing the network itself. */
                            .network_tone = o->dump != NULL,
                            .crf = -1};
}

void kz_bench_print_engine(const kz_bench_options *options, const kz_engine *engine)
{
    if (options->json)
        return;
    printf("model    %s%s\n", engine->model->info.name, engine->model_note);
    printf("device   %s%s\n", engine->backend->describe(engine->device), engine->note);
}

/* ---- the picture ---- */

/* Waves, edges and a little of everything between; the same every time. */
static void fill_synthetic(float *luma, int width, int height)
{
    uint32_t state = 1;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            state = state * 1664525u + 1013904223u;
            float noise = (float)(state >> 16) / 65536 * 0.05f;
            float shape = ((x / 24 + y / 16) & 1) ? 0.75f : 0.2f;
            luma[(size_t)y * (size_t)width + (size_t)x] =
                shape + noise + 0.1f * (float)(x % 97) / 97;
        }
}

static int load_luma(float *luma, size_t count, const char *path, kz_log *log)
{
    kz_bytes bytes;
    int error = kz_file_read(&bytes, path, count * sizeof(*luma), log);
    if (error)
        return error;
    if (bytes.size != count * sizeof(*luma))
        error = kz_fail(log, KZ_ERROR_FAILED, "%s: %zu bytes, not the %zu of that size", path,
                        bytes.size, count * sizeof(*luma));
    else
        memcpy(luma, bytes.data, bytes.size);
    kz_free(bytes.data);
    return error;
}

static int dump_luma(const kz_plane *plane, const char *path, kz_log *log)
{
    size_t count = (size_t)plane->width * (size_t)plane->height;
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(plane->data, sizeof(float), count, file) == count;
    if (file && fclose(file))
        written = false;
    return written ? 0 : kz_fail(log, KZ_ERROR_FAILED, "%s: cannot write", path);
}

/* ---- timing ---- */

struct bench {
    const kz_bench_options *options;
    kz_log *log;
    kz_engine engine;
    kz_upscaler *upscaler;
    kz_plane in, out;
    double *seconds; /* per counted run, sorted */
    kz_roofline roofline;
    double psnr_to_fp32; /* 0: not compared */
};

static int parse_size(int *width, int *height, const char *text, kz_log *log)
{
    char end;
    if (sscanf(text, "%5dx%5d%c", width, height, &end) == 2 && *width >= 1 && *height >= 1 &&
        *width <= 8192 && *height <= 8192)
        return 0;
    return kz_fail(log, KZ_ERROR_USAGE, "--size: '%s' is not WxH up to 8192x8192", text);
}

static kz_plane float_plane(int width, int height)
{
    return (kz_plane){.data = kz_alloc((size_t)width * (size_t)height, sizeof(float)),
                      .stride = (ptrdiff_t)width * (ptrdiff_t)sizeof(float),
                      .width = width,
                      .height = height,
                      .bytes = 4,
                      .depth = 8};
}

static int open_bench(struct bench *b, const kz_dirs *dirs)
{
    static const kz_luma_weights weights[] = {{0.2126f, 0.7152f, 0.0722f},
                                              {0.299f, 0.587f, 0.114f}};
    const kz_bench_options *o = b->options;
    kz_job_options job;
    int width = 0, height = 0;
    kz_bench_job_options(&job, o);
    int error = parse_size(&width, &height, o->size, b->log);
    if (!o->scale)
        job.scale = "2"; /* once: what --model auto asks */
    kz_video_format in = {
        .width = width, .height = height, .depth = 8, .planes = 1, .luma = weights[o->matrix]};
    if (!error)
        error = kz_engine_open(&b->engine, &job, &in, dirs, b->log);
    if (error)
        return error;
    const kz_model *model = b->engine.model;
    kz_size size = {width * model->info.scale, height * model->info.scale};
    if (o->scale)
        error = kz_job_size(&size, o->scale, (kz_size){width, height}, kz_model_most_scale(model),
                            b->log);
    if (error)
        return error;
    kz_video_format out = in;
    out.width = size.width;
    out.height = size.height;
    b->in = float_plane(in.width, in.height);
    b->out = float_plane(out.width, out.height);
    b->seconds = kz_alloc((size_t)o->frames, sizeof(*b->seconds));
    if (!b->in.data || !b->out.data || !b->seconds)
        return kz_fail_memory(b->log, "the picture");
    if (o->input)
        error = load_luma(b->in.data, (size_t)width * (size_t)height, o->input, b->log);
    else
        fill_synthetic(b->in.data, width, height);
    if (!error)
        error = kz_engine_upscaler(&b->upscaler, &b->engine, &job, &in, &out, NULL, b->log);
    return error;
}

static void close_bench(struct bench *b)
{
    kz_upscaler_close(&b->upscaler);
    kz_engine_close(&b->engine);
    kz_free(b->in.data);
    kz_free(b->out.data);
    kz_free(b->seconds);
}

static int compare_seconds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the runs, so that both see the same machine. */
static void measure_machine(struct bench *b)
{
    const kz_backend *backend = b->engine.backend;
    kz_device *device = b->engine.device;
    enum kz_precision precision = kz_upscaler_get_info(b->upscaler).precision;
    double peak = backend->peak(device, precision, 0.05);
    double bandwidth = backend->bandwidth(device, 0.1);
    b->roofline.threads = backend->threads(device);
    b->roofline.peak = peak > b->roofline.peak ? peak : b->roofline.peak;
    b->roofline.bandwidth = bandwidth > b->roofline.bandwidth ? bandwidth : b->roofline.bandwidth;
}

static int time_runs(struct bench *b)
{
    kz_picture in = {.plane = {b->in}, .planes = 1}, out = {.plane = {b->out}, .planes = 1};
    int error = kz_upscaler_run(b->upscaler, &in, &out);
    for (int i = 0; i < b->options->frames && !error; i++) {
        double began = kz_now();
        error = kz_upscaler_run(b->upscaler, &in, &out);
        b->seconds[i] = kz_now() - began;
        if (b->options->layers && !error)
            measure_machine(b);
    }
    qsort(b->seconds, (size_t)b->options->frames, sizeof(*b->seconds), compare_seconds);
    return error;
}

struct figures {
    const char *precision;
    kz_upscaler_info upscaler;
    double median, least, most; /* seconds a frame */
    double gflops, gflops_with_halos;
};

static struct figures figures_of(const struct bench *b)
{
    const int frames = b->options->frames;
    const kz_upscaler_info u = kz_upscaler_get_info(b->upscaler);
    const double median = b->seconds[frames / 2];
    return (struct figures){.precision = kz_precision_name(u.precision),
                            .upscaler = u,
                            .median = median,
                            .least = b->seconds[0],
                            .most = b->seconds[frames - 1],
                            .gflops = 2e-9 * u.graph_macs * b->in.width * b->in.height / median,
                            .gflops_with_halos = 2e-9 * u.macs / median};
}

static int report_json(const struct bench *b)
{
    const struct figures f = figures_of(b);
    const kz_tiling *tiling = &f.upscaler.tiling;
    char *model = kz_json_string(b->engine.model->info.name);
    char *device = kz_json_string(b->engine.backend->describe(b->engine.device));
    if (model && device)
        printf("{\"model\":%s,\"width\":%d,\"height\":%d,\"precision\":\"%s\",\"device\":%s,"
               "\"seconds_per_frame\":%.6f,\"least\":%.6f,\"most\":%.6f,\"runs\":%d,"
               "\"gflops\":%.2f,\"gflops_with_halos\":%.2f,\"memory\":%zu,\"tiles\":%d,"
               "\"tile_width\":%d,\"tile_height\":%d",
               model, b->in.width, b->in.height, f.precision, device, f.median, f.least, f.most,
               b->options->frames, f.gflops, f.gflops_with_halos,
               f.upscaler.memory + f.upscaler.device_memory, kz_tiling_count(tiling),
               tiling->tile_width, tiling->tile_height);
    const bool whole = model && device;
    kz_free(model);
    kz_free(device);
    int error = whole ? 0 : kz_fail_memory(b->log, "the report");
    if (!error && b->options->layers)
        error = kz_bench_layers(b->upscaler, &b->roofline, true, b->log);
    if (!error && b->psnr_to_fp32 > 0)
        printf(",\"psnr_to_fp32\":%.2f", b->psnr_to_fp32);
    if (!error)
        printf("}\n");
    return error;
}

static int report(const struct bench *b)
{
    const struct figures f = figures_of(b);
    const kz_tiling *tiling = &f.upscaler.tiling;
    if (b->options->json)
        return report_json(b);
    printf("%s%s, %dx%d, %s, %s%s\n", b->engine.model->info.name, b->engine.model_note, b->in.width,
           b->in.height, f.precision, b->engine.backend->describe(b->engine.device),
           b->engine.note);
    printf("%.4f s/frame (%.4f to %.4f, %d runs), %.1f GFLOP/s (%.1f with halos), %.0f MiB, "
           "%d tiles of %dx%d\n",
           f.median, f.least, f.most, b->options->frames, f.gflops, f.gflops_with_halos,
           (double)(f.upscaler.memory + f.upscaler.device_memory) / (1 << 20),
           kz_tiling_count(tiling), tiling->tile_width, tiling->tile_height);
    return b->options->layers ? kz_bench_layers(b->upscaler, &b->roofline, false, b->log) : 0;
}

/* Peak signal 1: black to white. */
static double psnr(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return -10 * log10(sum / (double)count + 1e-30);
}

static size_t out_count(const struct bench *b)
{
    return (size_t)b->out.width * (size_t)b->out.height;
}

/* Both are open; `exact` ran in fp32. */
static int report_against(struct bench *b, const struct bench *exact)
{
    b->psnr_to_fp32 = psnr(b->out.data, exact->out.data, out_count(b));
    int error = report(b);
    if (!error && !b->options->json)
        printf("%.1f dB to fp32, %.2f times its speed\n", b->psnr_to_fp32,
               figures_of(exact).median / figures_of(b).median);
    return error;
}

/* Of a precision that the device lacks nothing is said: what it has was asked for. `auto` could be
 * another network in another precision. */
static int bench_against(const kz_bench_options *options, enum kz_precision precision,
                         const struct bench *exact, const kz_dirs *dirs)
{
    kz_bench_options one = *options;
    struct bench b = {.options = &one};
    one.precision = (int)precision;
    if (strcmp(one.model, KZ_AUTO) == 0)
        one.model = exact->engine.model->info.name;
    int error = open_bench(&b, dirs);
    const bool lacks = error == KZ_ERROR_USAGE;
    b.log = exact->log;
    if (error && !lacks)
        kz_fail(b.log, error, "%s can't be timed", kz_precision_name(precision));
    if (!error)
        error = time_runs(&b);
    if (!error)
        error = report_against(&b, exact);
    close_bench(&b);
    return lacks ? 0 : error;
}

static int bench_precisions(const kz_bench_options *options, const kz_dirs *dirs, kz_log *log)
{
    kz_bench_options fp32 = *options;
    struct bench exact = {.options = &fp32, .log = log};
    fp32.precision = KZ_PRECISION_FP32;
    int error = open_bench(&exact, dirs);
    if (!error)
        error = time_runs(&exact);
    if (!error)
        error = report(&exact);
    for (int i = KZ_PRECISION_FP32 + 1; i < KZ_PRECISIONS && !error; i++)
        error = bench_against(options, (enum kz_precision)i, &exact, dirs);
    close_bench(&exact);
    return error;
}

static int bench_network(const kz_bench_options *options, const kz_dirs *dirs, kz_log *log)
{
    struct bench b = {.options = options, .log = log};
    int error = open_bench(&b, dirs);
    if (!error)
        error = time_runs(&b);
    if (error == KZ_ERROR_FAILED && b.upscaler)
        kz_fail(log, error, "the network failed");
    if (!error)
        error = report(&b);
    if (!error && options->dump)
        error = dump_luma(&b.out, options->dump, log);
    close_bench(&b);
    return error;
}

/* ---- command ---- */

static int run(const kz_bench_options *options, const kz_dirs *dirs, int n_arguments,
               char *const *arguments, kz_log *log)
{
    if (options->reuse && strcmp(options->reuse, "off") == 0)
        return kz_fail(log, KZ_ERROR_USAGE, "--reuse off leaves nothing to time: exact or near");
    if (options->stages && (options->layers || options->precisions || options->dump))
        return kz_fail(log, KZ_ERROR_USAGE,
                       "--stages is of a clip: --layers, --precisions and --dump are of a picture");
    if (options->reuse && n_arguments == 1)
        return kz_bench_reuse(options, arguments[0], dirs, log);
    if (options->reuse)
        return kz_fail(log, KZ_ERROR_USAGE, "--reuse needs one clip: see kizuna bench --help");
    if (n_arguments)
        return kz_fail(log, KZ_ERROR_USAGE, "unexpected argument '%s': see kizuna bench --help",
                       arguments[0]);
    if (options->stages)
        return kz_bench_stages(options, dirs, log);
    return options->precisions ? bench_precisions(options, dirs, log)
                               : bench_network(options, dirs, log);
}

int kz_cmd_bench(int argc, char **argv, const kz_dirs *dirs)
{
    kz_bench_options options = {0};
    kz_log *log = NULL;
    int n_arguments = 0;
    char **arguments = kz_alloc((size_t)argc, sizeof(*arguments));
    int error = kz_cmd_open_log(&log);
    if (!error && (!arguments || kz_options_init(table, &options)))
        error = kz_fail_memory(log, "options");
    if (!error)
        error = kz_options_parse(table, &options, argc, argv, arguments, &n_arguments, log);
    if (!error && options.help) {
        printf("usage: kizuna bench [options] [CLIP]\n\nTimes the network on one picture from "
               "memory, the stages of a run, or reuse on a clip.\n\n");
        kz_options_help(table, stdout);
    } else if (!error) {
        error = run(&options, dirs, n_arguments, arguments, log);
    }
    kz_options_free(table, &options);
    kz_log_close(&log);
    kz_free(arguments);
    return kz_exit_code(error);
}
