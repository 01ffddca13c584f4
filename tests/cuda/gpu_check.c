/* The CUDA back end with the real networks on a real device: what scripts/gpu-check.sh runs, part
 * by part. Each line on stdout is a JSON object, which scripts/gpu-check/report.py puts into
 * tables. gpu_check PART ARGUMENT…    exit code 0; 1: something is wrong; 3: there is no device */
#include "gpu_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/split.h"
#include "base/mem.h"

/* ---- parts: the device, pictures, the reference ---- */

static int part_device(char **arguments, kz_log *log)
{
    char why[256];
    kz_gpu *gpu;
    (void)arguments;
    if (kz_gpu_check(0, why, sizeof(why))) {
        printf("{\"kind\":\"device\",\"why\":\"%s\"}\n", why);
        fprintf(stderr, "%s\n", why);
        return NO_DEVICE;
    }
    if (kz_gpu_open(&gpu, 0, log))
        return 1;
    const kz_gpu_info *i = kz_gpu_get_info(gpu);
    printf("{\"kind\":\"device\",\"name\":\"%s\",\"capability\":\"%d.%d\",\"processors\":%d,"
           "\"shared_bytes\":%d,\"driver\":%d,\"runtime\":%d,\"memory\":%zu,\"free\":%zu}\n",
           i->name, i->major, i->minor, i->processors, i->shared_bytes, i->driver, i->runtime,
           i->memory, kz_gpu_free_bytes(gpu));
    kz_gpu_close(&gpu);
    return 0;
}

static int write_plane(const kz_plane *p, const char *path)
{
    FILE *file = fopen(path, "wb");
    const size_t count = samples_of(p);
    bool ok = file && fwrite(p->data, (size_t)p->bytes, count, file) == count;
    ok = file && fclose(file) == 0 && ok;
    return ok ? 0 : 1;
}

/* SIZE FILE: the input as bytes. */
static int part_picture(char **arguments, kz_log *log)
{
    kz_plane p = draw(size_of(arguments[0]), 1);
    (void)log;
    const int error = write_plane(&p, arguments[1]);
    kz_free(p.data);
    return error;
}

/* What a back end makes of the picture, as floats in a file. */
static int write_values(const kz_backend *backend, enum kz_precision precision, const char *model,
                        const char *size, const char *path, kz_log *log)
{
    struct model m = read_model(model, log);
    const struct size s = size_of(size);
    kz_device *device = open_device(backend, log);
    kz_plane in = draw(s, 4), out = open_plane(times(s, m.scale), 4, 8);
    const kz_tiling tiling = whole(s);
    int error = upscale(backend, device, &m, &tiling, precision, &in, &out, log);
    if (!error)
        error = write_plane(&out, path);
    backend->close(&device);
    kz_graph_close(&m.graph);
    kz_free(in.data);
    kz_free(out.data);
    return error ? 1 : 0;
}

/* MODEL SIZE FILE: the reference's. */
static int part_reference(char **arguments, kz_log *log)
{
    return write_values(&kz_backend_reference, KZ_PRECISION_FP32, arguments[0], arguments[1],
                        arguments[2], log);
}

/* ---- part: compare ---- */

/* NaN counts as infinitely far. */
static void distance(const kz_plane *a, const kz_plane *b, double *psnr, double *worst)
{
    double sum = 0;
    *worst = 0;
    for (size_t i = 0; i < samples_of(a); i++) {
        double d = fabs((double)((float *)a->data)[i] - (double)((float *)b->data)[i]);
        d = isfinite(d) ? d : 1e6;
        sum += d * d;
        *worst = fmax(*worst, d);
    }
    *psnr = fmin(200, -10 * log10(sum / (double)samples_of(a) + 1e-30));
}

static double least_psnr(enum kz_precision precision)
{
    switch (precision) {
    case KZ_PRECISION_FP32:
        return 100;
    case KZ_PRECISION_FP16:
    case KZ_PRECISION_TF32:
        return 55;
    default:
        return 35;
    }
}

static int compare_one(kz_device *device, const struct model *m, const char *precision,
                       const kz_plane *in, const kz_plane *expected, const char *with, kz_log *log)
{
    const struct size s = {in->width, in->height};
    const kz_tiling tiling = whole(s);
    kz_plane out = open_plane(times(s, m->scale), 4, 8);
    double psnr, worst;
    const enum kz_precision p = precision_of(precision);
    const int error = upscale(&kz_backend_cuda, device, m, &tiling, p, in, &out, log);
    if (error == KZ_ERROR_USAGE) {
        printf("{\"kind\":\"compare\",\"model\":\"%s\",\"precision\":\"%s\",\"why\":\"this device "
               "doesn't have it\"}\n",
               m->stem, precision);
        kz_free(out.data);
        return 0;
    }
    distance(&out, expected, &psnr, &worst);
    const bool ok = !error && psnr >= least_psnr(p);
    printf("{\"kind\":\"compare\",\"model\":\"%s\",\"precision\":\"%s\",\"size\":\"%dx%d\","
           "\"with\":\"%s\",\"psnr\":%.2f,\"least\":%.0f,\"worst_codes\":%.4f,\"error\":%d,"
           "\"ok\":%s}\n",
           m->stem, precision, s.width, s.height, with, psnr, least_psnr(p), worst * 255, error,
           ok ? "true" : "false");
    kz_free(out.data);
    return ok ? 0 : 1;
}

