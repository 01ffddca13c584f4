/* The oracle: every operation as its definition reads, planar fp32, sums in fp32 from the bias on.
 * It is compared with, never optimised. */
#include "backend/host.h"

#include <string.h>

#include "backend/schedule.h"
#include "base/mem.h"

struct kz_net {
    kz_graph *graph;
    kz_schedule schedule;
    kz_net_params params;
    size_t arena_bytes;
    char *arenas; /* workers × arena_bytes */
};

/* ---- memory ---- */

static size_t value_floats(const kz_net_params *params, int channels, int scale)
{
    return (size_t)channels * (size_t)(params->width * scale) * (size_t)(params->height * scale);
}

static size_t pack(kz_schedule *schedule, const kz_net_params *params)
{
    for (int b = 0; b < schedule->n_buffers; b++)
        schedule->buffers[b].bytes =
            value_floats(params, schedule->buffers[b].channels, schedule->buffers[b].scale) *
            sizeof(float);
    return kz_schedule_pack(schedule);
}

static size_t weight_bytes(const kz_graph *graph)
{
    size_t floats = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        const kz_node *node = &graph->nodes[i];
        size_t taps = node->op == KZ_OP_PHASE_CONV ? 16 : (size_t)(node->kernel * node->kernel);
        if (node->weights)
            floats += taps * (size_t)node->channels * (size_t)kz_graph_in_channels(graph, node);
    }
    return floats * sizeof(float);
}

static size_t net_need(const kz_graph *graph, const kz_net_params *params)
{
    kz_schedule schedule;
    if (kz_schedule_open(&schedule, graph, 1))
        return (size_t)-1;
    size_t bytes = pack(&schedule, params) * (size_t)params->workers + weight_bytes(graph);
    kz_schedule_close(&schedule);
    return bytes;
}

static void net_close(kz_net **net)
{
    kz_net *n = *net;
    if (!n)
        return;
    kz_schedule_close(&n->schedule);
    kz_graph_close(&n->graph);
    kz_free(n->arenas);
    kz_free(n);
    *net = NULL;
}

static int net_open(kz_net **net, const kz_graph *graph, const kz_net_params *params, kz_log *log)
{
    kz_net *n = *net = kz_alloc(1, sizeof(*n));
    if (!n)
        return kz_fail_memory(log, "the network");
    n->params = *params;
    if (kz_graph_copy(&n->graph, graph) || kz_schedule_open(&n->schedule, graph, 1)) {
        net_close(net);
        return kz_fail_memory(log, "the network");
    }
    n->arena_bytes = pack(&n->schedule, params);
    n->arenas = kz_alloc_raw(n->arena_bytes, (size_t)params->workers);
    if (!n->arenas) {
        net_close(net);
        return kz_fail_memory(log, "the network's values");
    }
    return 0;
}

static size_t net_memory(const kz_net *n)
{
    return n->arena_bytes * (size_t)n->params.workers + weight_bytes(n->graph);
}

/* ---- operations ---- */

struct image {
    float *data;
    int channels, height, width;
};

static struct image value(const kz_net *n, char *arena, int index)
{
    const kz_node *node = &n->graph->nodes[index];
    kz_slot slot = n->schedule.slots[index];
    float *base = (float *)(arena + n->schedule.buffers[slot.buffer].offset);
    return (struct image){base + value_floats(&n->params, slot.channel, node->scale),
                          node->channels, n->params.height * node->scale,
                          n->params.width * node->scale};
}

static size_t at(struct image image, int c, int y, int x)
{
    return ((size_t)c * (size_t)image.height + (size_t)y) * (size_t)image.width + (size_t)x;
}

static float activate(const kz_node *node, int channel, float x)
{
    if (node->act == KZ_ACT_NONE || x >= 0)
        return x;
    return x * (node->act == KZ_ACT_PRELU ? node->slopes[channel] : node->slope);
}

