#include "backend/split.h"

#include <string.h>

#include "base/mem.h"

/* No node behind `cut` reads anything before it. */
static bool separates(const kz_graph *graph, int cut)
{
    for (int i = cut + 1; i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_inputs; j++)
            if (graph->nodes[i].inputs[j] < cut)
                return false;
    return true;
}

/* Without a convolution behind the cut nothing there is large. */
static bool has_convolution(const kz_graph *graph, int first)
{
    for (int i = first; i < graph->n_nodes; i++)
        if (graph->nodes[i].op == KZ_OP_CONV || graph->nodes[i].op == KZ_OP_PHASE_CONV)
            return true;
    return false;
}

static int find_cut(const kz_graph *graph)
{
    int last = graph->n_nodes - 1;
    while (last > 0 && graph->nodes[last].scale > 1)
        last--;
    bool at_end = last <= 0 || last >= graph->output;
    return at_end || !has_convolution(graph, last + 1) || !separates(graph, last) ? -1 : last;
}

static void drop_nodes(kz_graph *graph, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        kz_free(graph->nodes[i].weights);
        kz_free(graph->nodes[i].bias);
        kz_free(graph->nodes[i].slopes);
    }
    graph->n_nodes -= count;
    memmove(graph->nodes + first, graph->nodes + first + count,
            (size_t)(graph->n_nodes - first) * sizeof(*graph->nodes));
}

static void keep_head(kz_graph *graph, int cut)
{
    drop_nodes(graph, cut + 1, graph->n_nodes - cut - 1);
    graph->output = cut;
}

/* The value at the cut becomes the input, node 0. */
static void keep_tail(kz_graph *graph, int cut)
{
    drop_nodes(graph, 0, cut);
    kz_node *input = &graph->nodes[0];
    kz_free(input->weights);
    kz_free(input->bias);
    kz_free(input->slopes);
    kz_node kept = {.op = KZ_OP_INPUT, .channels = input->channels, .scale = 1};
    memcpy(kept.name, input->name, sizeof(kept.name));
    *input = kept;
    for (int i = 1; i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_inputs; j++)
            graph->nodes[i].inputs[j] -= cut;
    graph->output -= cut;
}

int kz_graph_split(const kz_graph *graph, kz_graph **head, kz_graph **tail)
{
    int cut = find_cut(graph);
    *tail = NULL;
    int error = kz_graph_copy(head, graph);
    if (error || cut < 0)
        return error;
    error = kz_graph_copy(tail, graph);
    if (error) {
        kz_graph_close(head);
        return error;
    }
    keep_head(*head, cut);
    keep_tail(*tail, cut);
    return 0;
}
