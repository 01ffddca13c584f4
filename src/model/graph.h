/* A network as a short list of nodes in execution order. Node i makes value i; a node reads only
 * values of smaller index. Activations are [channels][height][width] in fp32 terms; the height and
 * width of a value are those of the graph's input times its `scale`. */
#ifndef KZ_MODEL_GRAPH_H
#define KZ_MODEL_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

enum kz_op {
    KZ_OP_INPUT,        /* exactly one, node 0 */
    KZ_OP_CONV,         /* act(conv(inputs[0]) + bias) + sum coefs[i] * inputs[i], i >= 1 */
    KZ_OP_PHASE_CONV,   /* the same for nearest ×2 upsampling followed by a 3×3 convolution */
    KZ_OP_ACTIVATION,   /* act(inputs[0]) */
    KZ_OP_ADD,          /* sum coefs[i] * inputs[i] */
    KZ_OP_CONCAT,       /* channels of inputs[0], then of inputs[1], … */
    KZ_OP_UPSAMPLE,     /* nearest neighbour by `factor` */
    KZ_OP_PIXEL_SHUFFLE /* as PyTorch: out[c][y f + i][x f + j] = in[c f² + i f + j][y][x] */
};

enum kz_act {
    KZ_ACT_NONE,
    KZ_ACT_LEAKY, /* x < 0 ? slope x : x */
    KZ_ACT_PRELU  /* the same, slopes[channel] */
};

#define KZ_MAX_INPUTS 8
#define KZ_NAME_SIZE 64

typedef struct kz_node {
    enum kz_op op;
    char name[KZ_NAME_SIZE]; /* the layer's name in the model file, for messages */
    int inputs[KZ_MAX_INPUTS];
    int n_inputs;
    float coefs[KZ_MAX_INPUTS]; /* ADD: all; CONV, PHASE_CONV: from index 1 */
    int channels;               /* of the output */
    int scale;                  /* of the output, relative to the graph's input */
    int kernel;                 /* CONV: square kernel size; stride 1, zero padding pad_* */
    int pad_top, pad_left, pad_bottom, pad_right;
    int factor; /* UPSAMPLE, PIXEL_SHUFFLE, PHASE_CONV (2) */
    enum kz_act act;
    float slope;
    float *weights; /* CONV: [out][in][kernel][kernel].
                     * PHASE_CONV: [4][out][in][2][2]; phase 2 a + b gives output rows 2 y + a and
                     * columns 2 x + b, and reads input rows y - 1 + a + {0, 1}, columns
                     * x - 1 + b + {0, 1}, zero outside. Owned by the graph. */
    float *bias;    /* [out], or NULL. Owned. */
    float *slopes;  /* PRELU: [channels]. Owned. */
} kz_node;

typedef struct kz_graph {
    kz_node *nodes;
    int n_nodes;
    int capacity;
    int output; /* index of the value that is the result */
} kz_graph;

/* An empty graph; 0 or KZ_ERROR_MEMORY. */
int kz_graph_open(kz_graph **graph);

/* Frees nodes and weights, sets *graph to NULL; NULL is legal. */
void kz_graph_close(kz_graph **graph);

/* A deep copy; 0 or KZ_ERROR_MEMORY. */
int kz_graph_copy(kz_graph **copy, const kz_graph *graph);

/* The network applied to its own result, for one with as many channels in as out: scale² with
 * nothing rounded between the two. Copies all; the second one's layers are called "again …". 0,
 * KZ_ERROR_MEMORY or what kz_graph_check() returns, reported; then *twice is NULL. */
int kz_graph_twice(kz_graph **twice, const kz_graph *graph, const char *source, kz_log *log);

/* Appends a node; its arrays become the graph's also on failure. Returns the node's index, or
 * KZ_ERROR_MEMORY. */
int kz_graph_add(kz_graph *graph, kz_node *node);

/* Channels, scales and array sizes agree, inputs precede their reader, all weights are finite.
 * Sets every node's channels and scale where they follow from its inputs. Returns 0 or
 * KZ_ERROR_FAILED with a line that begins with `source` and names the node. */
int kz_graph_check(kz_graph *graph, const char *source, kz_log *log);

/* Channels that a convolution reads: those of inputs[0]. */
int kz_graph_in_channels(const kz_graph *graph, const kz_node *node);

/* Input pixels around a region that can influence its output. */
int kz_graph_reach(const kz_graph *graph);

/* Multiply-accumulates per pixel of the graph's input. */
double kz_graph_macs(const kz_graph *graph);

/* Removes nodes that the output doesn't depend on; keeps the order. 0 or KZ_ERROR_MEMORY. */
int kz_graph_prune(kz_graph *graph);

#endif
