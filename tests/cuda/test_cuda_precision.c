/* What the CUDA back end's precisions are for, and what they can't do. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/device.h"
#include "model/rewrite.h"
#include "random_graph.h"

enum { WIDTH = 35, HEIGHT = 18 };

struct opened {
    const kz_backend *backend;
    kz_device *device;
    kz_plan *plan;
};

static kz_graph *folded(kz_graph *graph)
{
    static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};
    CHECK(kz_rewrite_all(graph, bt709, NULL) == 0);
    return graph;
}

static struct opened open_device(const kz_backend *backend)
{
    const kz_device_params params = {.threads = 1};
    struct opened o = {.backend = backend};
    CHECK(backend->open(&o.device, &params, NULL) == 0);
    return o;
}

static int compile(struct opened *o, const kz_graph *graph, enum kz_precision precision,
                   kz_log *log)
{
    const kz_plan_params params = {WIDTH, HEIGHT, precision};
    return o->backend->compile(o->device, &o->plan, graph, &params, log);
}

static void close_all(struct opened *o)
{
    o->backend->close_plan(&o->plan);
    o->backend->close(&o->device);
}

/* ---- running ---- */

static kz_plane open_plane(int scale)
{
    const int width = WIDTH * scale, height = HEIGHT * scale;
    kz_plane p = {.data = kz_alloc((size_t)(width * height), sizeof(float)),
                  .stride = (ptrdiff_t)width * (ptrdiff_t)sizeof(float),
                  .width = width,
                  .height = height,
                  .bytes = sizeof(float)};
    CHECK(p.data);
    return p;
}

static kz_plane random_plane(void)
{
    kz_plane p = open_plane(1);
    unsigned seed = 5;
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        ((float *)p.data)[i] = random_unit(&seed) * 0.5f + 0.5f;
    return p;
}

static int run(const struct opened *o, const kz_plane *src, const kz_plane *dst)
{
    const kz_tile tile = {0, 0, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT};
    const kz_run all = {.src = src,
                        .src_levels = {0, 1},
                        .dst = dst,
                        .dst_levels = {0, 1},
                        .tiles = &tile,
                        .n_tiles = 1};
    return o->backend->run(o->plan, &all);
}

static double psnr(const kz_plane *a, const kz_plane *b)
{
    const float *x = a->data, *y = b->data;
    double sum = 0;
    for (int i = 0; i < a->width * a->height; i++)
        sum += pow((double)x[i] - (double)y[i], 2);
    return -10 * log10(sum / (a->width * a->height) + 1e-20);
}

/* How near the precision is to the reference, in dB; -1 where the run fails. */
static double nearness(const kz_graph *graph, enum kz_precision precision)
{
    const int scale = graph->nodes[graph->output].scale;
    kz_plane in = random_plane(), out = open_plane(scale), right = open_plane(scale);
    struct opened cuda = open_device(&kz_backend_cuda);
    struct opened reference = open_device(&kz_backend_reference);
    CHECK(compile(&reference, graph, KZ_PRECISION_FP32, NULL) == 0);
    CHECK(run(&reference, &in, &right) == 0);
    CHECK(compile(&cuda, graph, precision, NULL) == 0);
    const int error = run(&cuda, &in, &out);
    CHECK(!error || error == KZ_ERROR_FAILED);
    const double result = error ? -1 : psnr(&out, &right);
    close_all(&cuda);
    close_all(&reference);
    kz_free(in.data);
    kz_free(out.data);
    kz_free(right.data);
    return result;
}

/* ---- TF32 ---- */

/* Random weights amplify rounding, which real ones don't. */
static void tf32_is_near_the_reference(void)
{
    kz_graph *all[] = {random_rrdb(1, 64, 32, 11),       random_rrdb(1, 24, 8, 15),
                       random_srvgg(2, 64, 4, 13),       random_srvgg(2, 20, 3, 14),
                       random_luma_net(4, 24, true, 17), random_luma_net_twice(2, 8, false, 18)};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        CHECK(nearness(folded(all[i]), KZ_PRECISION_TF32) >= 64);
        kz_graph_close(&all[i]);
    }
}

static void expect_refused(const kz_graph *graph, enum kz_precision precision, const char *line)
{
    struct opened o = open_device(&kz_backend_cuda);
    char *said = NULL;
    size_t size;
    FILE *file = open_memstream(&said, &size);
    kz_log *log;
    CHECK(file && kz_log_open(&log, file, KZ_LOG_ERROR) == 0);
    CHECK(compile(&o, graph, precision, log) == KZ_ERROR_USAGE && !o.plan);
    kz_log_close(&log);
    fclose(file);
    CHECK(strstr(said, line));
    free(said);
    CHECK(kz_backend_cuda.peak(o.device, precision, 0.01) == 0);
    CHECK(compile(&o, graph, KZ_PRECISION_FP16, NULL) == 0);
    close_all(&o);
}

/* Before 8.0. */
static void what_a_device_lacks_is_refused(void)
{
    kz_graph *graph = folded(random_srvgg(2, 16, 4, 3));
    setenv("KIZUNA_TWIN_TURING", "1", 1);
    expect_refused(graph, KZ_PRECISION_BF16, "has no bf16: use fp16");
    expect_refused(graph, KZ_PRECISION_TF32, "has no tf32: use fp16");
    unsetenv("KIZUNA_TWIN_TURING");
    kz_graph_close(&graph);
}

/* What touches the picture stays in fp32. */
static void tf32_is_what_lies_between(void)
{
    kz_graph *graph = folded(random_rrdb(1, 16, 8, 3));
    struct opened o = open_device(&kz_backend_cuda);
    CHECK(compile(&o, graph, KZ_PRECISION_TF32, NULL) == 0);
    kz_layer layers[64];
    const int count = kz_backend_cuda.layers(o.plan, layers, 64);
    CHECK(count > 8 && strcmp(layers[0].kernel, "fp32") == 0);
    CHECK(strcmp(layers[1].kernel, "tensor cores") == 0);
    CHECK(strcmp(layers[count - 1].kernel, "fp32, from shared memory") == 0);
    close_all(&o);
    kz_graph_close(&graph);
}

static const struct check_case cases[] = {
    {"TF32 is near the reference", tf32_is_near_the_reference},
    {"what the device lacks is refused", what_a_device_lacks_is_refused},
    {"in TF32 all layers are but the first and the last", tf32_is_what_lies_between},
};

CHECK_MAIN(cases)
