#include "cuda/selftest.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"

/* Wider and higher than a kernel's block, and no multiple of it. */
enum { WIDTH = 43, HEIGHT = 21, SCALE = 2, OUT = WIDTH * SCALE * HEIGHT * SCALE };

/* Ten times what fp16 leaves, of an output from -0.8 to 1.2. */
#define BOUND 0.005

/* A linear congruential generator (D. Knuth, MMIX): from -1 to 1. */
static float next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*state >> 32) / 2147483648.0f;
}

static float *random_floats(int count, float scale, uint64_t *state)
{
    float *floats = kz_alloc((size_t)count, sizeof(*floats));
    for (int i = 0; floats && i < count; i++)
        floats[i] = scale * next(state);
    return floats;
}

/* ---- the network ---- */

/* A convolution that keeps the size of the numbers, whatever its inputs. */
static int add_conv(kz_graph *g, enum kz_op op, int input, int inputs, int outputs, int residual,
                    bool activated, uint64_t *state)
{
    const bool phases = op == KZ_OP_PHASE_CONV;
    const int taps = phases ? 16 : 9, summed = inputs * (phases ? 4 : 9);
    kz_node node = {.op = op,
                    .inputs = {input, residual},
                    .n_inputs = residual < 0 ? 1 : 2,
                    .coefs = {0, 0.5f},
                    .channels = outputs,
                    .kernel = 3,
                    .pad_top = 1,
                    .pad_left = 1,
                    .pad_bottom = 1,
                    .pad_right = 1,
                    .factor = phases ? 2 : 0,
                    .act = activated ? KZ_ACT_LEAKY : KZ_ACT_NONE,
                    .slope = 0.2f};
    snprintf(node.name, sizeof(node.name), "test");
    node.weights = random_floats(taps * inputs * outputs, sqrtf(3.0f / (float)summed), state);
    node.bias = random_floats(outputs, 0.2f, state);
    if (!node.weights || !node.bias) {
        kz_free(node.weights);
        kz_free(node.bias);
        return KZ_ERROR_MEMORY;
    }
    return kz_graph_add(g, &node);
}

/* 1 → 64, 64 → 16, both → 64 and a residual, enlarged → 16, → 1. */
static int fill_network(kz_graph *g)
{
    uint64_t state = 1;
    kz_node input = {.op = KZ_OP_INPUT, .name = "in", .channels = 1, .scale = 1};
    int at = kz_graph_add(g, &input);
    const int wide = at < 0 ? at : add_conv(g, KZ_OP_CONV, at, 1, 64, -1, true, &state);
    const int thin = wide < 0 ? wide : add_conv(g, KZ_OP_CONV, wide, 64, 16, -1, true, &state);
    kz_node both = {.op = KZ_OP_CONCAT, .name = "both", .inputs = {wide, thin}, .n_inputs = 2};
    at = thin < 0 ? thin : kz_graph_add(g, &both);
    at = at < 0 ? at : add_conv(g, KZ_OP_CONV, at, 80, 64, wide, true, &state);
    at = at < 0 ? at : add_conv(g, KZ_OP_PHASE_CONV, at, 64, 16, -1, true, &state);
    at = at < 0 ? at : add_conv(g, KZ_OP_CONV, at, 16, 1, -1, false, &state);
    g->output = at;
    return at < 0 ? at : kz_graph_check(g, "the test's network", NULL);
}

