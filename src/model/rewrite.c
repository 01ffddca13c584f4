#include "model/rewrite.h"

#include "base/mem.h"
#include "model/readers.h"

int kz_graph_readers(const kz_graph *graph, int value)
{
    int readers = value == graph->output;
    for (int i = 0; i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_inputs; j++)
            readers += graph->nodes[i].inputs[j] == value;
    return readers;
}

void kz_graph_redirect(kz_graph *graph, int from, int to)
{
    for (int i = 0; i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_inputs; j++)
            if (graph->nodes[i].inputs[j] == from)
                graph->nodes[i].inputs[j] = to;
    if (graph->output == from)
        graph->output = to;
}

int kz_rewrite_all(kz_graph *graph, kz_luma_weights weights, kz_log *log)
{
    int error = kz_rewrite_luma(graph, weights, log);
    if (!error)
        error = kz_rewrite_fuse_activation(graph);
    if (!error)
        error = kz_rewrite_fuse_add(graph);
    if (!error)
        error = kz_rewrite_phase(graph);
    return error ? error : kz_graph_check(graph, "rewritten network", log);
}
