#include "gpu_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/ncnn.h"
#include "model/rewrite.h"

enum { MOST_TILES = 64 };

static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};

_Noreturn void stop(const char *what, const char *detail)
{
    fprintf(stderr, "gpu_check: %s: %s\n", what, detail);
    exit(1);
}

void *taken(size_t count, size_t size)
{
    void *block = kz_alloc(count, size);
    if (!block)
        stop("memory", "short");
    return block;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), by_value);
    return count ? values[count / 2] : 0;
}

/* ---- what is computed ---- */

struct size size_of(const char *text)
{
    struct size s;
    if (sscanf(text, "%dx%d", &s.width, &s.height) != 2 || s.width < 1 || s.height < 1)
        stop("not a size", text);
    return s;
}

enum kz_precision precision_of(const char *text)
{
    static const char *const names[] = {[KZ_PRECISION_FP32] = "fp32",
                                        [KZ_PRECISION_BF16] = "bf16",
                                        [KZ_PRECISION_FP16] = "fp16",
                                        [KZ_PRECISION_TF32] = "tf32"};
    for (int i = KZ_PRECISION_FP32; i < KZ_PRECISIONS; i++)
        if (strcmp(names[i], text) == 0)
            return (enum kz_precision)i;
    stop("not a precision", text);
}

struct model read_model(const char *stem, kz_log *log)
{
    struct model m = {.stem = strrchr(stem, '/') ? strrchr(stem, '/') + 1 : stem};
    char *param = kz_asprintf("%s.param", stem), *bin = kz_asprintf("%s.bin", stem);
    if (!param || !bin || kz_ncnn_read(&m.graph, param, bin, log))
        stop("can't read", stem);
    m.nominal = kz_graph_macs(m.graph);
    if (kz_rewrite_all(m.graph, bt709, log))
        stop("can't rewrite", stem);
    m.scale = m.graph->nodes[m.graph->output].scale;
    kz_free(param);
    kz_free(bin);
    return m;
}

static double at_least(double value, double least)
{
    return value > least ? value : least;
}

/* A drawing: a gradient behind flat shapes with dark outlines, and thin strokes, a pixel's blur at
 * every edge; in code values. */
static float drawn(struct size s, int x, int y)
{
    const double unit = at_least(s.height, 24) / 24;
    double value = 0.85 - 0.35 * y / s.height;
    for (int i = 0; i < 9; i++) {
        const double cx = s.width * (0.1 + 0.8 * ((i * 5) % 9) / 8.0), r = unit * (3 + i % 4 * 2);
        const double cy = s.height * (0.1 + 0.8 * ((i * 7) % 9) / 8.0);
        const double out = i % 2 ? hypot(x - cx, y - cy) - r
                                 : at_least(fabs(x - cx) - r, fabs(y - cy + (x - cx) / 3) - r / 2);
        value += (0.15 + 0.09 * i - value) * fmin(1, fmax(0, 0.5 - out));
        value += (0.05 - value) * fmin(1, fmax(0, 1.2 - fabs(out)));
    }
    for (int i = 0; i < 4; i++) {
        const double way =
            y - s.height * (0.2 + 0.2 * i) - unit * 2 * sin(x / (unit * (2 + i)) + i);
        value += (0.1 - value) * fmin(1, fmax(0, 0.4 + 0.3 * i - fabs(way)));
    }
    return (float)floor(fmin(1, fmax(0, value)) * 255 + 0.5);
}

kz_plane open_plane(struct size s, int bytes, int depth)
{
    return (kz_plane){.data = taken((size_t)s.width * (size_t)s.height, (size_t)bytes),
                      .stride = (ptrdiff_t)s.width * bytes,
                      .width = s.width,
                      .height = s.height,
                      .bytes = bytes,
                      .depth = depth};
}

/* In code values where it has integers, else from 0 to 1. */
kz_plane draw(struct size s, int bytes)
{
    kz_plane p = open_plane(s, bytes, 8);
    for (int y = 0; y < s.height; y++)
        for (int x = 0; x < s.width; x++)
            if (bytes == 1)
                ((unsigned char *)kz_plane_row(&p, y))[x] = (unsigned char)drawn(s, x, y);
            else
                ((float *)kz_plane_row(&p, y))[x] = drawn(s, x, y) / 255;
    return p;
}

struct size times(struct size s, int scale)
{
    return (struct size){s.width * scale, s.height * scale};
}

size_t samples_of(const kz_plane *p)
{
    return (size_t)p->width * (size_t)p->height;
}

/* ---- running ---- */

kz_device *open_device(const kz_backend *backend, kz_log *log)
{
    kz_device *device;
    const kz_device_params params = {0};
    if (backend->open(&device, &params, log))
        exit(NO_DEVICE);
    return device;
}

/* Float planes hold values from 0 to 1. */
kz_levels levels_of(const kz_plane *p)
{
    return p->bytes == 4 ? (kz_levels){0, 1} : kz_luma_levels(p->depth, true);
}

int run_tiles(const kz_backend *backend, kz_plan *plan, const kz_tiling *tiling, const kz_plane *in,
              const kz_plane *out)
{
    kz_tile tiles[MOST_TILES];
    const int count = kz_tiling_count(tiling);
    if (count > MOST_TILES)
        stop("tiles", "too many");
    for (int i = 0; i < count; i++)
        tiles[i] = kz_tiling_get(tiling, i);
    const kz_run run = {.src = in,
                        .src_levels = levels_of(in),
                        .dst = out,
                        .dst_levels = levels_of(out),
                        .tiles = tiles,
                        .n_tiles = count};
    return backend->run(plan, &run);
}

kz_tiling whole(struct size s)
{
    kz_tiling tiling;
    kz_tiling_split(&tiling, s.width, s.height, 1, 1, 0);
    return tiling;
}

/* 0 or what compile() or run() returned. */
int upscale(const kz_backend *backend, kz_device *device, const struct model *m,
            const kz_tiling *tiling, enum kz_precision precision, const kz_plane *in,
            const kz_plane *out, kz_log *log)
{
    const kz_plan_params params = {tiling->tile_width, tiling->tile_height, precision};
    kz_plan *plan;
    int error = backend->compile(device, &plan, m->graph, &params, log);
    if (!error)
        error = run_tiles(backend, plan, tiling, in, out);
    backend->close_plan(&plan);
    return error;
}
