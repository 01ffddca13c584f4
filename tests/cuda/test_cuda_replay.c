/* Runs that the CUDA back end replays from graphs, against the same layer by layer: the same bits
 * with fewer launches, and what can't be captured or launched loses nothing. */
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/device.h"
#include "cuda/net.h"
#include "cuda/replay.h"
#include "cuda/twin.h"
#include "model/rewrite.h"
#include "notes.h"
#include "random_graph.h"

static kz_graph *folded(kz_graph *graph)
{
    static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};
    CHECK(kz_rewrite_all(graph, bt709, NULL) == 0);
    return graph;
}

/* ---- pictures ---- */

enum { PICTURES = 4, MOST_TILES = 12 };

/* A plan, and a picture that it enlarges. */
struct studio {
    kz_device *device;
    kz_plan *plan;
    struct notes notes;
    kz_plane src, dst;
};

static kz_plane open_plane(int width, int height)
{
    kz_plane p = {.data = kz_alloc((size_t)width * (size_t)height, 2),
                  .stride = (ptrdiff_t)width * 2,
                  .width = width,
                  .height = height,
                  .bytes = 2,
                  .depth = 10};
    CHECK(p.data);
    return p;
}

static size_t plane_bytes(const kz_plane *p)
{
    return (size_t)(p->stride * p->height);
}

/* A picture of this size, in tiles of the other. */
static struct studio *open_studio(const kz_graph *graph, int width, int height,
                                  const kz_plan_params *params, bool replay)
{
    const int scale = graph->nodes[graph->output].scale;
    const kz_device_params device = {.threads = 1};
    struct studio *s = kz_alloc(1, sizeof(*s));
    CHECK(s);
    notes_open(&s->notes, KZ_LOG_VERBOSE);
    s->src = open_plane(width, height);
    s->dst = open_plane(width * scale, height * scale);
    CHECK(kz_backend_cuda.open(&s->device, &device, s->notes.log) == 0);
    CHECK(kz_cuda_compile_own(s->device, &s->plan, graph, params, s->notes.log) == 0);
    kz_cuda_let_replay(s->plan, replay);
    return s;
}

static void close_studio(struct studio *s)
{
    kz_backend_cuda.close_plan(&s->plan);
    kz_backend_cuda.close(&s->device);
    notes_close(&s->notes);
    kz_free(s->src.data);
    kz_free(s->dst.data);
    kz_free(s);
}

/* Enlarges a picture drawn from the seed; returns the launches. */
static size_t make_picture(struct studio *s, unsigned seed, const kz_tile *tiles, int n)
{
    const size_t before = kz_gpu_launches(s->device->gpu);
    const kz_run run = {.src = &s->src,
                        .src_levels = kz_luma_levels(10, false),
                        .dst = &s->dst,
                        .dst_levels = kz_luma_levels(10, false),
                        .tiles = tiles,
                        .n_tiles = n};
    memset(s->dst.data, 0, plane_bytes(&s->dst));
    for (int i = 0; i < s->src.width * s->src.height; i++)
        ((unsigned short *)s->src.data)[i] = (unsigned short)(random_unit(&seed) * 200 + 600);
    CHECK(kz_backend_cuda.run(s->plan, &run) == 0);
    return kz_gpu_launches(s->device->gpu) - before;
}

static kz_tile whole_of(const struct studio *s)
{
    return (kz_tile){0, 0, s->src.width, s->src.height, 0, 0, s->src.width, s->src.height};
}

static void check_same(const struct studio *a, const struct studio *b)
{
    CHECK(memcmp(a->dst.data, b->dst.data, plane_bytes(&a->dst)) == 0);
}

/* The second picture is captured: from then on there are `few` launches (0: fewer). */
static void check_film(kz_graph *graph, int width, int height, enum kz_precision precision,
                       size_t few)
{
    const kz_plan_params params = {width, height, precision};
    struct studio *replayed = open_studio(graph, width, height, &params, true);
    struct studio *plain = open_studio(graph, width, height, &params, false);
    const kz_tile tile = whole_of(plain);
    for (unsigned i = 0; i < PICTURES; i++) {
        const size_t all = make_picture(plain, i, &tile, 1);
        const size_t launches = make_picture(replayed, i, &tile, 1);
        check_same(replayed, plain);
        CHECK(i == 0 ? launches == all : few == 0 ? launches < all : launches == few);
        CHECK(few < all);
    }
    CHECK(notes_count(&replayed->notes, "graph") == 0);
    close_studio(replayed);
    close_studio(plain);
    kz_graph_close(&graph);
}

