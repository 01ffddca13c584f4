#include "model/readers.h"
#include "model/rewrite.h"

/* The convolution that may take the addition along: the last of those that only it reads. One with
 * an activation can't be scaled. Returns its place among the inputs, or -1. */
static int find_conv(const kz_graph *graph, const kz_node *add)
{
    int best = -1;
    for (int i = 0; i < add->n_inputs; i++) {
        const kz_node *input = &graph->nodes[add->inputs[i]];
        bool fits = input->op == KZ_OP_CONV && kz_graph_readers(graph, add->inputs[i]) == 1 &&
                    (input->act == KZ_ACT_NONE || add->coefs[i] == 1) &&
                    input->n_inputs + add->n_inputs - 1 <= KZ_MAX_INPUTS;
        if (fits && (best < 0 || add->inputs[i] > add->inputs[best]))
            best = i;
    }
    return best;
}

static void scale_weights(const kz_graph *graph, kz_node *conv, float scale)
{
    size_t count = (size_t)conv->channels * (size_t)kz_graph_in_channels(graph, conv) *
                   (size_t)(conv->kernel * conv->kernel);
    for (size_t i = 0; i < count; i++)
        conv->weights[i] *= scale;
    for (int i = 0; i < conv->channels && conv->bias; i++)
        conv->bias[i] *= scale;
    for (int i = 1; i < conv->n_inputs; i++)
        conv->coefs[i] *= scale;
}

/* A value that is there already gets the sum of both coefficients. */
static void append_residual(kz_node *conv, int value, float coef)
{
    for (int i = 1; i < conv->n_inputs; i++)
        if (conv->inputs[i] == value) {
            conv->coefs[i] += coef;
            return;
        }
    conv->inputs[conv->n_inputs] = value;
    conv->coefs[conv->n_inputs++] = coef;
}

/* The convolution moves to the addition's place, where all residuals have been computed. */
static void fuse(kz_graph *graph, int index)
{
    kz_node add = graph->nodes[index];
    int at = find_conv(graph, &add);
    if (at < 0)
        return;
    kz_node *left = &graph->nodes[add.inputs[at]];
    kz_node conv = *left;
    left->weights = left->bias = left->slopes = NULL;
    if (add.coefs[at] != 1)
        scale_weights(graph, &conv, add.coefs[at]);
    for (int i = 0; i < add.n_inputs; i++)
        if (i != at)
            append_residual(&conv, add.inputs[i], add.coefs[i]);
    graph->nodes[index] = conv;
}

int kz_rewrite_fuse_add(kz_graph *graph)
{
    for (int i = 1; i < graph->n_nodes; i++)
        if (graph->nodes[i].op == KZ_OP_ADD)
            fuse(graph, i);
    return kz_graph_prune(graph);
}
