#include "model/flat.h"

#include <string.h>

#include "base/mem.h"

struct kz_flat {
    const kz_graph *graph;
    float **values; /* [n_nodes][channels], in one block */
};

static float activate(const kz_node *n, int channel, float x)
{
    float slope = n->act == KZ_ACT_PRELU ? n->slopes[channel] : n->slope;
    return n->act == KZ_ACT_NONE || x >= 0 ? x : slope * x;
}

/* Every tap sees the same value, so a kernel counts by its sum. All phases of a phase convolution
 * sum up the same kernel. */
static void convolve(const kz_node *n, int in_channels, int taps, const float *in, float *out)
{
    for (int o = 0; o < n->channels; o++) {
        double sum = n->bias ? n->bias[o] : 0;
        for (int i = 0; i < in_channels; i++) {
            const float *w =
                n->weights + ((size_t)o * (size_t)in_channels + (size_t)i) * (size_t)taps;
            double kernel = 0;
            for (int t = 0; t < taps; t++)
                kernel += w[t];
            sum += kernel * in[i];
        }
        out[o] = activate(n, o, (float)sum);
    }
}

static void shuffle(const kz_node *n, const float *in, float *out)
{
    int phases = n->factor * n->factor;
    for (int c = 0; c < n->channels; c++) {
        float sum = 0;
        for (int p = 0; p < phases; p++)
            sum += in[c * phases + p];
        out[c] = sum / (float)phases;
    }
}

static void concatenate(const kz_graph *g, const kz_node *n, float *const *values, float *out)
{
    for (int i = 0; i < n->n_inputs; i++) {
        int channels = g->nodes[n->inputs[i]].channels;
        memcpy(out, values[n->inputs[i]], (size_t)channels * sizeof(*out));
        out += channels;
    }
}

static void add_scaled(const kz_node *n, int first, float *const *values, float *out)
{
    for (int i = first; i < n->n_inputs; i++)
        for (int c = 0; c < n->channels; c++)
            out[c] += n->coefs[i] * values[n->inputs[i]][c];
}

static void evaluate(const kz_graph *g, const kz_node *n, float *const *values, float *out)
{
    const float *in = n->n_inputs ? values[n->inputs[0]] : NULL;
    switch (n->op) {
    case KZ_OP_INPUT:
        break;
    case KZ_OP_CONV:
    case KZ_OP_PHASE_CONV:
        convolve(n, kz_graph_in_channels(g, n), n->op == KZ_OP_CONV ? n->kernel * n->kernel : 4, in,
                 out);
        add_scaled(n, 1, values, out);
        break;
    case KZ_OP_ACTIVATION:
        for (int c = 0; c < n->channels; c++)
            out[c] = activate(n, c, in[c]);
        break;
    case KZ_OP_ADD:
        memset(out, 0, (size_t)n->channels * sizeof(*out));
        add_scaled(n, 0, values, out);
        break;
    case KZ_OP_CONCAT:
        concatenate(g, n, values, out);
        break;
    case KZ_OP_UPSAMPLE:
        memcpy(out, in, (size_t)n->channels * sizeof(*out));
        break;
    case KZ_OP_PIXEL_SHUFFLE:
        shuffle(n, in, out);
        break;
    }
}

int kz_flat_open(kz_flat **flat, const kz_graph *graph)
{
    size_t count = 0;
    kz_flat *f = *flat = kz_alloc(1, sizeof(*f));
    if (!f)
        return KZ_ERROR_MEMORY;
    for (int i = 0; i < graph->n_nodes; i++)
        count += (size_t)graph->nodes[i].channels;
    f->graph = graph;
    f->values = kz_alloc((size_t)graph->n_nodes, sizeof(*f->values));
    float *block = kz_alloc(count, sizeof(*block));
    if (!f->values || !block) {
        kz_free(block);
        kz_free(f->values);
        kz_free(f);
        *flat = NULL;
        return KZ_ERROR_MEMORY;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        f->values[i] = block;
        block += graph->nodes[i].channels;
    }
    return 0;
}

void kz_flat_close(kz_flat **flat)
{
    kz_flat *f = *flat;
    if (!f)
        return;
    kz_free(f->values[0]);
    kz_free(f->values);
    kz_free(f);
    *flat = NULL;
}

void kz_flat_run(kz_flat *f, float in)
{
    f->values[0][0] = in;
    for (int i = 1; i < f->graph->n_nodes; i++)
        evaluate(f->graph, &f->graph->nodes[i], f->values, f->values[i]);
}

const float *kz_flat_values(const kz_flat *f, int node)
{
    return f->values[node];
}