/* Load, head, tail where there is one, store. */
static void replays_have_the_same_bits(void)
{
    check_film(folded(random_rrdb(1, 16, 8, 3)), 20, 18, KZ_PRECISION_FP16, 4);
    check_film(folded(random_rrdb(1, 16, 8, 3)), 17, 9, KZ_PRECISION_BF16, 4);
    check_film(folded(random_rrdb(1, 4, 2, 4)), 14, 11, KZ_PRECISION_FP32, 4);
    check_film(folded(random_srvgg(2, 16, 4, 5)), 23, 19, KZ_PRECISION_FP16, 3);
    check_film(folded(random_luma_net(2, 16, true, 5)), 23, 19, KZ_PRECISION_FP32, 3);
    check_film(folded(random_luma_net_twice(3, 16, true, 6)), 33, 19, KZ_PRECISION_FP16, 3);
}

/* Built with bands of at most 600 pixels. */
static void bands_do_too(void)
{
    check_film(folded(random_rrdb(1, 16, 8, 3)), 31, 30, KZ_PRECISION_FP16, 0);
}

/* One kernel is one launch, whoever asks for it. */
static void one_kernel_is_not_captured(void)
{
    kz_graph *graph = folded(random_luma_net(3, 16, true, 6));
    const kz_plan_params params = {33, 19, KZ_PRECISION_FP16};
    struct studio *s = open_studio(graph, 33, 19, &params, true);
    const kz_tile tile = whole_of(s);
    for (unsigned i = 0; i < PICTURES; i++)
        CHECK(make_picture(s, i, &tile, 1) == 3);
    close_studio(s);
    kz_graph_close(&graph);
}

/* ---- tiles ---- */

enum { WIDTH = 44, HEIGHT = 38, TILE_WIDTH = 27, TILE_HEIGHT = 24 };

/* Four of the plan's size, or many of others, of which several run at once. */
static int place_tiles(kz_tile *tiles, bool large)
{
    const int across = large ? 2 : 4, count = large ? 4 : MOST_TILES;
    for (int i = 0; i < count; i++) {
        kz_tile *t = &tiles[i];
        t->width = large ? TILE_WIDTH : i == 5 ? TILE_WIDTH - 1 : 5 + i % 3;
        t->height = large ? TILE_HEIGHT : 4 + i % 5;
        t->x = (WIDTH - t->width) * (i % across) / (across - 1);
        t->y = (HEIGHT - t->height) * (i / across) / (count / across - 1);
        t->own_x0 = t->x + 1;
        t->own_y0 = t->y + 1;
        t->own_x1 = t->x + t->width;
        t->own_y1 = t->y + t->height;
    }
    return count;
}

/* Tiles of the plan's size are the same run, wherever they lie in the picture; with others between
 * them nothing else comes out. */
static void tiles_of_other_sizes_are_not_replayed(void)
{
    kz_graph *graph = folded(random_rrdb(1, 16, 8, 3));
    const kz_plan_params params = {TILE_WIDTH, TILE_HEIGHT, KZ_PRECISION_FP16};
    struct studio *replayed = open_studio(graph, WIDTH, HEIGHT, &params, true);
    struct studio *plain = open_studio(graph, WIDTH, HEIGHT, &params, false);
    kz_tile tiles[MOST_TILES];
    for (unsigned i = 0; i < PICTURES; i++) {
        const bool large = i % 3 == 0;
        const int n = place_tiles(tiles, large);
        const size_t all = make_picture(plain, i, tiles, n);
        const size_t launches = make_picture(replayed, i, tiles, n);
        check_same(replayed, plain);
        CHECK(large ? launches < all : launches == all);
    }
    close_studio(replayed);
    close_studio(plain);
    kz_graph_close(&graph);
}

/* ---- inputs ---- */

enum { SIDE = 7, INPUTS = KZ_REPLAY_MOST + 2 };

/* A network alone, and inputs that it takes in turns. */
struct bench {
    kz_gpu *gpu;
    kz_net *net;
    char *inputs;
};

static kz_view input_of(const struct bench *b, int i)
{
    return (kz_view){b->inputs + i * KZ_GPU_ALIGNMENT, KZ_ELEMENT_FP32, 1, 1, SIDE, SIDE, 1};
}