/* What one kernel computes whole: 1 → 16 → 16 → 4, shuffled, and the input added. */
static int fill_small_network(kz_graph *g)
{
    uint64_t state = 3;
    kz_node input = {.op = KZ_OP_INPUT, .name = "in", .channels = 1, .scale = 1};
    kz_node shuffle = {.op = KZ_OP_PIXEL_SHUFFLE, .name = "test", .n_inputs = 1, .factor = SCALE};
    kz_node nearest = {.op = KZ_OP_UPSAMPLE, .name = "test", .n_inputs = 1, .factor = SCALE};
    kz_node sum = {.op = KZ_OP_ADD, .name = "test", .n_inputs = 2, .coefs = {1, 1}};
    const int in = kz_graph_add(g, &input);
    int at = in < 0 ? in : add_conv(g, KZ_OP_CONV, in, 1, 16, -1, true, &state);
    at = at < 0 ? at : add_conv(g, KZ_OP_CONV, at, 16, 16, -1, true, &state);
    at = at < 0 ? at : add_conv(g, KZ_OP_CONV, at, 16, SCALE * SCALE, -1, false, &state);
    shuffle.inputs[0] = at;
    at = at < 0 ? at : kz_graph_add(g, &shuffle);
    sum.inputs[0] = at;
    at = at < 0 ? at : kz_graph_add(g, &nearest);
    sum.inputs[1] = at;
    at = at < 0 ? at : kz_graph_add(g, &sum);
    g->output = at;
    return at < 0 ? at : kz_graph_check(g, "the test's small network", NULL);
}

/* ---- running it ---- */

static kz_plane plane_of(float *data, int scale)
{
    return (kz_plane){.data = data,
                      .stride = (ptrdiff_t)(WIDTH * scale) * (ptrdiff_t)sizeof(float),
                      .width = WIDTH * scale,
                      .height = HEIGHT * scale,
                      .bytes = sizeof(float)};
}

static int run_on(const kz_backend *backend, kz_device *device, const kz_graph *graph, float *in,
                  float *out)
{
    const kz_plan_params params = {WIDTH, HEIGHT, KZ_PRECISION_AUTO};
    const kz_tile tile = {0, 0, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT};
    const kz_plane src = plane_of(in, 1), dst = plane_of(out, SCALE);
    const kz_run run = {.src = &src,
                        .src_levels = {0, 1},
                        .dst = &dst,
                        .dst_levels = {0, 1},
                        .tiles = &tile,
                        .n_tiles = 1};
    kz_plan *plan;
    int error = backend->compile(device, &plan, graph, &params, NULL);
    if (!error)
        error = backend->run(plan, &run);
    backend->close_plan(&plan);
    return error;
}

static int compute(const kz_backend *backend, int index, const kz_graph *graph, float *in,
                   float *out)
{
    const kz_device_params params = {.threads = 1, .index = index};
    kz_device *device;
    int error = backend->open(&device, &params, NULL);
    if (!error)
        error = run_on(backend, device, graph, in, out);
    backend->close(&device);
    return error;
}

/* The largest difference; infinite where one is no number. */
static double worst_of(const float *a, const float *b)
{
    double most = 0;
    for (int i = 0; i < OUT; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        most = fmax(most, isnan(difference) ? INFINITY : difference);
    }
    return most;
}

static int test_network(const kz_backend *backend, int index, int (*fill)(kz_graph *), char *why,
                        size_t size)
{
    uint64_t state = 2;
    kz_graph *graph = NULL;
    float *in = random_floats(WIDTH * HEIGHT, 1, &state);
    float *made = kz_alloc(OUT, sizeof(*made)), *right = kz_alloc(OUT, sizeof(*right));
    int error = in && made && right && !kz_graph_open(&graph) ? fill(graph) : KZ_ERROR_MEMORY;
    if (!error)
        error = compute(&kz_backend_reference, 0, graph, in, right);
    if (!error)
        error = compute(backend, index, graph, in, made);
    const double worst = error ? 0 : worst_of(made, right);
    if (error)
        snprintf(why, size, "a small test network could not be run on the device");
    else if (worst > BOUND)
        snprintf(why, size, "the device computes a small test network wrongly (off by %g)", worst);
    kz_graph_close(&graph);
    kz_free(in);
    kz_free(made);
    kz_free(right);
    return error || worst > BOUND ? KZ_ERROR_FAILED : 0;
}

int kz_cuda_selftest(const kz_backend *backend, int index, char *why, size_t size)
{
    const int error = test_network(backend, index, fill_network, why, size);
    return error ? error : test_network(backend, index, fill_small_network, why, size);
}
