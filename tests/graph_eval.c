#include "graph_eval.h"

#include <string.h>

#include "base/mem.h"

struct image {
    double *data;
    int channels, height, width;
};

static double at(const struct image *i, int c, int y, int x)
{
    if (y < 0 || x < 0 || y >= i->height || x >= i->width)
        return 0;
    return i->data[((size_t)c * (size_t)i->height + (size_t)y) * (size_t)i->width + (size_t)x];
}

static double act(const kz_node *node, int c, double x)
{
    if (node->act == KZ_ACT_NONE || x >= 0)
        return x;
    return x * (double)(node->act == KZ_ACT_PRELU ? node->slopes[c] : node->slope);
}

static double conv(const kz_node *node, const struct image *in, int c, int y, int x)
{
    int k = node->kernel;
    double sum = node->bias ? (double)node->bias[c] : 0;
    for (int i = 0; i < in->channels; i++)
        for (int ky = 0; ky < k; ky++)
            for (int kx = 0; kx < k; kx++)
                sum += (double)node->weights[((c * in->channels + i) * k + ky) * k + kx] *
                       at(in, i, y + ky - node->pad_top, x + kx - node->pad_left);
    return sum;
}

static double phase_conv(const kz_node *node, const struct image *in, int c, int y, int x)
{
    int a = y % 2, b = x % 2;
    double sum = node->bias ? (double)node->bias[c] : 0;
    for (int i = 0; i < in->channels; i++)
        for (int r = 0; r < 2; r++)
            for (int s = 0; s < 2; s++)
                sum += (double)node->weights
                           [((((2 * a + b) * node->channels + c) * in->channels + i) * 2 + r) * 2 +
                            s] *
                       at(in, i, y / 2 - 1 + a + r, x / 2 - 1 + b + s);
    return sum;
}

static double concat(const kz_node *node, const struct image *values, int c, int y, int x)
{
    for (int i = 0; i < node->n_inputs; i++) {
        const struct image *in = &values[node->inputs[i]];
        if (c < in->channels)
            return at(in, c, y, x);
        c -= in->channels;
    }
    return 0;
}

static double sum_from(const kz_node *node, const struct image *values, int first, int c, int y,
                       int x)
{
    double sum = 0;
    for (int i = first; i < node->n_inputs; i++)
        sum += (double)node->coefs[i] * at(&values[node->inputs[i]], c, y, x);
    return sum;
}

static double sample(const kz_node *node, const struct image *values, int c, int y, int x)
{
    const struct image *in = &values[node->inputs[0]];
    int f = node->factor;
    switch (node->op) {
    case KZ_OP_CONV:
        return act(node, c, conv(node, in, c, y, x)) + sum_from(node, values, 1, c, y, x);
    case KZ_OP_PHASE_CONV:
        return act(node, c, phase_conv(node, in, c, y, x)) + sum_from(node, values, 1, c, y, x);
    case KZ_OP_ACTIVATION:
        return act(node, c, at(in, c, y, x));
    case KZ_OP_ADD:
        return sum_from(node, values, 0, c, y, x);
    case KZ_OP_CONCAT:
        return concat(node, values, c, y, x);
    case KZ_OP_UPSAMPLE:
        return at(in, c, y / f, x / f);
    case KZ_OP_PIXEL_SHUFFLE:
        return at(in, (c * f + y % f) * f + x % f, y / f, x / f);
    default:
        return 0;
    }
}

static void fill(const kz_graph *graph, struct image *values, int index, const float *in)
{
    struct image *v = &values[index];
    size_t i = 0;
    for (int c = 0; c < v->channels; c++)
        for (int y = 0; y < v->height; y++)
            for (int x = 0; x < v->width; x++, i++)
                v->data[i] = index ? sample(&graph->nodes[index], values, c, y, x) : (double)in[i];
}

int graph_eval(const kz_graph *graph, const float *in, int channels, int height, int width,
               float *out)
{
    struct image *values = kz_alloc((size_t)graph->n_nodes, sizeof(*values));
    int result = values && graph->nodes[0].channels == channels ? 0 : -1;
    for (int i = 0; i < graph->n_nodes && !result; i++) {
        const kz_node *node = &graph->nodes[i];
        values[i] = (struct image){NULL, node->channels, height * node->scale, width * node->scale};
        size_t count =
            (size_t)values[i].channels * (size_t)values[i].height * (size_t)values[i].width;
        values[i].data = kz_alloc(count, sizeof(double));
        if (!values[i].data)
            result = -1;
        else
            fill(graph, values, i, in);
        for (size_t k = 0; i == graph->output && !result && k < count; k++)
            out[k] = (float)values[i].data[k];
    }
    for (int i = 0; i < graph->n_nodes && values; i++)
        kz_free(values[i].data);
    kz_free(values);
    return result;
}