/* Adds weight × the source shifted by (dy, dx), zero outside, to every `step`-th output sample. */
static void add_tap(struct image out, int c, int a, int b, int step, struct image in, int i, int dy,
                    int dx, float weight)
{
    int x0 = dx < 0 ? -dx : 0, x1 = in.width - (dx > 0 ? dx : 0);
    for (int y = 0; y < out.height / step; y++) {
        if (y + dy < 0 || y + dy >= in.height)
            continue;
        float *o = out.data + at(out, c, y * step + a, b);
        const float *s = in.data + at(in, i, y + dy, 0);
        for (int x = x0; x < x1; x++)
            o[(size_t)x * (size_t)step] += weight * s[x + dx];
    }
}

static void fill_bias(const kz_node *node, struct image out)
{
    size_t pixels = (size_t)out.height * (size_t)out.width;
    for (int c = 0; c < out.channels; c++)
        for (size_t p = 0; p < pixels; p++)
            out.data[(size_t)c * pixels + p] = node->bias ? node->bias[c] : 0;
}

static void conv(const kz_node *node, struct image in, struct image out)
{
    int k = node->kernel;
    const float *w = node->weights;
    for (int c = 0; c < out.channels; c++)
        for (int i = 0; i < in.channels; i++)
            for (int ky = 0; ky < k; ky++)
                for (int kx = 0; kx < k; kx++)
                    add_tap(out, c, 0, 0, 1, in, i, ky - node->pad_top, kx - node->pad_left, *w++);
}

static void phase_conv(const kz_node *node, struct image in, struct image out)
{
    const float *w = node->weights;
    for (int phase = 0; phase < 4; phase++)
        for (int c = 0; c < out.channels; c++)
            for (int i = 0; i < in.channels; i++)
                for (int tap = 0; tap < 4; tap++)
                    add_tap(out, c, phase / 2, phase % 2, 2, in, i, phase / 2 - 1 + tap / 2,
                            phase % 2 - 1 + tap % 2, *w++);
}

static void activate_all(const kz_node *node, struct image image)
{
    size_t pixels = (size_t)image.height * (size_t)image.width;
    for (int c = 0; c < image.channels; c++)
        for (size_t p = 0; p < pixels; p++)
            image.data[(size_t)c * pixels + p] =
                activate(node, c, image.data[(size_t)c * pixels + p]);
}

static void add_scaled(struct image out, struct image in, float coef)
{
    size_t count = (size_t)out.channels * (size_t)out.height * (size_t)out.width;
    for (size_t i = 0; i < count; i++)
        out.data[i] += coef * in.data[i];
}

static void shuffle(struct image in, struct image out, int f)
{
    for (int c = 0; c < out.channels; c++)
        for (int y = 0; y < out.height; y++)
            for (int x = 0; x < out.width; x++)
                out.data[at(out, c, y, x)] =
                    in.data[at(in, (c * f + y % f) * f + x % f, y / f, x / f)];
}

static void upsample(struct image in, struct image out, int f)
{
    for (int c = 0; c < out.channels; c++)
        for (int y = 0; y < out.height; y++)
            for (int x = 0; x < out.width; x++)
                out.data[at(out, c, y, x)] = in.data[at(in, c, y / f, x / f)];
}

static void copy_into(struct image in, float *out)
{
    size_t count = (size_t)in.channels * (size_t)in.height * (size_t)in.width;
    if (count && in.data != out)
        memcpy(out, in.data, count * sizeof(*out));
}

static void concat(const kz_net *n, char *arena, const kz_node *node, struct image out)
{
    for (int i = 0, channel = 0; i < node->n_inputs; i++) {
        struct image in = value(n, arena, node->inputs[i]);
        copy_into(in, out.data + at(out, channel, 0, 0));
        channel += in.channels;
    }
}

