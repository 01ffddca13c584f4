/* Let N be a network with three channels in and out, and w the luma weights, which sum to one. What
 * is wanted is Y' = sum over c of w[c] N(Y, Y, Y)[c]. The sum is carried back through everything
 * linear (addition, nearest upsampling, pixel shuffle) into the convolutions that end the network;
 * where it meets a grey value, which holds the same plane three times as the input does, it gives
 * sum of w × that plane = that plane. */
#include "model/rewrite.h"

#include <math.h>

#include "base/mem.h"
#include "model/readers.h"

struct folder {
    kz_graph *graph;
    const float weights[3];
    kz_log *log;
    bool *grey;   /* the value is a plane three times */
    bool *folded; /* the value lies on the way to the output, and has been weighted */
};

static int refuse(const struct folder *f, const kz_node *node, const char *why)
{
    return kz_fail(f->log, KZ_ERROR_FAILED, "layer %s: the network can't be folded to luma: %s",
                   node->name, why);
}

/* Channels c m + k, for c = 0, 1, 2, become channel k, weighted. */
static void contract(float *rows, const float *weights, int m, size_t row)
{
    for (int k = 0; k < m; k++)
        for (size_t i = 0; i < row; i++) {
            double sum = 0;
            for (int c = 0; c < 3; c++)
                sum += (double)weights[c] * rows[((size_t)(c * m + k)) * row + i];
            rows[(size_t)k * row + i] = (float)sum;
        }
}

static int fold_value(struct folder *f, int value, int m);

static int fold_conv(struct folder *f, kz_node *node, int m)
{
    size_t row =
        (size_t)kz_graph_in_channels(f->graph, node) * (size_t)(node->kernel * node->kernel);
    if (node->act != KZ_ACT_NONE)
        return refuse(f, node, "its last convolution has an activation");
    for (int i = 1; i < node->n_inputs; i++) {
        int error = fold_value(f, node->inputs[i], m);
        if (error)
            return error;
    }
    contract(node->weights, f->weights, m, row);
    if (node->bias)
        contract(node->bias, f->weights, m, 1);
    return 0;
}

static int fold_inputs(struct folder *f, kz_node *node, int m)
{
    for (int i = 0; i < node->n_inputs; i++) {
        int error = fold_value(f, node->inputs[i], m);
        if (error)
            return error;
    }
    return 0;
}

/* Rewrites a value of 3 m channels to m. Nobody but the path to the output may read it. */
static int fold_value(struct folder *f, int value, int m)
{
    kz_node *node = &f->graph->nodes[value];
    if (f->grey[value])
        return m == 1 ? 0 : refuse(f, node, "the input is shuffled");
    if (kz_graph_readers(f->graph, value) > 1)
        return refuse(f, node, "its result is used twice");
    f->folded[value] = true;
    node->channels = m;
    switch (node->op) {
    case KZ_OP_CONV:
        return fold_conv(f, node, m);
    case KZ_OP_ADD:
    case KZ_OP_UPSAMPLE:
        return fold_inputs(f, node, m);
    case KZ_OP_PIXEL_SHUFFLE:
        return fold_value(f, node->inputs[0], m * node->factor * node->factor);
    default:
        return refuse(f, node, "it isn't linear");
    }
}

/* Weights [out][3][k][k] become [out][1][k][k]. */
static void sum_over_inputs(kz_node *node)
{
    size_t taps = (size_t)(node->kernel * node->kernel);
    for (size_t o = 0; o < (size_t)node->channels; o++)
        for (size_t t = 0; t < taps; t++) {
            const float *w = node->weights + o * 3 * taps + t;
            node->weights[o * taps + t] = (float)((double)w[0] + w[taps] + w[2 * taps]);
        }
}

static int grey_inputs(const struct folder *f, const kz_node *node)
{
    int count = 0;
    for (int i = 0; i < node->n_inputs; i++)
        count += f->grey[node->inputs[i]];
    return count;
}

static void find_grey(struct folder *f)
{
    f->grey[0] = true;
    for (int i = 1; i < f->graph->n_nodes; i++) {
        const kz_node *node = &f->graph->nodes[i];
        f->grey[i] = (node->op == KZ_OP_UPSAMPLE || node->op == KZ_OP_ADD) &&
                     grey_inputs(f, node) == node->n_inputs;
    }
}

/* Grey values become one channel. What reads them must be a convolution, which sums its weights, or
 * an addition to something that has been weighted. */
static int fold_grey(struct folder *f)
{
    for (int i = 0; i < f->graph->n_nodes; i++) {
        kz_node *node = &f->graph->nodes[i];
        int greys = grey_inputs(f, node);
        if (f->grey[i]) {
            node->channels = 1;
        } else if (greys && node->op == KZ_OP_CONV) {
            bool first = f->grey[node->inputs[0]];
            if (greys > first && !f->folded[i])
                return refuse(f, node, "it adds the input to something else");
            if (first)
                sum_over_inputs(node);
        } else if (greys && !f->folded[i]) {
            return refuse(f, node, "it reads the input and isn't a convolution");
        }
    }
    return 0;
}

static int fold(struct folder *f)
{
    find_grey(f);
    int error = fold_value(f, f->graph->output, 1);
    return error ? error : fold_grey(f);
}

int kz_rewrite_luma(kz_graph *graph, kz_luma_weights weights, kz_log *log)
{
    int in = graph->nodes[0].channels, out = graph->nodes[graph->output].channels;
    if (in == 1 && out == 1)
        return 0;
    if (in != 3 || out != 3 || fabsf(weights.r + weights.g + weights.b - 1) > 1e-4f)
        return kz_fail(log, KZ_ERROR_FAILED,
                       "a network of %d channels in and %d out can't be folded to luma", in, out);
    struct folder f = {.graph = graph,
                       .weights = {weights.r, weights.g, weights.b},
                       .log = log,
                       .grey = kz_alloc((size_t)graph->n_nodes, sizeof(bool)),
                       .folded = kz_alloc((size_t)graph->n_nodes, sizeof(bool))};
    int error = f.grey && f.folded ? fold(&f) : KZ_ERROR_MEMORY;
    kz_free(f.grey);
    kz_free(f.folded);
    return error;
}
