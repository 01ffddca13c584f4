#include "random_graph.h"

#include <math.h>

#include "base/mem.h"
#include "check.h"

float random_unit(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / 8388608.0f - 1;
}

struct maker {
    kz_graph *graph;
    unsigned seed;
};

static float *random_floats(struct maker *m, size_t count, float scale)
{
    float *data = kz_alloc(count, sizeof(*data));
    CHECK(data);
    for (size_t i = 0; i < count; i++)
        data[i] = random_unit(&m->seed) * scale;
    return data;
}

static int add(struct maker *m, kz_node node)
{
    snprintf(node.name, sizeof(node.name), "%s_%d", node.op == KZ_OP_CONV ? "conv" : "node",
             m->graph->n_nodes);
    int index = kz_graph_add(m->graph, &node);
    CHECK(index >= 0);
    return index;
}

static int conv_of(struct maker *m, int input, int in, int out, int kernel, enum kz_act act)
{
    const int taps = kernel * kernel, pad = kernel / 2;
    kz_node node = {.op = KZ_OP_CONV,
                    .inputs = {input},
                    .n_inputs = 1,
                    .channels = out,
                    .kernel = kernel,
                    .pad_top = pad,
                    .pad_left = pad,
                    .pad_bottom = pad,
                    .pad_right = pad,
                    .act = act,
                    .slope = 0.2f};
    /* Variance is kept from layer to layer, so that errors show and nothing explodes. */
    node.weights =
        random_floats(m, (size_t)(in * out * taps), 3.6f / sqrtf((float)in * 3 * (float)taps));
    node.bias = random_floats(m, (size_t)out, 0.1f);
    return add(m, node);
}

static int conv(struct maker *m, int input, int in, int out, enum kz_act act)
{
    return conv_of(m, input, in, out, 3, act);
}

static int prelu(struct maker *m, int input, int channels)
{
    kz_node node = {.op = KZ_OP_ACTIVATION,
                    .inputs = {input},
                    .n_inputs = 1,
                    .act = KZ_ACT_PRELU,
                    .channels = channels};
    node.slopes = random_floats(m, (size_t)channels, 0.5f);
    return add(m, node);
}

static int sum(struct maker *m, int a, float a_coef, int b, float b_coef)
{
    kz_node node = {.op = KZ_OP_ADD, .inputs = {a, b}, .n_inputs = 2, .coefs = {a_coef, b_coef}};
    return add(m, node);
}

static int upsample(struct maker *m, int input, int factor)
{
    kz_node node = {.op = KZ_OP_UPSAMPLE, .inputs = {input}, .n_inputs = 1, .factor = factor};
    return add(m, node);
}

static struct maker begin(unsigned seed, int channels)
{
    struct maker m = {NULL, seed};
    CHECK(kz_graph_open(&m.graph) == 0);
    add(&m, (kz_node){.op = KZ_OP_INPUT, .channels = channels, .scale = 1});
    return m;
}

static kz_graph *end(struct maker *m, int output)
{
    m->graph->output = output;
    CHECK(kz_graph_check(m->graph, "random", NULL) == 0);
    return m->graph;
}

static int dense_block(struct maker *m, int input, int channels, int growth)
{
    int parts[5] = {input}, joined = input;
    for (int i = 1; i < 5; i++) {
        parts[i] = conv(m, joined, channels + (i - 1) * growth, growth, KZ_ACT_LEAKY);
        kz_node concat = {.op = KZ_OP_CONCAT, .n_inputs = i + 1};
        memcpy(concat.inputs, parts, sizeof(parts));
        joined = add(m, concat);
    }
    int last = conv(m, joined, channels + 4 * growth, channels, KZ_ACT_NONE);
    return sum(m, last, 0.2f, input, 1);
}

kz_graph *random_rrdb(int blocks, int channels, int growth, unsigned seed)
{
    struct maker m = begin(seed, 3);
    int first = conv(&m, 0, 3, channels, KZ_ACT_NONE), x = first;
    for (int b = 0; b < blocks; b++) {
        int before = x;
        for (int d = 0; d < 3; d++)
            x = dense_block(&m, x, channels, growth);
        x = sum(&m, x, 0.2f, before, 1);
    }
    x = sum(&m, conv(&m, x, channels, channels, KZ_ACT_NONE), 1, first, 1);
    for (int i = 0; i < 2; i++)
        x = conv(&m, upsample(&m, x, 2), channels, channels, KZ_ACT_LEAKY);
    x = conv(&m, x, channels, channels, KZ_ACT_LEAKY);
    return end(&m, conv(&m, x, channels, 3, KZ_ACT_NONE));
}

/* Shuffled, and the enlarged input added. */
static kz_graph *end_shuffled(struct maker *m, int value, int factor)
{
    int shuffle = add(
        m,
        (kz_node){.op = KZ_OP_PIXEL_SHUFFLE, .inputs = {value}, .n_inputs = 1, .factor = factor});
    return end(m, sum(m, shuffle, 1, upsample(m, 0, factor), 1));
}

kz_graph *random_srvgg(int convs, int channels, int factor, unsigned seed)
{
    struct maker m = begin(seed, 3);
    int x = 0;
    for (int i = 0; i < convs; i++)
        x = prelu(&m, conv(&m, x, i ? channels : 3, channels, KZ_ACT_NONE), channels);
    x = conv(&m, x, channels, 3 * factor * factor, KZ_ACT_NONE);
    return end_shuffled(&m, x, factor);
}

