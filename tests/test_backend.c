/* Back ends against the definition and against each other, on random networks shaped like the real
 * ones, and tiled against whole. $KIZUNA_CPU_LEVEL runs the CPU back end at a lower level. */
#include <malloc.h>
#include <math.h>
#include <stdint.h>

#include "backend/backend.h"
#include "backend/march/shape.h"
#include "backend/schedule.h"
#include "backend/split.h"
#include "base/mem.h"
#include "check.h"
#include "cpu_level.h"
#include "graph_eval.h"
#include "model/rewrite.h"
#include "model/tone.h"
#include "random_graph.h"

enum { ANY_GRAPHS = 150 };

static kz_log *errors(void)
{
    kz_log *log;
    CHECK(kz_log_open(&log, stderr, KZ_LOG_ERROR) == 0);
    return log;
}

struct result {
    float *data;
    int width, height;
};

/* Runs `in` (fp32 planar) through a back end in tiles of at most `tile`; sentinels around. */
static struct result run_backend(const kz_backend *backend, const kz_graph *graph, const float *in,
                                 int width, int height, int tile, int halo, int threads,
                                 enum kz_precision precision)
{
    kz_log *log = errors();
    kz_device *device;
    kz_plan *plan;
    kz_tiling tiling;
    kz_device_params device_params = {.threads = threads, .level = level()};
    int scale = graph->nodes[graph->output].scale;
    struct result r = {NULL, width * scale, height * scale};
    size_t count = (size_t)r.width * (size_t)r.height;
    CHECK(backend->open(&device, &device_params, log) == 0);
    CHECK(kz_tiling_fit(&tiling, width, height, tile, halo));
    kz_plan_params params = {tiling.tile_width, tiling.tile_height, precision};
    CHECK(backend->compile(device, &plan, graph, &params, log) == 0);
    float *guarded = kz_alloc(count + 32, sizeof(float));
    for (size_t i = 0; i < count + 32; i++)
        guarded[i] = 1234;
    kz_plane src = {.data = (void *)in,
                    .stride = width * 4,
                    .width = width,
                    .height = height,
                    .bytes = 4,
                    .depth = 8};
    kz_plane dst = {.data = guarded + 16,
                    .stride = r.width * 4,
                    .width = r.width,
                    .height = r.height,
                    .bytes = 4,
                    .depth = 8};
    kz_tile tiles[512];
    CHECK(kz_tiling_count(&tiling) <= 512);
    for (int i = 0; i < kz_tiling_count(&tiling); i++)
        tiles[i] = kz_tiling_get(&tiling, i);
    kz_run run = {.src = &src,
                  .src_levels = {0, 1},
                  .dst = &dst,
                  .dst_levels = {0, 1},
                  .tiles = tiles,
                  .n_tiles = kz_tiling_count(&tiling)};
    CHECK(backend->run(plan, &run) == 0);
    for (size_t i = 0; i < 16; i++)
        CHECK(guarded[i] == 1234 && guarded[16 + count + i] == 1234);
    backend->close_plan(&plan);
    backend->close(&device);
    kz_log_close(&log);
    r.data = kz_alloc(count, sizeof(float));
    memcpy(r.data, guarded + 16, count * sizeof(float));
    kz_free(guarded);
    return r;
}

static float *random_luma(int width, int height, unsigned seed)
{
    float *luma = kz_alloc((size_t)width * (size_t)height, sizeof(*luma));
    CHECK(luma);
    for (int i = 0; i < width * height; i++)
        luma[i] = random_unit(&seed) * 0.5f + 0.5f;
    return luma;
}

static double worst(const float *a, const float *b, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)a[i] - b[i]));
    return most;
}

static double psnr(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return -10 * log10(sum / (double)count + 1e-20);
}

static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};

static kz_graph *folded(kz_graph *graph)
{
    CHECK(kz_rewrite_all(graph, bt709, NULL) == 0);
    return graph;
}

/* ---- schedule ---- */

