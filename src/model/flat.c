#include "model/flat.h"

#include <string.h>

#include "base/mem.h"

struct kz_flat {
    const kz_graph *graph;
    int pictures;
    float **values; /* [n_nodes][pictures][channels], in one block */
    double **sums;  /* [n_nodes][out][in] of each kernel's taps; NULL: no convolution */
};

static float *values_of(const kz_flat *f, int node, int picture)
{
    return f->values[node] + (size_t)picture * (size_t)f->graph->nodes[node].channels;
}

/* ---- operations ---- */

static float activate(const kz_node *n, int channel, float x)
{
    float slope = n->act == KZ_ACT_PRELU ? n->slopes[channel] : n->slope;
    return n->act == KZ_ACT_NONE || x >= 0 ? x : slope * x;
}

/* Every tap sees the same value, so a kernel counts by its sum. */
static void convolve(const kz_node *n, int in_channels, const double *sums, const float *in,
                     float *out)
{
    for (int o = 0; o < n->channels; o++, sums += in_channels) {
        double sum = n->bias ? n->bias[o] : 0;
        for (int i = 0; i < in_channels; i++)
            sum += sums[i] * in[i];
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

static void concatenate(const kz_flat *f, const kz_node *n, int picture, float *out)
{
    for (int i = 0; i < n->n_inputs; i++) {
        int channels = f->graph->nodes[n->inputs[i]].channels;
        memcpy(out, values_of(f, n->inputs[i], picture), (size_t)channels * sizeof(*out));
        out += channels;
    }
}

static void add_scaled(const kz_flat *f, const kz_node *n, int first, int picture, float *out)
{
    for (int i = first; i < n->n_inputs; i++)
        for (int c = 0; c < n->channels; c++)
            out[c] += n->coefs[i] * values_of(f, n->inputs[i], picture)[c];
}

static void evaluate(const kz_flat *f, int node, int picture)
{
    const kz_node *n = &f->graph->nodes[node];
    const float *in = n->n_inputs ? values_of(f, n->inputs[0], picture) : NULL;
    float *out = values_of(f, node, picture);
    switch (n->op) {
    case KZ_OP_INPUT:
        break;
    case KZ_OP_CONV:
    case KZ_OP_PHASE_CONV:
        convolve(n, kz_graph_in_channels(f->graph, n), f->sums[node], in, out);
        add_scaled(f, n, 1, picture, out);
        break;
    case KZ_OP_ACTIVATION:
        for (int c = 0; c < n->channels; c++)
            out[c] = activate(n, c, in[c]);
        break;
    case KZ_OP_ADD:
        memset(out, 0, (size_t)n->channels * sizeof(*out));
        add_scaled(f, n, 0, picture, out);
        break;
    case KZ_OP_CONCAT:
        concatenate(f, n, picture, out);
        break;
    case KZ_OP_UPSAMPLE:
        memcpy(out, in, (size_t)n->channels * sizeof(*out));
        break;
    case KZ_OP_PIXEL_SHUFFLE:
        shuffle(n, in, out);
        break;
    }
}

/* ---- life ---- */

/* All phases of a phase convolution sum up the same kernel: the first stands for all. */
static double *sum_taps(const kz_node *n, int in_channels)
{
    const int taps = n->op == KZ_OP_CONV ? n->kernel * n->kernel : 4;
    const size_t kernels = (size_t)n->channels * (size_t)in_channels;
    const float *w = n->weights;
    double *sums = kz_alloc(kernels, sizeof(*sums));
    for (size_t k = 0; k < kernels && sums; k++, w += taps)
        for (int t = 0; t < taps; t++)
            sums[k] += w[t];
    return sums;
}

static int allocate(kz_flat *f)
{
    const kz_graph *g = f->graph;
    size_t count = 0;
    for (int i = 0; i < g->n_nodes; i++)
        count += (size_t)g->nodes[i].channels * (size_t)f->pictures;
    f->values = kz_alloc((size_t)g->n_nodes, sizeof(*f->values));
    f->sums = kz_alloc((size_t)g->n_nodes, sizeof(*f->sums));
    float *block = f->values ? kz_alloc(count, sizeof(*block)) : NULL;
    if (!block || !f->sums) {
        kz_free(block);
        return KZ_ERROR_MEMORY;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        f->values[i] = block;
        block += (size_t)g->nodes[i].channels * (size_t)f->pictures;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const kz_node *n = &g->nodes[i];
        if (n->op != KZ_OP_CONV && n->op != KZ_OP_PHASE_CONV)
            continue;
        f->sums[i] = sum_taps(n, kz_graph_in_channels(g, n));
        if (!f->sums[i])
            return KZ_ERROR_MEMORY;
    }
    return 0;
}

int kz_flat_open(kz_flat **flat, const kz_graph *graph, int pictures)
{
    kz_flat *f = *flat = kz_alloc(1, sizeof(*f));
    if (!f)
        return KZ_ERROR_MEMORY;
    f->graph = graph;
    f->pictures = pictures;
    int error = allocate(f);
    if (error)
        kz_flat_close(flat);
    return error;
}

void kz_flat_close(kz_flat **flat)
{
    kz_flat *f = *flat;
    if (!f)
        return;
    for (int i = 0; i < f->graph->n_nodes && f->sums; i++)
        kz_free(f->sums[i]);
    if (f->values)
        kz_free(f->values[0]);
    kz_free(f->values);
    kz_free(f->sums);
    kz_free(f);
    *flat = NULL;
}

void kz_flat_run(kz_flat *f, const float *in)
{
    for (int picture = 0; picture < f->pictures; picture++) {
        f->values[0][picture] = in[picture];
        for (int i = 1; i < f->graph->n_nodes; i++)
            evaluate(f, i, picture);
    }
}

const float *kz_flat_values(const kz_flat *f, int node)
{
    return f->values[node];
}