static void read_plane(const kz_plane *p, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fread(p->data, (size_t)p->bytes, samples_of(p), file) != samples_of(p))
        stop("can't read", path);
    fclose(file);
}

/* MODEL SIZE FILE: each precision with what part_reference() wrote; FILE -: all others with fp32 on
 * the device. */
static int part_compare(char **arguments, kz_log *log)
{
    struct model m = read_model(arguments[0], log);
    const struct size s = size_of(arguments[1]);
    const bool itself = strcmp(arguments[2], "-") == 0;
    const char *with = itself ? "fp32 on the device" : "reference";
    kz_device *device = open_device(&kz_backend_cuda, log);
    kz_plane in = draw(s, 4), expected = open_plane(times(s, m.scale), 4, 8);
    const kz_tiling tiling = whole(s);
    int failed = 0;
    if (!itself) {
        read_plane(&expected, arguments[2]);
        failed |= compare_one(device, &m, "fp32", &in, &expected, with, log);
    } else if (upscale(&kz_backend_cuda, device, &m, &tiling, KZ_PRECISION_FP32, &in, &expected,
                       log)) {
        stop("fp32", "failed");
    }
    failed |= compare_one(device, &m, "fp16", &in, &expected, with, log);
    failed |= compare_one(device, &m, "bf16", &in, &expected, with, log);
    failed |= compare_one(device, &m, "tf32", &in, &expected, with, log);
    kz_backend_cuda.close(&device);
    kz_graph_close(&m.graph);
    kz_free(in.data);
    kz_free(expected.data);
    return failed;
}

/* ---- part: identity ---- */

static int say_identity(const struct model *m, const char *what, struct size s, const kz_plane *a,
                        const kz_plane *b, int error)
{
    const bool ok = !error && memcmp(a->data, b->data, samples_of(a) * (size_t)a->bytes) == 0;
    printf("{\"kind\":\"identity\",\"model\":\"%s\",\"what\":\"%s\",\"size\":\"%dx%d\","
           "\"error\":%d,\"ok\":%s}\n",
           m->stem, what, s.width, s.height, error, ok ? "true" : "false");
    return ok ? 0 : 1;
}

/* One plan's run after run: all but the first two are replayed. */
static int upscale_again(kz_device *device, const struct model *m, const kz_tiling *tiling,
                         enum kz_precision precision, const kz_plane *in, const kz_plane *out,
                         kz_log *log)
{
    const kz_plan_params params = {tiling->tile_width, tiling->tile_height, precision};
    kz_plan *plan;
    int error = kz_backend_cuda.compile(device, &plan, m->graph, &params, log);
    for (int i = 0; i < FEW && !error; i++) {
        memset(out->data, 0, samples_of(out));
        error = run_tiles(&kz_backend_cuda, plan, tiling, in, out);
    }
    kz_backend_cuda.close_plan(&plan);
    return error;
}

/* MODEL PRECISION SIZE COLUMNS ROWS: the same bits again, replayed, and in so many tiles. */
static int part_identity(char **arguments, kz_log *log)
{
    struct model m = read_model(arguments[0], log);
    const enum kz_precision precision = precision_of(arguments[1]);
    const struct size s = size_of(arguments[2]);
    kz_device *device = open_device(&kz_backend_cuda, log);
    kz_plane in = draw(s, 1), first = open_plane(times(s, m.scale), 1, 8);
    kz_plane again = open_plane(times(s, m.scale), 1, 8);
    const kz_tiling one = whole(s);
    kz_tiling many;
    char what[64];
    int error = upscale(&kz_backend_cuda, device, &m, &one, precision, &in, &first, log);
    for (int i = 0; i < FEW && !error; i++)
        error = upscale(&kz_backend_cuda, device, &m, &one, precision, &in, &again, log);
    int failed = say_identity(&m, "run to run", s, &first, &again, error);
    error = upscale_again(device, &m, &one, precision, &in, &again, log);
    failed |= say_identity(&m, "replayed", s, &first, &again, error);
    if (!kz_tiling_split(&many, s.width, s.height, atoi(arguments[3]), atoi(arguments[4]),
                         kz_graph_reach(m.graph)))
        stop("tiles", "too small for what the network sees");
    memset(again.data, 0, samples_of(&again));
    error = upscale(&kz_backend_cuda, device, &m, &many, precision, &in, &again, log);
    snprintf(what, sizeof(what), "%d tiles of %dx%d", kz_tiling_count(&many), many.tile_width,
             many.tile_height);
    failed |= say_identity(&m, what, s, &first, &again, error);
    kz_backend_cuda.close(&device);
    kz_graph_close(&m.graph);
    kz_free(in.data);
    kz_free(first.data);
    kz_free(again.data);
    return failed;
}