static void dense_blocks_are_slices_of_one_buffer(void)
{
    kz_graph *graph = folded(random_rrdb(2, 64, 32, 7));
    kz_schedule s;
    CHECK(kz_schedule_open(&s, graph, 16) == 0);
    int copies = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        copies += s.copies[i];
    CHECK(copies == 0);
    for (int i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i].op != KZ_OP_CONCAT)
            continue;
        for (int j = 0, channel = 0; j < graph->nodes[i].n_inputs; j++) {
            int input = graph->nodes[i].inputs[j];
            CHECK(s.slots[input].buffer == s.slots[i].buffer);
            CHECK(s.slots[input].channel == s.slots[i].channel + channel);
            channel += graph->nodes[input].channels;
        }
    }
    kz_schedule_close(&s);
    kz_graph_close(&graph);
}

static void buffers_alive_together_dont_overlap(void)
{
    kz_graph *graph = folded(random_rrdb(3, 64, 32, 8));
    kz_schedule s;
    CHECK(kz_schedule_open(&s, graph, 16) == 0);
    size_t sum = 0;
    for (int b = 0; b < s.n_buffers; b++)
        sum += s.buffers[b].bytes = (size_t)s.buffers[b].channels * 100;
    size_t size = kz_schedule_pack(&s);
    CHECK(size < sum);
    for (int a = 0; a < s.n_buffers; a++)
        for (int b = 0; b < a; b++) {
            const kz_buffer *x = &s.buffers[a], *y = &s.buffers[b];
            bool together = x->first <= y->last && y->first <= x->last;
            CHECK(!together || x->offset + x->bytes <= y->offset ||
                  y->offset + y->bytes <= x->offset);
            CHECK(x->offset + x->bytes <= size);
        }
    kz_schedule_close(&s);
    kz_graph_close(&graph);
}

static void split_cuts_before_the_enlargement(void)
{
    kz_graph *graph = folded(random_rrdb(1, 16, 16, 9)), *head, *tail;
    CHECK(kz_graph_split(graph, &head, &tail) == 0);
    CHECK(tail && head->nodes[head->output].scale == 1);
    CHECK(tail->nodes[0].op == KZ_OP_INPUT && tail->nodes[0].channels == 16);
    CHECK(tail->nodes[tail->output].scale == 4);
    CHECK(kz_graph_reach(tail) == 2);
    kz_graph_close(&head);
    kz_graph_close(&tail);
    kz_graph_close(&graph);
    graph = folded(random_srvgg(2, 16, 4, 9));
    CHECK(kz_graph_split(graph, &head, &tail) == 0);
    CHECK(!tail); /* the picture itself is added at the end */
    kz_graph_close(&head);
    kz_graph_close(&graph);
}

/* ---- groups of the march ---- */

/* Only its output leaves a dense block; a cut inside would let more through. */
static void dense_blocks_are_groups(void)
{
    static const int layers[] = {6, 5, 5, 5, 5, 6, 4};
    kz_graph *graph = folded(random_rrdb(2, 64, 32, 7));
    kz_march_params params = {100, 80, KZ_PRECISION_FP32, level(), 2};
    kz_march_shape s;
    if (level() >= KZ_CPU_AVX2) {
        CHECK(kz_march_shape_open(&s, graph, &params) == 0);
        CHECK(s.n_groups == 7);
        for (int g = 0; g < s.n_groups; g++)
            CHECK(s.groups[g].end - s.groups[g].first == layers[g]);
        kz_march_shape_close(&s);
    }
    kz_graph_close(&graph);
}

static int count_exact(kz_graph *graph)
{
    kz_march_params params = {100, 80, KZ_PRECISION_BF16, KZ_CPU_AVX512_BF16, 2};
    kz_march_shape s;
    int count = 0;
    CHECK(kz_march_shape_open(&s, graph, &params) == 0);
    for (int n = 0; n < s.n_nodes; n++)
        count += s.nodes[n].kernel.exact;
    kz_march_shape_close(&s);
    kz_graph_close(&graph);
    return count;
}

static void deep_networks_sum_in_fp32(void)
{
    if (!kz_kernel_large_for(KZ_CPU_AVX512_BF16, true))
        return;                                                  /* nor has AMX such a position */
    CHECK(count_exact(folded(random_rrdb(1, 64, 32, 7))) == 16); /* all before it enlarges */
    CHECK(count_exact(folded(random_srvgg(2, 64, 4, 7))) == 0);
}