kz_graph *random_luma_net(int convs, int channels, bool skip, unsigned seed)
{
    struct maker m = begin(seed, 1);
    int x = prelu(&m, conv(&m, 0, 1, channels, KZ_ACT_NONE), channels), first = x;
    for (int i = 1; i < convs; i++)
        x = prelu(&m, conv(&m, x, channels, channels, KZ_ACT_NONE), channels);
    if (skip)
        x = sum(&m, x, 1, first, 1);
    return end_shuffled(&m, conv(&m, x, channels, 4, KZ_ACT_NONE), 2);
}

kz_graph *random_luma_net_twice(int convs, int channels, bool skip, unsigned seed)
{
    kz_graph *once = random_luma_net(convs, channels, skip, seed), *twice;
    CHECK(kz_graph_twice(&twice, once, "random", NULL) == 0);
    kz_graph_close(&once);
    return twice;
}

kz_graph *random_pyramid(unsigned seed)
{
    struct maker m = begin(seed, 1);
    int x = conv(&m, conv(&m, 0, 1, 16, KZ_ACT_LEAKY), 16, 4, KZ_ACT_NONE);
    const kz_node shuffle = {.op = KZ_OP_PIXEL_SHUFFLE, .n_inputs = 1, .factor = 2};
    kz_node first = shuffle, second = shuffle;
    first.inputs[0] = x;
    x = add(&m, first);
    const int once = sum(&m, x, 1, upsample(&m, 0, 2), 1);
    second.inputs[0] = conv(&m, conv(&m, x, 1, 16, KZ_ACT_LEAKY), 16, 4, KZ_ACT_NONE);
    const int twice = add(&m, second);
    return end(&m, sum(&m, twice, 1, upsample(&m, once, 2), 1));
}

kz_graph *random_enlarger(int convs, int channels, int factor, bool joined, unsigned seed)
{
    struct maker m = begin(seed, 3);
    int x = conv(&m, 0, 3, channels, KZ_ACT_LEAKY);
    for (int i = 1; i < convs; i++)
        x = conv(&m, x, channels, channels, KZ_ACT_LEAKY);
    const int enlarged = upsample(&m, x, factor);
    x = conv(&m, enlarged, channels, channels, KZ_ACT_LEAKY);
    if (joined)
        x = add(&m, (kz_node){.op = KZ_OP_CONCAT, .inputs = {enlarged, x}, .n_inputs = 2});
    return end(&m, conv(&m, x, joined ? 2 * channels : channels, 3, KZ_ACT_NONE));
}

static int pick(struct maker *m, int count)
{
    m->seed = m->seed * 1664525u + 1013904223u;
    return (int)((m->seed >> 16) % (unsigned)count);
}

/* Another value of the same scale, and of as many channels where `alike`; `value` itself if there
 * is none. */
static int partner(struct maker *m, int value, bool alike)
{
    const kz_graph *g = m->graph;
    for (int i = 0; i < 8; i++) {
        const int other = pick(m, g->n_nodes);
        if (g->nodes[other].scale == g->nodes[value].scale &&
            (!alike || g->nodes[other].channels == g->nodes[value].channels))
            return other;
    }
    return value;
}

static int any_conv(struct maker *m, int value)
{
    static const int kernels[] = {1, 3, 3, 3, 3, 5}, outs[] = {4, 9, 16, 16, 32, 32, 48, 64};
    return conv_of(m, value, m->graph->nodes[value].channels, outs[pick(m, 8)], kernels[pick(m, 6)],
                   pick(m, 2) ? KZ_ACT_LEAKY : KZ_ACT_NONE);
}

/* Scales and channels follow, for the next layer to know. */
static int any_layer(struct maker *m, int value)
{
    const int scale = m->graph->nodes[value].scale, channels = m->graph->nodes[value].channels;
    const int factor = scale == 1 ? 2 + pick(m, 2) : 2;
    int made = value;
    switch (pick(m, 8)) {
    case 0:
        made = scale < 4 ? upsample(m, value, factor) : value;
        break;
    case 1:
        made = sum(m, value, 0.5f, partner(m, value, true), pick(m, 2) ? 1 : -0.5f);
        break;
    case 2:
        if (channels < 100)
            made = add(m, (kz_node){.op = KZ_OP_CONCAT,
                                    .inputs = {value, partner(m, value, false)},
                                    .n_inputs = 2});
        break;
    case 3:
        made = prelu(m, value, channels);
        break;
    case 4:
        if (channels % (factor * factor) == 0 && scale < 4)
            made = add(m, (kz_node){.op = KZ_OP_PIXEL_SHUFFLE,
                                    .inputs = {value},
                                    .n_inputs = 1,
                                    .factor = factor});
        break;
    default:
        made = any_conv(m, value);
    }
    m->graph->output = made;
    CHECK(kz_graph_check(m->graph, "random", NULL) == 0);
    return made;
}

kz_graph *random_any(unsigned seed)
{
    struct maker m = begin(seed, 3);
    int x = conv(&m, 0, 3, 16 << pick(&m, 3), KZ_ACT_LEAKY);
    m.graph->output = x;
    CHECK(kz_graph_check(m.graph, "random", NULL) == 0);
    for (int layers = 2 + pick(&m, 12); layers > 0; layers--)
        x = any_layer(&m, x);
    return end(&m, conv(&m, x, m.graph->nodes[x].channels, 3, KZ_ACT_NONE));
}
