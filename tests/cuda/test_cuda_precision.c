/* What the CUDA back end's precisions are for, what they can't do, and what kernels layers have. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/device.h"
#include "cuda/twin.h"
#include "model/rewrite.h"
#include "random_graph.h"

enum { WIDTH = 35, HEIGHT = 18, ANY_GRAPHS = 16 };

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
    if (!on_twin())
        return;
    kz_graph *graph = folded(random_srvgg(2, 16, 4, 3));
    setenv("KIZUNA_TWIN_TURING", "1", 1);
    expect_refused(graph, KZ_PRECISION_BF16, "has no bf16: use fp16");
    expect_refused(graph, KZ_PRECISION_TF32, "has no tf32: use fp16");
    unsetenv("KIZUNA_TWIN_TURING");
    kz_graph_close(&graph);
}

/* ---- layers ---- */

/* They read what a run has left. */
static int list_layers(const kz_graph *graph, enum kz_precision precision, kz_layer *layers,
                       int most)
{
    struct opened o = open_device(&kz_backend_cuda);
    kz_plane in = random_plane(), out = open_plane(graph->nodes[graph->output].scale);
    CHECK(compile(&o, graph, precision, NULL) == 0);
    CHECK(run(&o, &in, &out) == 0);
    const int count = kz_backend_cuda.layers(o.plan, layers, most);
    close_all(&o);
    kz_free(in.data);
    kz_free(out.data);
    return count;
}

static void layers_are_named(void)
{
    kz_graph *graph = folded(random_srvgg(2, 16, 4, 3));
    kz_layer layers[16];
    double macs = 0;
    const int count = list_layers(graph, KZ_PRECISION_FP16, layers, 16);
    for (int i = 0; i < count; i++)
        macs += layers[i].macs;
    CHECK(count >= 4 && strcmp(layers[0].kernel, "fp32") == 0);
    CHECK(strcmp(layers[1].kernel, "tensor cores") == 0);
    CHECK_NEAR(macs, kz_graph_macs(graph) * WIDTH * HEIGHT, 1);
    kz_graph_close(&graph);
}

static void a_small_network_is_one_layer(void)
{
    kz_graph *graph = folded(random_luma_net_twice(4, 16, true, 3));
    kz_layer layers[16];
    CHECK(list_layers(graph, KZ_PRECISION_FP16, layers, 16) == 2);
    CHECK(strcmp(layers[0].kernel, "all layers at once") == 0);
    CHECK_NEAR(layers[0].macs + layers[1].macs, kz_graph_macs(graph) * WIDTH * HEIGHT, 1);
    CHECK_NEAR(layers[1].macs, 4 * layers[0].macs, 1);
    kz_graph_close(&graph);
}

/* What touches the picture stays in fp32. */
static void tf32_is_what_lies_between(void)
{
    kz_graph *graph = folded(random_rrdb(1, 16, 8, 3));
    kz_layer layers[64];
    const int count = list_layers(graph, KZ_PRECISION_TF32, layers, 64);
    CHECK(count > 8 && strcmp(layers[0].kernel, "fp32") == 0);
    CHECK(strcmp(layers[1].kernel, "tensor cores") == 0);
    CHECK(strcmp(layers[count - 1].kernel, "fp32, from shared memory") == 0);
    kz_graph_close(&graph);
}

/* ---- what fp16 can't hold ---- */

static void amplify(const kz_graph *graph, int index, float by)
{
    const kz_node *n = &graph->nodes[index];
    const int count = kz_graph_in_channels(graph, n) * n->channels * n->kernel * n->kernel;
    for (int i = 0; i < count; i++)
        n->weights[i] *= by;
    for (int i = 0; n->bias && i < n->channels; i++)
        n->bias[i] *= by;
}

/* Values between are a million times as large, its output is not. */
static kz_graph *loud(kz_graph *graph)
{
    int first = graph->n_nodes, last = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i].op != KZ_OP_CONV)
            continue;
        first = first < i ? first : i;
        last = i;
    }
    amplify(graph, first, 1e6f);
    amplify(graph, last, 1e-6f);
    return graph;
}