/* Once or twice, all of it is our own kernels' work. */
static void luma_nets_march(void)
{
    kz_march_params params = {100, 80, KZ_PRECISION_FP32, level(), 2};
    for (int skip = 0; skip < 2 && level() >= KZ_CPU_AVX2; skip++) {
        kz_graph *graphs[] = {folded(random_luma_net(5, 16, skip, 7)),
                              folded(random_luma_net_twice(5, 16, skip, 7))};
        for (int g = 0; g < 2; g++) {
            kz_march_shape s;
            CHECK(kz_march_shape_open(&s, graphs[g], &params) == 0);
            kz_march_shape_close(&s);
            kz_graph_close(&graphs[g]);
        }
    }
}

/* ---- the reference against the definition ---- */

static void compare_reference(kz_graph *graph, int width, int height, unsigned seed)
{
    float *in = random_luma(width, height, seed);
    struct result r =
        run_backend(&kz_backend_reference, graph, in, width, height, 4096, 0, 2, KZ_PRECISION_AUTO);
    size_t count = (size_t)r.width * (size_t)r.height;
    float *expected = kz_alloc(count, sizeof(*expected));
    CHECK(graph_eval(graph, in, 1, height, width, expected) == 0);
    CHECK_NEAR(worst(r.data, expected, count), 0, 2e-5);
    kz_free(expected);
    kz_free(r.data);
    kz_free(in);
    kz_graph_close(&graph);
}

static void reference_equals_the_definition(void)
{
    compare_reference(folded(random_rrdb(1, 16, 8, 1)), 13, 9, 1);
    compare_reference(folded(random_rrdb(2, 8, 8, 2)), 7, 70, 2);
    compare_reference(folded(random_srvgg(3, 16, 4, 3)), 17, 11, 3);
    compare_reference(folded(random_srvgg(1, 12, 2, 4)), 1, 1, 4);
    compare_reference(folded(random_luma_net(4, 16, true, 5)), 19, 12, 5);
    compare_reference(folded(random_luma_net_twice(2, 8, false, 6)), 11, 14, 6);
}

/* ---- brightness ---- */

/* The middle of a flat picture, as the mean over what one pixel becomes. */
static float flat_middle(const kz_graph *graph, float value)
{
    enum { SIDE = 65 };
    float in[SIDE * SIDE], sum = 0;
    for (int i = 0; i < SIDE * SIDE; i++)
        in[i] = value;
    struct result r =
        run_backend(&kz_backend_reference, graph, in, SIDE, SIDE, 4096, 0, 2, KZ_PRECISION_AUTO);
    int scale = r.width / SIDE;
    for (int y = 0; y < scale; y++)
        for (int x = 0; x < scale; x++)
            sum += r.data[(SIDE / 2 * scale + y) * r.width + SIDE / 2 * scale + x];
    kz_free(r.data);
    return sum / (float)(scale * scale);
}

static void response_is_that_of_a_flat_picture(void)
{
    kz_graph *graphs[] = {folded(random_rrdb(1, 16, 8, 1)), folded(random_srvgg(3, 16, 4, 3)),
                          folded(random_luma_net(3, 16, true, 4))};
    for (int g = 0; g < 3; g++) {
        for (int i = 0; i <= 4; i++) {
            float response = NAN;
            CHECK(kz_tone_response(&response, graphs[g], (float)i / 4) == 0);
            CHECK_NEAR(response, flat_middle(graphs[g], (float)i / 4), 2e-5);
        }
        kz_graph_close(&graphs[g]);
    }
}

/* ---- the CPU against the reference ---- */

static void compare_cpu(kz_graph *graph, int width, int height, enum kz_precision precision)
{
    float *in = random_luma(width, height, 5);
    struct result r =
        run_backend(&kz_backend_reference, graph, in, width, height, 4096, 0, 2, KZ_PRECISION_AUTO);
    struct result c = run_backend(&kz_backend_cpu, graph, in, width, height, 4096, 0, 2, precision);
    size_t count = (size_t)r.width * (size_t)r.height;
    if (precision == KZ_PRECISION_FP32)
        CHECK_NEAR(worst(c.data, r.data, count), 0, 5e-5);
    else
        CHECK(psnr(c.data, r.data, count) > 41);
    kz_free(r.data);
    kz_free(c.data);
    kz_free(in);
    kz_graph_close(&graph);
}

