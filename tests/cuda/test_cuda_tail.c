/* The last two layers of a network in one kernel or one by one, as what is kept of earlier
 * measurements says: the same bits, on the host (cuda/twin). */
#include "cuda/device.h"
#include "kept.h"
#include "model/rewrite.h"
#include "notes.h"
#include "random_graph.h"

enum { WIDTH = 13, HEIGHT = 8 };

/* ---- runs ---- */

struct opened {
    kz_device *device;
    kz_plan *plan;
    struct notes notes;
};

/* 32 channels between the last two layers. */
static struct opened *open_plan(enum kz_precision precision)
{
    static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};
    const kz_device_params device = {.threads = 1};
    const kz_plan_params params = {WIDTH, HEIGHT, precision};
    kz_graph *graph = random_rrdb(1, 32, 16, 3);
    struct opened *o = kz_alloc(1, sizeof(*o));
    CHECK(o && kz_rewrite_all(graph, bt709, NULL) == 0);
    notes_open(&o->notes, KZ_LOG_VERBOSE);
    CHECK(kz_backend_cuda.open(&o->device, &device, o->notes.log) == 0);
    CHECK(kz_backend_cuda.compile(o->device, &o->plan, graph, &params, o->notes.log) == 0);
    kz_graph_close(&graph);
    return o;
}

static void close_plan(struct opened *o)
{
    kz_backend_cuda.close_plan(&o->plan);
    kz_backend_cuda.close(&o->device);
    notes_close(&o->notes);
    kz_free(o);
}

static int count_layers(const struct opened *o, const char *kernel)
{
    kz_layer layers[100];
    const int n = kz_backend_cuda.layers(o->plan, layers, 100);
    int found = 0;
    for (int i = 0; i < n; i++)
        found += strcmp(layers[i].kernel, kernel) == 0;
    return found;
}

static double macs_of(const struct opened *o)
{
    kz_layer layers[100];
    const int n = kz_backend_cuda.layers(o->plan, layers, 100);
    double macs = 0;
    for (int i = 0; i < n; i++)
        macs += layers[i].macs;
    return macs;
}

enum { SCALE = 4, PARTS = 2, OUT = WIDTH * SCALE * HEIGHT * SCALE };

struct picture {
    float whole[OUT], parts[OUT];
    size_t launches, part_launches;
};

static kz_plane plane_of(float *data, int scale)
{
    return (kz_plane){.data = data,
                      .stride = (ptrdiff_t)(WIDTH * scale * 4),
                      .width = WIDTH * scale,
                      .height = HEIGHT * scale,
                      .bytes = 4,
                      .depth = 8};
}

static size_t run_tiles(const struct opened *o, const kz_tile *tiles, int n, float *out)
{
    float in[WIDTH * HEIGHT];
    unsigned seed = 8;
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        in[i] = random_unit(&seed) * 0.5f + 0.5f;
    const kz_plane src = plane_of(in, 1), dst = plane_of(out, SCALE);
    const kz_run run = {.src = &src,
                        .src_levels = {0, 1},
                        .dst = &dst,
                        .dst_levels = {0, 1},
                        .tiles = tiles,
                        .n_tiles = n};
    const size_t before = kz_gpu_launches(o->device->gpu);
    memset(out, 0, OUT * sizeof(float));
    CHECK(kz_backend_cuda.run(o->plan, &run) == 0);
    return kz_gpu_launches(o->device->gpu) - before;
}

/* A tile of the plan's size, and two small ones at once. */
static struct picture *run_all(const struct opened *o)
{
    const kz_tile whole = {0, 0, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT};
    const kz_tile parts[PARTS] = {{0, 0, 5, 4, 0, 0, 3, 2}, {6, 3, 7, 5, 8, 4, WIDTH, HEIGHT}};
    struct picture *p = kz_alloc(1, sizeof(*p));
    CHECK(p);
    p->launches = run_tiles(o, &whole, 1, p->whole);
    p->part_launches = run_tiles(o, parts, PARTS, p->parts);
    return p;
}

static bool equal(const struct picture *a, const struct picture *b)
{
    return memcmp(a->whole, b->whole, sizeof(a->whole)) == 0 &&
           memcmp(a->parts, b->parts, sizeof(a->parts)) == 0;
}