/* Layer by layer, and all at once. */
static void other_precisions_reach_farther_than_fp16(void)
{
    kz_graph *all[] = {random_srvgg(2, 32, 2, 3), random_luma_net(3, 16, false, 4)};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        kz_graph *graph = folded(all[i]);
        CHECK(nearness(graph, KZ_PRECISION_FP16) >= 55);
        loud(graph);
        CHECK(nearness(graph, KZ_PRECISION_FP16) == -1);
        CHECK(nearness(graph, KZ_PRECISION_BF16) >= 38);
        CHECK(nearness(graph, KZ_PRECISION_TF32) >= 55);
        CHECK(nearness(graph, KZ_PRECISION_FP32) >= 90);
        kz_graph_close(&graph);
    }
}

static void what_is_too_large_is_said(void)
{
    kz_graph *graph = loud(folded(random_srvgg(1, 16, 2, 3)));
    kz_plane in = random_plane(), out = open_plane(2);
    const int models = on_twin() ? 2 : 1;
    for (int turing = 0; turing < models; turing++) {
        if (turing)
            setenv("KIZUNA_TWIN_TURING", "1", 1);
        struct opened o = open_device(&kz_backend_cuda);
        CHECK(compile(&o, graph, KZ_PRECISION_AUTO, NULL) == 0);
        CHECK(strcmp(o.backend->error(o.device), "") == 0);
        CHECK(run(&o, &in, &out) == KZ_ERROR_FAILED);
        CHECK(strstr(o.backend->error(o.device), turing ? "precision fp32" : "precision tf32"));
        o.backend->close_plan(&o.plan);
        CHECK(compile(&o, graph, KZ_PRECISION_FP32, NULL) == 0 && run(&o, &in, &out) == 0);
        CHECK(strcmp(o.backend->error(o.device), "") == 0);
        close_all(&o);
    }
    unsetenv("KIZUNA_TWIN_TURING");
    kz_free(in.data);
    kz_free(out.data);
    kz_graph_close(&graph);
}

/* On a canvas too, and with code values that a not-a-number isn't seen in. */
static void what_is_too_large_is_found_later(void)
{
    kz_graph *graph = loud(folded(random_srvgg(1, 16, 2, 3)));
    for (int way = 0; way < 2; way++) {
        struct opened o = open_device(&kz_backend_cuda);
        const kz_tile tile = {0, 0, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT};
        kz_plane in = random_plane(), out = open_plane(2);
        out.bytes = 1;
        out.depth = 8;
        kz_run later = {.src = &in,
                        .src_levels = {0, 1},
                        .dst = &out,
                        .dst_levels = {16, 219},
                        .tiles = &tile,
                        .n_tiles = 1,
                        .deferred = true};
        CHECK(compile(&o, graph, KZ_PRECISION_FP16, NULL) == 0);
        CHECK(!way || o.backend->open_canvas(o.device, &later.canvas, out.width, out.height) == 0);
        CHECK(o.backend->run(o.plan, &later) == 0);
        CHECK(o.backend->wait(o.device, 0) == KZ_ERROR_FAILED);
        o.backend->close_canvas(&later.canvas);
        close_all(&o);
        kz_free(in.data);
        kz_free(out.data);
    }
    kz_graph_close(&graph);
}

/* Also where the network is cut in two before it enlarges, and one half's result is the other's
 * input. */
static void any_graph_is_near_the_reference(void)
{
    static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};
    int taken = 0;
    for (unsigned seed = 1; seed <= ANY_GRAPHS; seed++) {
        kz_graph *graph = random_any(seed);
        if (kz_rewrite_all(graph, bt709, NULL) == 0 && ++taken)
            CHECK(nearness(graph, KZ_PRECISION_FP16) > 50);
        kz_graph_close(&graph);
    }
    CHECK(taken > ANY_GRAPHS / 2);
}

static const struct check_case cases[] = {
    {"any graph is near the reference", any_graph_is_near_the_reference},
    {"TF32 is near the reference", tf32_is_near_the_reference},
    {"what the device lacks is refused", what_a_device_lacks_is_refused},
    {"other precisions reach farther than fp16", other_precisions_reach_farther_than_fp16},
    {"what is too large is said", what_is_too_large_is_said},
    {"what is too large is found later", what_is_too_large_is_found_later},
    {"layers are named", layers_are_named},
    {"a small network is one layer", a_small_network_is_one_layer},
    {"in TF32 all layers are but the first and the last", tf32_is_what_lies_between},
};

CHECK_MAIN(cases)