static void small_networks_are_one_group(void)
{
    kz_graph *graph = folded(random_srvgg(7, 16, 2, 7));
    kz_march_params params = {100, 80, KZ_PRECISION_FP32, level(), 2};
    kz_march_shape s;
    if (level() >= KZ_CPU_AVX2) {
        CHECK(kz_march_shape_open(&s, graph, &params) == 0);
        CHECK(s.n_groups == 1 && s.nodes[s.n_nodes - 1].kind == KZ_KERNEL_END);
        for (int v = 1; v < s.n_values; v++)
            CHECK(!s.values[v].stored);
        kz_march_shape_close(&s);
    }
    kz_graph_close(&graph);
}

/* Two threads: three columns would be cut into halves. */
static void cells_recompute_little(void)
{
    static const struct {
        int width, columns, rows;
    } cases[] = {{640, 2, 1}, {1280, 2, 1}, {1920, 4, 1}};
    kz_graph *graph = folded(random_luma_net(5, 16, true, 8));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) && level() >= KZ_CPU_AVX2; i++) {
        kz_march_params params = {cases[i].width, 600, KZ_PRECISION_FP32, level(), 2};
        kz_march_shape s;
        CHECK(kz_march_shape_open(&s, graph, &params) == 0);
        CHECK(s.groups[0].columns == cases[i].columns && s.groups[0].rows == cases[i].rows);
        kz_march_shape_close(&s);
    }
    kz_graph_close(&graph);
}

