/* Finds small networks in a graph that one kernel computes whole: those of model/luma_net.h, once
 * or twice, after their rewriting. */
#ifndef KZ_CUDA_SMALL_NET_H
#define KZ_CUDA_SMALL_NET_H

#include "cuda/kernels/kernels.h"
#include "model/graph.h"

enum {
    KZ_SMALL_NET_MOST_LAYERS = 64,
    KZ_SMALL_NET_LEAST_NODES = 5 /* of its own: two layers, shuffle, nearest, end */
};

/* Nodes of a graph: its input, its convolutions from the first to the last, its pixel shuffle, the
 * input enlarged, and their sum, which is its output. */
typedef struct kz_small_net {
    int source, layers[KZ_SMALL_NET_MOST_LAYERS], shuffle, nearest, end;
    int n_layers;
    int channels;
    bool skip;
} kz_small_net;

/* Whether `end` is the output of one, of which nothing else reads a value between. */
bool kz_small_net_find(kz_small_net *small, const kz_graph *graph, int end);

/* The task but for views, columns and constants. */
kz_small_task kz_small_net_task(const kz_small_net *small, enum kz_element element);

/* Writes its constants: kz_cuda_small_bytes() of host memory. */
void kz_small_net_pack(const kz_small_net *small, const kz_graph *graph, const kz_small_task *task,
                       void *packed);

#endif