static void run_node(const kz_net *n, char *arena, int index)
{
    const kz_node *node = &n->graph->nodes[index];
    struct image out = value(n, arena, index), in = {0};
    int first_residual = 1;
    if (node->n_inputs)
        in = value(n, arena, node->inputs[0]);
    switch (node->op) {
    case KZ_OP_INPUT:
        return;
    case KZ_OP_CONV:
        fill_bias(node, out);
        conv(node, in, out);
        activate_all(node, out);
        break;
    case KZ_OP_PHASE_CONV:
        fill_bias(node, out);
        phase_conv(node, in, out);
        activate_all(node, out);
        break;
    case KZ_OP_ACTIVATION:
        copy_into(in, out.data);
        activate_all(node, out);
        return;
    case KZ_OP_ADD:
        memset(out.data, 0, at(out, out.channels, 0, 0) * sizeof(*out.data));
        first_residual = 0;
        break;
    case KZ_OP_CONCAT:
        concat(n, arena, node, out);
        return;
    case KZ_OP_UPSAMPLE:
        upsample(in, out, node->factor);
        return;
    case KZ_OP_PIXEL_SHUFFLE:
        shuffle(in, out, node->factor);
        return;
    }
    for (int i = first_residual; i < node->n_inputs; i++)
        add_scaled(out, value(n, arena, node->inputs[i]), node->coefs[i]);
}

static int net_run(kz_net *n, int worker, const void *in, void *out, const atomic_bool *cancel)
{
    char *arena = n->arenas + n->arena_bytes * (size_t)worker;
    struct image input = value(n, arena, 0);
    memcpy(input.data, in, at(input, input.channels, 0, 0) * sizeof(float));
    for (int i = 0; i < n->graph->n_nodes; i++) {
        if (cancel && atomic_load(cancel))
            return KZ_ERROR_CANCELLED;
        run_node(n, arena, i);
    }
    copy_into(value(n, arena, n->graph->output), out);
    return 0;
}

static kz_net_shape shape_of(const kz_net *n, int index)
{
    const kz_node *node = &n->graph->nodes[index];
    return (kz_net_shape){node->channels, (size_t)(n->params.width * node->scale) * sizeof(float)};
}

static kz_net_shape net_in_shape(const kz_net *n)
{
    return shape_of(n, 0);
}

static kz_net_shape net_out_shape(const kz_net *n)
{
    return shape_of(n, n->graph->output);
}

static int net_precision(enum kz_precision asked, enum kz_cpu_level level, kz_log *log)
{
    (void)level;
    if (asked != KZ_PRECISION_AUTO && asked != KZ_PRECISION_FP32)
        return kz_fail(log, KZ_ERROR_USAGE, "the reference back end computes in fp32 only");
    return KZ_PRECISION_FP32;
}

static const kz_net_ops reference_ops = {
    .precision = net_precision,
    .open = net_open,
    .close = net_close,
    .memory = net_memory,
    .need = net_need,
    .in_shape = net_in_shape,
    .out_shape = net_out_shape,
    .run = net_run,
};

static int reference_open(kz_device **device, const kz_device_params *params, kz_log *log)
{
    kz_host_params host = {.ops = &reference_ops, .what = "CPU, plain C reference"};
    return kz_host_open(device, params, &host, log);
}

const kz_backend kz_backend_reference = {
    .name = "reference",
    .open = reference_open,
    .close = kz_host_close,
    .describe = kz_host_describe,
    .threads = kz_host_threads,
    .room = kz_host_room,
    .level = kz_host_level,
    .compile = kz_host_compile,
    .close_plan = kz_host_close_plan,
    .info = kz_host_info,
    .need = kz_host_need,
    .run = kz_host_run,
    .layers = kz_host_layers,
    .peak = kz_host_peak,
    .bandwidth = kz_host_bandwidth,
    .each = kz_host_each,
    .scale = kz_host_scale,
    .open_canvas = kz_host_open_canvas,
    .close_canvas = kz_host_close_canvas,
    .scale_canvas = kz_host_scale_canvas,
};