/* Neither deep networks nor dense blocks bear their noise, but for what comes after them. */
static void large_tiles_are_for_shallow_networks(void)
{
    const struct {
        kz_graph *graph;
        bool large;
    } cases[] = {{folded(random_srvgg(16, 64, 4, 5)), true},
                 {folded(random_srvgg(39, 64, 4, 5)), false},
                 {folded(random_rrdb(1, 64, 32, 5)), false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kz_graph *graph = cases[i].graph;
        kz_march_params params = {40, 30, KZ_PRECISION_BF16, level(), 1};
        kz_march_shape s;
        if (kz_kernel_large_for(level(), true)) {
            CHECK(kz_march_shape_open(&s, graph, &params) == 0);
            for (int n = 0; n < s.n_nodes; n++)
                if (s.nodes[n].kind == KZ_KERNEL_CONV)
                    CHECK(s.nodes[n].kernel.ops->flat ==
                          (cases[i].large || s.values[s.nodes[n].output].scale > 1));
            kz_march_shape_close(&s);
        }
        kz_graph_close(&graph);
    }
}

static void cpu_fp32_equals_the_reference(void)
{
    compare_cpu(folded(random_rrdb(2, 64, 32, 11)), 37, 29, KZ_PRECISION_FP32);
    compare_cpu(folded(random_rrdb(1, 32, 16, 12)), 5, 71, KZ_PRECISION_FP32);
    compare_cpu(folded(random_srvgg(4, 64, 4, 13)), 41, 23, KZ_PRECISION_FP32);
    compare_cpu(folded(random_srvgg(2, 32, 2, 14)), 3, 2, KZ_PRECISION_FP32);
    compare_cpu(folded(random_luma_net(6, 16, false, 15)), 43, 31, KZ_PRECISION_FP32);
    compare_cpu(folded(random_luma_net(5, 32, true, 16)), 29, 37, KZ_PRECISION_FP32);
    compare_cpu(folded(random_luma_net(3, 8, true, 17)), 1, 5, KZ_PRECISION_FP32);
    compare_cpu(folded(random_luma_net_twice(3, 16, false, 18)), 41, 27, KZ_PRECISION_FP32);
    compare_cpu(folded(random_luma_net_twice(2, 32, true, 19)), 23, 38, KZ_PRECISION_FP32);
    compare_cpu(folded(random_luma_net_twice(2, 8, false, 20)), 3, 1, KZ_PRECISION_FP32);
    compare_cpu(folded(random_pyramid(21)), 29, 23, KZ_PRECISION_FP32);
    compare_cpu(folded(random_srvgg(5, 16, 2, 15)), 61, 35, KZ_PRECISION_FP32);
    compare_cpu(folded(random_srvgg(2, 24, 4, 16)), 29, 13, KZ_PRECISION_FP32);
    for (int convs = 1; convs < 9; convs++) {
        compare_cpu(folded(random_enlarger(convs, 16, 3, false, 17)), 17, 13, KZ_PRECISION_FP32);
        compare_cpu(folded(random_enlarger(convs, 48, 3, false, 17)), 17, 13, KZ_PRECISION_FP32);
    }
    compare_cpu(folded(random_enlarger(2, 48, 2, true, 17)), 17, 13, KZ_PRECISION_FP32);
    compare_cpu(folded(random_enlarger(7, 48, 3, true, 17)), 17, 13, KZ_PRECISION_FP32);
}

/* Whether the CPU takes the graph. What it doesn't, it names. */
static bool cpu_takes(const kz_graph *graph, int width, int height)
{
    kz_device_params params = {.threads = 2, .level = level()};
    kz_plan_params plan_params = {width, height, KZ_PRECISION_FP32};
    kz_device *device;
    kz_plan *plan;
    CHECK(kz_backend_cpu.open(&device, &params, NULL) == 0);
    const bool takes = kz_backend_cpu.compile(device, &plan, graph, &plan_params, NULL) == 0;
    if (takes)
        kz_backend_cpu.close_plan(&plan);
    kz_backend_cpu.close(&device);
    return takes;
}

static void any_graph_is_right_or_refused(void)
{
    int taken = 0;
    for (unsigned seed = 1; seed <= ANY_GRAPHS; seed++) {
        kz_graph *graph = random_any(seed);
        if (kz_rewrite_all(graph, bt709, NULL) == 0 && cpu_takes(graph, 19, 14)) {
            compare_cpu(graph, 19, 14, KZ_PRECISION_FP32);
            taken++;
        } else {
            kz_graph_close(&graph);
        }
    }
    CHECK(taken > ANY_GRAPHS / 2);
}

/* Random weights amplify rounding, which real ones don't (scripts/compare-engines): direct
 * convolutions reach 48 dB on the first of these, F(2×2) has (5/3)² times their noise, 4.4 dB. */
static void cpu_bf16_is_near_the_reference(void)
{
    if (level() < KZ_CPU_AVX512_BF16)
        return;
    compare_cpu(folded(random_rrdb(2, 64, 32, 21)), 37, 29, KZ_PRECISION_BF16);
    compare_cpu(folded(random_srvgg(4, 64, 4, 23)), 41, 23, KZ_PRECISION_BF16);
    compare_cpu(folded(random_luma_net(5, 32, true, 24)), 41, 23, KZ_PRECISION_BF16);
    compare_cpu(folded(random_luma_net(5, 16, true, 26)), 97, 42, KZ_PRECISION_BF16);
    compare_cpu(folded(random_luma_net_twice(3, 16, false, 25)), 41, 23, KZ_PRECISION_BF16);
    compare_cpu(folded(random_srvgg(5, 16, 2, 24)), 61, 35, KZ_PRECISION_BF16);
    compare_cpu(folded(random_srvgg(3, 32, 2, 25)), 27, 43, KZ_PRECISION_BF16);
}

static void cpu_refuses_bf16_without_it(void)
{
    kz_device *device;
    kz_plan *plan;
    kz_device_params params = {.threads = 1, .level = KZ_CPU_AVX2};
    kz_plan_params plan_params = {8, 8, KZ_PRECISION_BF16};
    if (level() > KZ_CPU_AVX2)
        return; /* oneDNN's level can't go down again in one process */
    kz_graph *graph = folded(random_srvgg(1, 16, 2, 3));
    CHECK(kz_backend_cpu.open(&device, &params, NULL) == 0);
    CHECK(kz_backend_cpu.compile(device, &plan, graph, &plan_params, NULL) == KZ_ERROR_USAGE);
    CHECK(!plan);
    kz_backend_cpu.close(&device);
    kz_graph_close(&graph);
}

/* Our own kernels are 3×3. */
static void make_one_by_one(kz_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        kz_node *node = &graph->nodes[i];
        if (node->op == KZ_OP_CONV && kz_graph_in_channels(graph, node) > 1) {
            node->kernel = 1;
            node->pad_top = node->pad_left = node->pad_bottom = node->pad_right = 0;
        }
    }
}

