#include "cuda/small_net.h"

#include "model/readers.h"

enum { SCALE = 2 };

static const kz_node *node_at(const kz_graph *graph, int index)
{
    return &graph->nodes[index];
}

static bool enlarges(const kz_graph *graph, int index, enum kz_op op)
{
    const kz_node *node = node_at(graph, index);
    return node->op == op && node->factor == SCALE && kz_graph_readers(graph, index) == 1;
}

static bool find_end(kz_small_net *s, const kz_graph *graph, int end)
{
    const kz_node *sum = node_at(graph, end);
    if (sum->op != KZ_OP_ADD || sum->n_inputs != 2 || sum->coefs[0] != 1 || sum->coefs[1] != 1)
        return false;
    *s = (kz_small_net){.shuffle = sum->inputs[0], .nearest = sum->inputs[1], .end = end};
    s->source = node_at(graph, s->nearest)->inputs[0];
    return enlarges(graph, s->shuffle, KZ_OP_PIXEL_SHUFFLE) &&
           enlarges(graph, s->nearest, KZ_OP_UPSAMPLE) && node_at(graph, s->source)->channels == 1;
}

static bool is_convolution(const kz_node *n)
{
    return n->op == KZ_OP_CONV && n->kernel == 3 && n->pad_top == 1 && n->pad_left == 1 &&
           n->pad_bottom == 1 && n->pad_right == 1;
}

/* From the last one back to the source; in their order. */
static bool find_layers(kz_small_net *s, const kz_graph *graph)
{
    for (int i = node_at(graph, s->shuffle)->inputs[0]; i != s->source;
         i = node_at(graph, i)->inputs[0]) {
        if (s->n_layers == KZ_SMALL_NET_MOST_LAYERS || !is_convolution(node_at(graph, i)))
            return false;
        s->layers[s->n_layers++] = i;
    }
    for (int i = 0; i < s->n_layers / 2; i++) {
        const int other = s->n_layers - 1 - i, layer = s->layers[i];
        s->layers[i] = s->layers[other];
        s->layers[other] = layer;
    }
    return s->n_layers >= 2;
}

/* The last hidden layer adds the first one's result, and nothing else. */
static bool find_skip(kz_small_net *s, const kz_graph *graph)
{
    const kz_node *n = node_at(graph, s->layers[s->n_layers - 2]);
    s->skip = s->n_layers > 2 && n->n_inputs == 2;
    return !s->skip || (n->inputs[1] == s->layers[0] && n->coefs[1] == 1);
}

static bool is_layer(const kz_small_net *s, const kz_graph *graph, int layer)
{
    const kz_node *n = node_at(graph, s->layers[layer]);
    const bool last = layer == s->n_layers - 1;
    const bool adds = s->skip && layer == s->n_layers - 2, is_read = s->skip && layer == 0;
    return n->channels == (last ? SCALE * SCALE : s->channels) && (n->act == KZ_ACT_NONE) == last &&
           n->n_inputs == (adds ? 2 : 1) &&
           kz_graph_readers(graph, s->layers[layer]) == (is_read ? 2 : 1);
}

bool kz_small_net_find(kz_small_net *small, const kz_graph *graph, int end)
{
    if (!find_end(small, graph, end) || !find_layers(small, graph) || !find_skip(small, graph))
        return false;
    small->channels = node_at(graph, small->layers[0])->channels;
    for (int i = 0; i < small->n_layers; i++)
        if (!is_layer(small, graph, i))
            return false;
    return true;
}

kz_small_task kz_small_net_task(const kz_small_net *small, enum kz_element element)
{
    return (kz_small_task){.element = element,
                           .channels = small->channels,
                           .hidden = small->n_layers - 2,
                           .skip = small->skip};
}

void kz_small_net_pack(const kz_small_net *small, const kz_graph *graph, const kz_small_task *task,
                       void *packed)
{
    kz_small_layer layers[KZ_SMALL_NET_MOST_LAYERS];
    for (int i = 0; i < small->n_layers; i++) {
        const kz_node *n = node_at(graph, small->layers[i]);
        layers[i] = (kz_small_layer){.weights = n->weights,
                                     .bias = n->bias,
                                     .slopes = n->act == KZ_ACT_PRELU ? n->slopes : NULL,
                                     .slope = n->slope};
    }
    kz_cuda_small_pack(task, layers, packed);
}