/* ---- cases ---- */

static void a_tail_is_timed(void)
{
    char first[300];
    kept_open();
    struct opened *o = open_plan(KZ_PRECISION_FP16);
    CHECK(notes_count(&o->notes, "timing engines (tail 1)") == 1);
    CHECK(notes_count(&o->notes, "engine for") == 1 &&
          notes_count(&o->notes, " behind 32/32>32") == 1);
    CHECK(notes_count(&o->notes, "doesn't compute what it should") == 0);
    snprintf(first, sizeof(first), "%s", kz_backend_cuda.identity(o->device));
    close_plan(o);
    o = open_plan(KZ_PRECISION_FP16);
    CHECK(notes_count(&o->notes, "timing") == 0 && notes_count(&o->notes, "engine for") == 0);
    CHECK(strcmp(first, kz_backend_cuda.identity(o->device)) == 0);
    close_plan(o);
    o = open_plan(KZ_PRECISION_FP32);
    CHECK(notes_count(&o->notes, "timing") == 0);
    close_plan(o);
    kept_close();
}

/* Whoever goes on with a run needn't know which way it was. */
static void expect_same_bits(enum kz_precision precision)
{
    char identity[300];
    kept_open();
    close_plan(open_plan(precision));
    kept_replace("own", "own");
    struct opened *o = open_plan(precision);
    struct picture *apart = run_all(o);
    const double macs = macs_of(o);
    CHECK(notes_count(&o->notes, "timing") == 0 && count_layers(o, "tail") == 0);
    snprintf(identity, sizeof(identity), "%s", kz_backend_cuda.identity(o->device));
    close_plan(o);
    kept_replace("own", "both");
    o = open_plan(precision);
    struct picture *together = run_all(o);
    CHECK(notes_count(&o->notes, "timing") == 0 && count_layers(o, "tail") == 1);
    CHECK(macs_of(o) == macs && strcmp(identity, kz_backend_cuda.identity(o->device)) == 0);
    CHECK(equal(apart, together));
    CHECK(together->launches < apart->launches);
    CHECK(together->part_launches == apart->part_launches - 1);
    close_plan(o);
    kz_free(apart);
    kz_free(together);
    kept_close();
}

static void both_ways_have_the_same_bits(void)
{
    expect_same_bits(KZ_PRECISION_FP16);
    expect_same_bits(KZ_PRECISION_BF16);
}

/* Of the layer before the last another kernel may be the fastest, with other last bits: the tail is
 * compared with the kernels that have its own. */
static void the_first_layers_engine_may_be_another(void)
{
    char identity[300];
    kept_open();
    CHECK(setenv("KIZUNA_TWIN_HOPPER", "1", 1) == 0);
    struct opened *o = open_plan(KZ_PRECISION_FP16);
    CHECK(notes_count(&o->notes, "timing engines (wgmma 2, tail 1)") > 0);
    CHECK(notes_count(&o->notes, "doesn't compute what it should") == 0);
    close_plan(o);
    kept_replace("one", "own");
    o = open_plan(KZ_PRECISION_FP16);
    const int apart = count_layers(o, "wgmma");
    snprintf(identity, sizeof(identity), "%s", kz_backend_cuda.identity(o->device));
    CHECK(apart > 1 && count_layers(o, "tail") == 0);
    close_plan(o);
    kept_replace("one", "both");
    o = open_plan(KZ_PRECISION_FP16);
    CHECK(notes_count(&o->notes, "timing") == 0);
    CHECK(count_layers(o, "wgmma") == apart - 1 && count_layers(o, "tail") == 1);
    CHECK(strcmp(identity, kz_backend_cuda.identity(o->device)) != 0);
    close_plan(o);
    CHECK(unsetenv("KIZUNA_TWIN_HOPPER") == 0);
    kept_close();
}

static const struct check_case cases[] = {
    {"a tail is timed, and that is kept", a_tail_is_timed},
    {"both ways have the same bits", both_ways_have_the_same_bits},
    {"the first layer's engine may be another", the_first_layers_engine_may_be_another},
};

CHECK_MAIN(cases)