/* oneDNN has only naive code for 13 channels with AVX2, and for one pixel with AVX-512. */
static void cpu_names_a_layer_it_cant_run(void)
{
    bool small = level() <= KZ_CPU_AVX2;
    kz_graph *graph = folded(random_srvgg(2, small ? 13 : 16, 2, 3));
    make_one_by_one(graph);
    kz_device *device;
    kz_plan *plan;
    kz_log *log;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    kz_device_params params = {.threads = 1, .level = level()};
    kz_plan_params plan_params = {small ? 9 : 1, 1, KZ_PRECISION_FP32};
    CHECK(kz_log_open(&log, stream, KZ_LOG_ERROR) == 0);
    CHECK(kz_backend_cpu.open(&device, &params, log) == 0);
    int error = kz_backend_cpu.compile(device, &plan, graph, &plan_params, log);
    if (error != KZ_ERROR_FAILED)
        check_failed("result %d", error);
    kz_backend_cpu.close(&device);
    kz_log_close(&log);
    fclose(stream);
    CHECK(strstr(text, "layer conv"));
    free(text);
    kz_graph_close(&graph);
}

/* ---- tiles and threads ---- */

static void compare_tiles(kz_graph *graph, double bound)
{
    int halo = kz_graph_reach(graph), width = 97, height = 85;
    float *in = random_luma(width, height, 6);
    const kz_backend *backends[] = {&kz_backend_cpu, &kz_backend_reference};
    for (int b = 0; b < 2; b++) {
        struct result whole =
            run_backend(backends[b], graph, in, width, height, 4096, 0, 1, KZ_PRECISION_FP32);
        static const int tiles[] = {48, 60, 64, 90};
        for (int t = 0; t < 4; t++) {
            struct result tiled = run_backend(backends[b], graph, in, width, height, tiles[t], halo,
                                              2, KZ_PRECISION_FP32);
            /* F(4×4) rounds differently where a tile's corner isn't a multiple of 4. */
            CHECK_NEAR(worst(whole.data, tiled.data, (size_t)whole.width * (size_t)whole.height), 0,
                       bound);
            kz_free(tiled.data);
        }
        kz_free(whole.data);
    }
    kz_free(in);
    kz_graph_close(&graph);
}

static void tiles_equal_the_whole(void)
{
    compare_tiles(folded(random_rrdb(1, 16, 16, 31)), 1e-5);
    compare_tiles(folded(random_luma_net_twice(3, 16, true, 32)), 2e-5);
}

/* As AMX computes: a pixel depends on no more than its layers see. */
static bool is_direct(void)
{
    const kz_kernel_ops *const *table = kz_kernel_table_for(level(), true);
    return table && table[KZ_KERNEL_CONV]->positions == 0;
}

/* Of every eight the first is all of it, and the next one pixel: what it makes comes to lie where
 * other values were. */
static kz_rect random_part(int width, int height, int index, unsigned *seed)
{
    if (index % 8 == 0)
        return (kz_rect){0, 0, width, height};
    int x = (int)(random_unit(seed) * 0.499f * (float)width + 0.5f * (float)width);
    int y = (int)(random_unit(seed) * 0.499f * (float)height + 0.5f * (float)height);
    if (index % 8 == 1)
        return (kz_rect){x, y, x + 1, y + 1};
    int w = 1 + abs((int)(random_unit(seed) * (float)(width - x - 1)));
    int h = 1 + abs((int)(random_unit(seed) * (float)(height - y - 1)));
    return (kz_rect){x, y, x + w, y + h};
}