/* ---- part: memory ---- */

static int say_memory(const char *what, bool ok)
{
    printf("{\"kind\":\"memory\",\"what\":\"%s\",\"ok\":%s}\n", what, ok ? "true" : "false");
    return ok ? 0 : 1;
}

static int compile_only(kz_device *device, const struct model *m, struct size s)
{
    const kz_plan_params params = {s.width, s.height, KZ_PRECISION_FP16};
    kz_plan *plan;
    const int error = kz_backend_cuda.compile(device, &plan, m->graph, &params, NULL);
    kz_backend_cuda.close_plan(&plan);
    return error;
}

/* Takes all but a little of the device's memory, as much as it gives in one piece. */
static int compile_in_little(kz_device *device, const struct model *m, struct size s)
{
    const size_t free = kz_gpu_free_bytes(device->gpu);
    void *most = NULL;
    for (size_t left = (size_t)64 << 20; !most && left < free; left += (size_t)64 << 20)
        most = kz_gpu_alloc(device->gpu, free - left);
    const int error = most ? compile_only(device, m, s) : 0;
    kz_gpu_free(device->gpu, most);
    return error;
}

/* MODEL SIZE fill|keep: what is too large is refused as short of memory, and the device goes on. */
static int part_memory(char **arguments, kz_log *log)
{
    struct model m = read_model(arguments[0], log);
    const struct size s = size_of(arguments[1]);
    kz_device *device = open_device(&kz_backend_cuda, log);
    kz_plane in = draw(s, 1), first = open_plane(times(s, m.scale), 1, 8);
    kz_plane again = open_plane(times(s, m.scale), 1, 8);
    const kz_tiling tiling = whole(s);
    int failed = 0, error;
    if (upscale(&kz_backend_cuda, device, &m, &tiling, KZ_PRECISION_FP16, &in, &first, log))
        stop("a plan", "failed before memory was short");
    error = compile_only(device, &m, (struct size){100000, 60000});
    failed |= say_memory("100000x60000 is refused", error == KZ_ERROR_ROOM);
    if (strcmp(arguments[2], "fill") == 0) {
        error = compile_in_little(device, &m, (struct size){1920, 1080});
        failed |=
            say_memory("1920x1080 is refused when memory is nearly full", error == KZ_ERROR_ROOM);
        error = compile_only(device, &m, (struct size){1920, 1080});
        failed |= say_memory("1920x1080 fits afterwards", !error);
    }
    error = upscale(&kz_backend_cuda, device, &m, &tiling, KZ_PRECISION_FP16, &in, &again, log);
    failed |= say_memory("the device goes on, to the bit",
                         !error && memcmp(first.data, again.data, samples_of(&first)) == 0);
    kz_backend_cuda.close(&device);
    kz_graph_close(&m.graph);
    kz_free(in.data);
    kz_free(first.data);
    kz_free(again.data);
    return failed;
}

/* MODEL PRECISION SIZE FILE: the device's, for others to compare with. */
static int part_upscale(char **arguments, kz_log *log)
{
    return write_values(&kz_backend_cuda, precision_of(arguments[1]), arguments[0], arguments[2],
                        arguments[3], log);
}

static const struct part {
    const char *name;
    int (*run)(char **arguments, kz_log *log);
    int least; /* arguments */
} parts[] = {
    {"device", part_device, 0},   {"picture", part_picture, 2},   {"reference", part_reference, 3},
    {"compare", part_compare, 3}, {"identity", part_identity, 5}, {"memory", part_memory, 3},
    {"peak", part_peak, 1},       {"speed", part_speed, 4},       {"stages", part_stages, 5},
    {"small", part_small, 3},     {"tail", part_tail, 2},         {"upscale", part_upscale, 4},
    {"wgmma", part_wgmma, 2}};

int main(int argc, char **argv)
{
    kz_log *log;
    if (kz_log_open(&log, stderr, KZ_LOG_INFO))
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strcmp(parts[i].name, argv[1]) == 0 && argc - 2 >= parts[i].least) {
            const int result = parts[i].run(argv + 2, log);
            kz_log_close(&log);
            return result;
        }
    fprintf(stderr, "gpu_check: see its first lines for how it is called\n");
    return 1;
}