static void draw_inputs(const struct bench *b, unsigned seed)
{
    const size_t bytes = (size_t)INPUTS * KZ_GPU_ALIGNMENT;
    float *values = kz_alloc(bytes, 1);
    CHECK(values);
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        values[i] = random_unit(&seed) * 0.5f + 0.5f;
    kz_gpu_copy_in(b->gpu, b->inputs, bytes, values, (ptrdiff_t)bytes, bytes, 1);
    CHECK(kz_gpu_wait(b->gpu) == 0);
    kz_free(values);
}

static struct bench open_bench(const kz_graph *graph)
{
    const kz_program_params params = {SIDE, SIDE, KZ_PRECISION_FP16, 0};
    struct bench b;
    CHECK(kz_gpu_open(&b.gpu, 0, NULL) == 0);
    CHECK(kz_net_open(&b.net, b.gpu, graph, &params, NULL) == 0);
    b.inputs = kz_gpu_alloc(b.gpu, (size_t)INPUTS * KZ_GPU_ALIGNMENT);
    CHECK(b.inputs);
    return b;
}

static void close_bench(struct bench *b)
{
    kz_net_close(&b->net);
    kz_gpu_free(b->gpu, b->inputs);
    kz_gpu_close(&b->gpu);
}

/* Returns the launches of all inputs' runs. */
static size_t run_inputs(const struct bench *b, float (*out)[SIDE * SIDE * 16])
{
    const size_t before = kz_gpu_launches(b->gpu), bytes = sizeof(*out);
    for (int i = 0; i < INPUTS; i++) {
        const kz_view in = input_of(b, i), result = kz_net_run(b->net, &in, NULL);
        CHECK(result.width == SIDE * 4 && result.pixel == 1);
        kz_gpu_copy_out(b->gpu, out[i], (ptrdiff_t)bytes, result.data, bytes, bytes, 1);
    }
    CHECK(kz_gpu_wait(b->gpu) == 0);
    return kz_gpu_launches(b->gpu) - before;
}

/* Each has its own graph, up to so many, and sees what lies there now. */
static void each_input_has_its_graph(void)
{
    kz_graph *graph = folded(random_srvgg(1, 16, 4, 5));
    struct bench b = open_bench(graph);
    float(*out)[SIDE * SIDE * 16] = kz_alloc(INPUTS, sizeof(*out));
    float(*plain)[SIDE * SIDE * 16] = kz_alloc(INPUTS, sizeof(*plain));
    size_t all = 0;
    CHECK(out && plain);
    for (unsigned round = 0; round < 3; round++) {
        draw_inputs(&b, round);
        const size_t launches = run_inputs(&b, out);
        kz_net_let_replay(b.net, false);
        all = run_inputs(&b, plain);
        kz_net_let_replay(b.net, true);
        CHECK(memcmp(out, plain, INPUTS * sizeof(*out)) == 0);
        CHECK(launches ==
              (round ? KZ_REPLAY_MOST + (INPUTS - KZ_REPLAY_MOST) * (all / INPUTS) : all));
    }
    CHECK(all > 2 * INPUTS);
    close_bench(&b);
    kz_free(out);
    kz_free(plain);
    kz_graph_close(&graph);
}

/* ---- what fails ---- */

/* As many captures or replays succeed as the twin's variable says: the same bits, one line for each
 * part of the network that is affected, and from then on no graph. */
static void check_failing(kz_graph *graph, const char *variable, int succeed, int lines)
{
    const kz_plan_params params = {13, 9, KZ_PRECISION_FP16};
    char text[16];
    snprintf(text, sizeof(text), "%d", succeed);
    setenv(variable, text, 1);
    struct studio *failing = open_studio(graph, 13, 9, &params, true);
    unsetenv(variable);
    struct studio *plain = open_studio(graph, 13, 9, &params, false);
    const kz_tile tile = whole_of(plain);
    size_t all = 0, launches = 0;
    for (unsigned i = 0; i < PICTURES; i++) {
        all = make_picture(plain, i, &tile, 1);
        launches = make_picture(failing, i, &tile, 1);
        check_same(failing, plain);
    }
    if (is_twin(failing->device->gpu)) {
        CHECK(notes_count(&failing->notes, "kernels are launched one by one") == lines);
        CHECK(lines < 2 || launches == all);
    }
    close_studio(failing);
    close_studio(plain);
}

static void failures_lose_nothing(void)
{
    kz_graph *one = folded(random_srvgg(2, 16, 4, 5)), *two = folded(random_rrdb(1, 16, 8, 3));
    check_failing(one, "KIZUNA_TWIN_CAPTURES", 0, 1);
    check_failing(two, "KIZUNA_TWIN_CAPTURES", 0, 2);
    check_failing(two, "KIZUNA_TWIN_CAPTURES", 1, 1);
    for (int i = 0; i < 4; i += 2) {
        check_failing(one, "KIZUNA_TWIN_REPLAYS", i, 1);
        check_failing(two, "KIZUNA_TWIN_REPLAYS", i, 2);
    }
    kz_graph_close(&one);
    kz_graph_close(&two);
}