/* Runs single tiles of any size through one plan, and holds what each decides against `whole`. */
static void compare_parts(const kz_graph *graph, enum kz_precision precision, int width, int height,
                          int halo)
{
    kz_device *device;
    kz_plan *plan;
    kz_plan_info info;
    unsigned seed = 77;
    int scale = graph->nodes[graph->output].scale;
    float *in = random_luma(width, height, 9);
    struct result whole =
        run_backend(&kz_backend_cpu, graph, in, width, height, 4096, 0, 2, precision);
    float *out = kz_alloc((size_t)whole.width * (size_t)whole.height, sizeof(*out));
    kz_device_params device_params = {.threads = 2, .level = level()};
    kz_plan_params params = {width, height, precision};
    CHECK(kz_backend_cpu.open(&device, &device_params, NULL) == 0);
    CHECK(kz_backend_cpu.compile(device, &plan, graph, &params, NULL) == 0);
    kz_backend_cpu.info(plan, &info);
    kz_plane src = {
        .data = in, .stride = width * 4, .width = width, .height = height, .bytes = 4, .depth = 8};
    kz_plane dst = {.data = out,
                    .stride = whole.width * 4,
                    .width = whole.width,
                    .height = whole.height,
                    .bytes = 4,
                    .depth = 8};
    const int parts = is_direct() ? 10 : 40; /* emulated AMX takes its time */
    for (int i = 0; i < parts && info.any_size; i++) {
        const kz_rect part = random_part(width, height, i, &seed);
        const int x = part.x0, y = part.y0, w = part.x1 - x, h = part.y1 - y;
        kz_tile t = kz_tile_around(width, height, part, halo);
        kz_run run = {.src = &src,
                      .src_levels = {0, 1},
                      .dst = &dst,
                      .dst_levels = {0, 1},
                      .tiles = &t,
                      .n_tiles = 1};
        memset(out, 0, (size_t)whole.width * (size_t)whole.height * sizeof(*out));
        CHECK(kz_backend_cpu.run(plan, &run) == 0);
        for (int row = 0; row < whole.height; row++)
            for (int column = 0; column < whole.width; column++) {
                size_t at = (size_t)row * (size_t)whole.width + (size_t)column;
                bool own = row >= y * scale && row < (y + h) * scale && column >= x * scale &&
                           column < (x + w) * scale;
                CHECK(out[at] == (own ? whole.data[at] : 0));
            }
    }
    kz_backend_cpu.close_plan(&plan);
    kz_backend_cpu.close(&device);
    kz_free(whole.data);
    kz_free(out);
    kz_free(in);
}

/* Winograd's groups of pixels widen what a pixel depends on from 1 to at most 4 a layer. */
static void parts_are_as_the_whole(void)
{
    kz_graph *small = folded(random_srvgg(3, 32, 4, 33)),
             *dense = folded(random_rrdb(1, 32, 16, 35)),
             *twice = folded(random_luma_net_twice(3, 16, true, 36)),
             *odd = folded(random_srvgg(7, 48, 2, 37)); /* half a block is padding */
    compare_parts(small, KZ_PRECISION_FP32, 203, 121, 24);
    compare_parts(small, KZ_PRECISION_AUTO, 1100, 67, 12);
    compare_parts(odd, KZ_PRECISION_AUTO, 403, 67, is_direct() ? 8 : 32);
    compare_parts(dense, KZ_PRECISION_AUTO, 189, 383, 100);
    compare_parts(twice, KZ_PRECISION_FP32, 203, 121, 36);
    compare_parts(twice, KZ_PRECISION_AUTO, 403, 67, 36);
    kz_graph_close(&small);
    kz_graph_close(&dense);
    kz_graph_close(&twice);
    kz_graph_close(&odd);
}

static void compare_threads(kz_graph *graph, int width, int height, int tile, int halo)
{
    float *in = random_luma(width, height, 6);
    struct result one =
        run_backend(&kz_backend_cpu, graph, in, width, height, tile, halo, 1, KZ_PRECISION_AUTO);
    for (int threads = 2; threads <= 9; threads++) {
        struct result many = run_backend(&kz_backend_cpu, graph, in, width, height, tile, halo,
                                         threads, KZ_PRECISION_AUTO);
        CHECK(memcmp(one.data, many.data, (size_t)one.width * (size_t)one.height * sizeof(float)) ==
              0);
        kz_free(many.data);
    }
    kz_free(one.data);
    kz_free(in);
    kz_graph_close(&graph);
}

/* Threads change how the picture is cut into cells, too. */
static void threads_dont_change_a_bit(void)
{
    compare_threads(folded(random_srvgg(3, 32, 4, 33)), 120, 75, 40, 5);
    compare_threads(folded(random_srvgg(3, 24, 3, 34)), 203, 121, 4096, 0);
    compare_threads(folded(random_srvgg(3, 16, 2, 36)), 901, 71, 4096, 0);
    compare_threads(folded(random_rrdb(1, 32, 16, 35)), 189, 83, 4096, 0);
    compare_threads(folded(random_luma_net(5, 16, true, 37)), 901, 71, 4096, 0);
    compare_threads(folded(random_luma_net(5, 32, true, 38)), 451, 137, 4096, 0);
    compare_threads(folded(random_luma_net_twice(3, 16, true, 36)), 203, 121, 4096, 0);
}

