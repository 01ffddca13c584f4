#include "model/readers.h"
#include "model/rewrite.h"

static void fuse(kz_graph *graph, int index)
{
    kz_node *activation = &graph->nodes[index];
    int input = activation->inputs[0];
    kz_node *conv = &graph->nodes[input];
    if (conv->op != KZ_OP_CONV || conv->act != KZ_ACT_NONE || conv->n_inputs != 1 ||
        kz_graph_readers(graph, input) != 1)
        return;
    conv->act = activation->act;
    conv->slope = activation->slope;
    conv->slopes = activation->slopes;
    activation->slopes = NULL;
    kz_graph_redirect(graph, index, input);
}

int kz_rewrite_fuse_activation(kz_graph *graph)
{
    for (int i = 1; i < graph->n_nodes; i++)
        if (graph->nodes[i].op == KZ_OP_ACTIVATION)
            fuse(graph, i);
    return kz_graph_prune(graph);
}