/* ---- captures ---- */

enum { BYTES = 1000 };

static void check_bytes(kz_gpu *gpu, const char *block, char value)
{
    char there[BYTES];
    kz_gpu_copy_out(gpu, there, BYTES, block, BYTES, BYTES, 1);
    CHECK(kz_gpu_wait(gpu) == 0);
    for (int i = 0; i < BYTES; i++)
        CHECK(there[i] == value);
}

static void fill(kz_gpu *gpu, char *block, char value)
{
    char bytes[BYTES];
    memset(bytes, value, BYTES);
    kz_gpu_copy_in(gpu, block, BYTES, bytes, BYTES, BYTES, 1);
    CHECK(kz_gpu_wait(gpu) == 0);
}

/* Written down, not run; then run as often as it is asked for. */
static void what_is_captured_is_not_run(void)
{
    kz_gpu *gpu;
    CHECK(kz_gpu_open(&gpu, 0, NULL) == 0);
    char *a = kz_gpu_alloc(gpu, BYTES), *b = kz_gpu_alloc(gpu, BYTES);
    fill(gpu, a, 1);
    fill(gpu, b, 2);
    CHECK(!kz_gpu_spoil_capture(gpu) && kz_gpu_begin_capture(gpu) == 0);
    kz_gpu_copy(gpu, a, b, BYTES);
    kz_gpu_clear(gpu, b, BYTES);
    kz_gpu_graph *graph = kz_gpu_end_capture(gpu);
    CHECK(graph);
    check_bytes(gpu, a, 1);
    check_bytes(gpu, b, 2);
    for (char i = 5; i < 8; i++) {
        fill(gpu, b, i);
        CHECK(kz_gpu_replay(gpu, graph) == 0);
        check_bytes(gpu, a, i);
        check_bytes(gpu, b, 0);
    }
    kz_gpu_close_graph(gpu, &graph);
    CHECK(!graph);
    kz_gpu_close_graph(gpu, &graph);
    kz_gpu_free(gpu, a);
    kz_gpu_free(gpu, b);
    kz_gpu_close(&gpu);
}

/* Somebody waits in the middle, or says that it can't be: nothing has happened, and the next
 * capture is none the worse. */
static void spoilt_captures_leave_no_trace(void)
{
    kz_gpu *gpu;
    CHECK(kz_gpu_open(&gpu, 0, NULL) == 0);
    char *block = kz_gpu_alloc(gpu, BYTES);
    fill(gpu, block, 1);
    for (int i = 0; i < 3; i++) {
        CHECK(kz_gpu_begin_capture(gpu) == 0);
        kz_gpu_clear(gpu, block, BYTES);
        CHECK(i == 0   ? kz_gpu_wait(gpu) == KZ_ERROR_FAILED
              : i == 1 ? kz_gpu_wait_batch(gpu) == KZ_ERROR_FAILED
                       : kz_gpu_spoil_capture(gpu));
        kz_gpu_clear(gpu, block, BYTES);
        CHECK(!kz_gpu_end_capture(gpu));
        check_bytes(gpu, block, 1);
        CHECK(kz_gpu_error(gpu)[0] == '\0');
    }
    CHECK(kz_gpu_begin_capture(gpu) == 0);
    kz_gpu_clear(gpu, block, BYTES);
    kz_gpu_graph *graph = kz_gpu_end_capture(gpu);
    CHECK(graph && kz_gpu_replay(gpu, graph) == 0);
    kz_gpu_close_graph(gpu, &graph);
    check_bytes(gpu, block, 0);
    kz_gpu_free(gpu, block);
    kz_gpu_close(&gpu);
}

static const struct check_case cases[] = {
    {"replays have the same bits", replays_have_the_same_bits},
    {"bands do, too", bands_do_too},
    {"one kernel isn't captured", one_kernel_is_not_captured},
    {"tiles of other sizes aren't replayed", tiles_of_other_sizes_are_not_replayed},
    {"each input has its graph", each_input_has_its_graph},
    {"failures lose nothing", failures_lose_nothing},
    {"what is captured isn't run", what_is_captured_is_not_run},
    {"spoilt captures leave no trace", spoilt_captures_leave_no_trace},
};

CHECK_MAIN(cases)