static void need_is_what_compile_takes(void)
{
    kz_graph *graph = folded(random_rrdb(2, 64, 32, 41));
    const kz_backend *backends[] = {&kz_backend_cpu, &kz_backend_reference};
    for (int b = 0; b < 2; b++) {
        kz_device *device;
        kz_plan *plan;
        kz_plan_info info;
        kz_device_params device_params = {.threads = 2, .level = level()};
        kz_plan_params params = {100, 80, KZ_PRECISION_FP32};
        CHECK(backends[b]->open(&device, &device_params, NULL) == 0);
        double need = (double)backends[b]->need(device, graph, &params).bytes;
        CHECK(backends[b]->compile(device, &plan, graph, &params, NULL) == 0);
        backends[b]->info(plan, &info);
        CHECK(fabs(need / (double)info.memory - 1) < 0.15);
        backends[b]->close_plan(&plan);
        backends[b]->close(&device);
    }
    kz_graph_close(&graph);
}

static void cancel_ends_a_run(void)
{
    kz_graph *graph = folded(random_srvgg(3, 32, 4, 33));
    atomic_bool stop = true;
    kz_device *device;
    kz_plan *plan;
    kz_tiling tiling;
    float *in = random_luma(64, 64, 1), *out = kz_alloc(256 * 256, sizeof(*out));
    kz_device_params device_params = {.threads = 2, .level = level()};
    kz_plan_params params = {64, 64, KZ_PRECISION_FP32};
    CHECK(kz_tiling_fit(&tiling, 64, 64, 64, 0));
    CHECK(kz_backend_cpu.open(&device, &device_params, NULL) == 0);
    CHECK(kz_backend_cpu.compile(device, &plan, graph, &params, NULL) == 0);
    kz_plane src = {
        .data = in, .stride = 64 * 4, .width = 64, .height = 64, .bytes = 4, .depth = 8};
    kz_plane dst = {
        .data = out, .stride = 256 * 4, .width = 256, .height = 256, .bytes = 4, .depth = 8};
    kz_tile tile = kz_tiling_get(&tiling, 0);
    kz_run run = {.src = &src,
                  .src_levels = {0, 1},
                  .dst = &dst,
                  .dst_levels = {0, 1},
                  .tiles = &tile,
                  .n_tiles = 1,
                  .cancel = &stop};
    CHECK(kz_backend_cpu.run(plan, &run) == KZ_ERROR_CANCELLED);
    stop = false;
    CHECK(kz_backend_cpu.run(plan, &run) == 0);
    kz_backend_cpu.close_plan(&plan);
    kz_backend_cpu.close(&device);
    kz_free(in);
    kz_free(out);
    kz_graph_close(&graph);
}

static const struct check_case cases[] = {
    {"dense blocks are slices of one buffer", dense_blocks_are_slices_of_one_buffer},
    {"buffers alive together don't overlap", buffers_alive_together_dont_overlap},
    {"split cuts before the enlargement", split_cuts_before_the_enlargement},
    {"dense blocks are groups", dense_blocks_are_groups},
    {"deep networks sum in fp32", deep_networks_sum_in_fp32},
    {"luma networks march", luma_nets_march},
    {"small networks are one group", small_networks_are_one_group},
    {"cells recompute little", cells_recompute_little},
    {"large tiles are for shallow networks", large_tiles_are_for_shallow_networks},
    {"reference equals the definition", reference_equals_the_definition},
    {"response is that of a flat picture", response_is_that_of_a_flat_picture},
    {"cpu fp32 equals the reference", cpu_fp32_equals_the_reference},
    {"any graph is right or refused", any_graph_is_right_or_refused},
    {"cpu bf16 is near the reference", cpu_bf16_is_near_the_reference},
    {"cpu refuses bf16 without it", cpu_refuses_bf16_without_it},
    {"cpu names a layer it can't run", cpu_names_a_layer_it_cant_run},
    {"tiles equal the whole", tiles_equal_the_whole},
    {"parts are as the whole", parts_are_as_the_whole},
    {"threads don't change a bit", threads_dont_change_a_bit},
    {"need is what compile takes", need_is_what_compile_takes},
    {"cancel ends a run", cancel_ends_a_run},
};

CHECK_CASES(cases)

/* Memory is given out full of large numbers, so that what should be cleared and isn't shows. */
int main(int argc, char **argv)
{
    mallopt(M_MMAP_MAX, 0); /* fresh pages would be zero */
    mallopt(M_PERTURB, 0x80);
    return run_cases(argc, argv);
}
