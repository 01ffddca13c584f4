#include "model/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_NODES = 1 << 16, MAX_CHANNELS = 4096, MAX_SCALE = 16, MAX_KERNEL = 7 };

int kz_graph_open(kz_graph **graph)
{
    *graph = kz_alloc(1, sizeof(**graph));
    return *graph ? 0 : KZ_ERROR_MEMORY;
}

static void free_arrays(kz_node *node)
{
    kz_free(node->weights);
    kz_free(node->bias);
    kz_free(node->slopes);
}

void kz_graph_close(kz_graph **graph)
{
    kz_graph *g = *graph;
    if (!g)
        return;
    for (int i = 0; i < g->n_nodes; i++)
        free_arrays(&g->nodes[i]);
    kz_free(g->nodes);
    kz_free(g);
    *graph = NULL;
}

static int grow(kz_graph *graph)
{
    int capacity = graph->capacity ? graph->capacity * 2 : 32;
    kz_node *nodes = kz_alloc((size_t)capacity, sizeof(*nodes));
    if (!nodes)
        return KZ_ERROR_MEMORY;
    if (graph->n_nodes)
        memcpy(nodes, graph->nodes, (size_t)graph->n_nodes * sizeof(*nodes));
    kz_free(graph->nodes);
    graph->nodes = nodes;
    graph->capacity = capacity;
    return 0;
}

int kz_graph_add(kz_graph *graph, kz_node *node)
{
    if (graph->n_nodes == graph->capacity && grow(graph)) {
        free_arrays(node);
        return KZ_ERROR_MEMORY;
    }
    graph->nodes[graph->n_nodes] = *node;
    return graph->n_nodes++;
}

int kz_graph_in_channels(const kz_graph *graph, const kz_node *node)
{
    return graph->nodes[node->inputs[0]].channels;
}

/* ---- copy ---- */

static size_t weight_count(const kz_graph *graph, const kz_node *node)
{
    size_t taps = node->op == KZ_OP_PHASE_CONV ? 16 : (size_t)(node->kernel * node->kernel);
    return taps * (size_t)node->channels * (size_t)kz_graph_in_channels(graph, node);
}

/* Replaces *array, which is another graph's, by a copy of its own; NULL on failure. */
static int duplicate(float **array, size_t count)
{
    const float *original = *array;
    if (!original)
        return 0;
    *array = kz_alloc_raw(count, sizeof(float));
    if (!*array)
        return KZ_ERROR_MEMORY;
    memcpy(*array, original, count * sizeof(float));
    return 0;
}

static int copy_node(kz_graph *copy, const kz_graph *graph, int index)
{
    kz_node node = graph->nodes[index];
    float *weights = node.weights, *bias = node.bias, *slopes = node.slopes;
    node.weights = node.bias = node.slopes = NULL;
    int at = kz_graph_add(copy, &node), error;
    if (at < 0)
        return at;
    kz_node *own = &copy->nodes[at];
    own->weights = weights;
    error = weights ? duplicate(&own->weights, weight_count(graph, &graph->nodes[index])) : 0;
    own->bias = error ? NULL : bias;
    if (!error)
        error = duplicate(&own->bias, (size_t)node.channels);
    own->slopes = error ? NULL : slopes;
    return error ? error : duplicate(&own->slopes, (size_t)node.channels);
}

int kz_graph_copy(kz_graph **copy, const kz_graph *graph)
{
    int error = kz_graph_open(copy);
    for (int i = 0; i < graph->n_nodes && !error; i++)
        error = copy_node(*copy, graph, i);
    if (error) {
        kz_graph_close(copy);
        return error;
    }
    (*copy)->output = graph->output;
    return 0;
}

/* The second time a node reads what the first one made: `shift` nodes further on, or, in place of
 * the input, the first result. */
static int append_again(kz_graph *twice, const kz_graph *graph, int index, int shift)
{
    char name[KZ_NAME_SIZE];
    int error = copy_node(twice, graph, index);
    if (error)
        return error;
    kz_node *node = &twice->nodes[twice->n_nodes - 1];
    for (int i = 0; i < node->n_inputs; i++)
        node->inputs[i] = node->inputs[i] ? node->inputs[i] + shift : graph->output;
    memcpy(name, node->name, sizeof(name));
    snprintf(node->name, sizeof(node->name), "again %.*s", KZ_NAME_SIZE - 7, name);
    return 0;
}

int kz_graph_twice(kz_graph **twice, const kz_graph *graph, const char *source, kz_log *log)
{
    const int shift = graph->n_nodes - 1;
    int error = kz_graph_copy(twice, graph);
    for (int i = 1; i < graph->n_nodes && !error; i++)
        error = append_again(*twice, graph, i, shift);
    if (error) {
        kz_graph_close(twice);
        return kz_fail_memory(log, source);
    }
    (*twice)->output = graph->output + shift;
    error = kz_graph_check(*twice, source, log);
    if (error)
        kz_graph_close(twice);
    return error;
}

/* ---- check ---- */

struct checker {
    kz_graph *graph;
    const char *source;
    kz_log *log;
};

static int refuse(const struct checker *c, const kz_node *node, const char *why)
{
    return kz_fail(c->log, KZ_ERROR_FAILED, "%s: layer %s: %s", c->source, node->name, why);
}

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

/* Convolutions keep the size of what they read; their further inputs have the output's shape. */
static int check_conv(const struct checker *c, kz_node *node)
{
    const kz_graph *g = c->graph;
    bool phases = node->op == KZ_OP_PHASE_CONV;
    node->scale = g->nodes[node->inputs[0]].scale * (phases ? 2 : 1);
    if (node->kernel < 1 || node->kernel > MAX_KERNEL)
        return refuse(c, node, "a kernel of this size isn't supported");
    if (!phases && (node->pad_top + node->pad_bottom != node->kernel - 1 ||
                    node->pad_left + node->pad_right != node->kernel - 1 || node->pad_top < 0 ||
                    node->pad_left < 0 || node->pad_bottom < 0 || node->pad_right < 0))
        return refuse(c, node, "a convolution that changes the size isn't supported");
    for (int i = 1; i < node->n_inputs; i++)
        if (g->nodes[node->inputs[i]].channels != node->channels ||
            g->nodes[node->inputs[i]].scale != node->scale)
            return refuse(c, node, "its residual has another shape");
    if (!node->weights || !all_finite(node->weights, weight_count(g, node)))
        return refuse(c, node, "its weights aren't finite numbers");
    if (node->bias && !all_finite(node->bias, (size_t)node->channels))
        return refuse(c, node, "its biases aren't finite numbers");
    return 0;
}

static int check_inputs(const struct checker *c, kz_node *node)
{
    const kz_graph *g = c->graph;
    const kz_node *first = &g->nodes[node->inputs[0]];
    node->channels = node->op == KZ_OP_CONCAT ? 0 : first->channels;
    node->scale = first->scale;
    for (int i = 0; i < node->n_inputs; i++) {
        const kz_node *input = &g->nodes[node->inputs[i]];
        if (input->scale != first->scale)
            return refuse(c, node, "its inputs have different sizes");
        if (node->op == KZ_OP_CONCAT)
            node->channels += input->channels;
        else if (input->channels != first->channels)
            return refuse(c, node, "its inputs have different numbers of channels");
    }
    return 0;
}

static int check_shape(const struct checker *c, kz_node *node)
{
    int error = 0;
    switch (node->op) {
    case KZ_OP_INPUT:
        node->scale = 1;
        break;
    case KZ_OP_CONV:
    case KZ_OP_PHASE_CONV:
        error = check_conv(c, node);
        break;
    case KZ_OP_ACTIVATION:
    case KZ_OP_ADD:
    case KZ_OP_CONCAT:
        error = check_inputs(c, node);
        break;
    case KZ_OP_UPSAMPLE:
    case KZ_OP_PIXEL_SHUFFLE:
        error = check_inputs(c, node);
        if (!error && (node->factor < 2 || node->factor > MAX_SCALE))
            return refuse(c, node, "it enlarges by a factor that isn't supported");
        node->scale *= node->factor;
        if (node->op == KZ_OP_PIXEL_SHUFFLE) {
            if (node->channels % (node->factor * node->factor))
                return refuse(c, node, "its channels don't divide into phases");
            node->channels /= node->factor * node->factor;
        }
        break;
    }
    return error;
}

static int check_node(const struct checker *c, int index)
{
    kz_node *node = &c->graph->nodes[index];
    bool input = node->op == KZ_OP_INPUT;
    if (input != (index == 0) || input != (node->n_inputs == 0) || node->n_inputs > KZ_MAX_INPUTS ||
        node->n_inputs < 0)
        return refuse(c, node, "its place or its number of inputs is wrong");
    for (int i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] < 0 || node->inputs[i] >= index)
            return refuse(c, node, "it reads a value that doesn't exist yet");
    int error = check_shape(c, node);
    if (error)
        return error;
    if (node->channels < 1 || node->channels > MAX_CHANNELS || node->scale > MAX_SCALE)
        return refuse(c, node, "it has too many channels or enlarges too far");
    if (node->act == KZ_ACT_PRELU &&
        (!node->slopes || !all_finite(node->slopes, (size_t)node->channels)))
        return refuse(c, node, "its slopes aren't finite numbers");
    if (!isfinite(node->slope) || !all_finite(node->coefs, KZ_MAX_INPUTS))
        return refuse(c, node, "its coefficients aren't finite numbers");
    return 0;
}

int kz_graph_check(kz_graph *graph, const char *source, kz_log *log)
{
    struct checker c = {graph, source, log};
    if (graph->n_nodes < 2 || graph->n_nodes > MAX_NODES || graph->output < 0 ||
        graph->output >= graph->n_nodes)
        return kz_fail(log, KZ_ERROR_FAILED, "%s: a network of %d layers isn't supported", source,
                       graph->n_nodes);
    for (int i = 0; i < graph->n_nodes; i++) {
        int error = check_node(&c, i);
        if (error)
            return error;
    }
    return 0;
}

/* ---- figures, pruning ---- */

/* How far a node reads beyond what its inputs reached, in pixels of its input. */
static int node_reach(const kz_node *node)
{
    if (node->op == KZ_OP_PHASE_CONV)
        return 1;
    if (node->op == KZ_OP_CONV) {
        int x = node->pad_left > node->pad_right ? node->pad_left : node->pad_right;
        int y = node->pad_top > node->pad_bottom ? node->pad_top : node->pad_bottom;
        return x > y ? x : y;
    }
    return 0;
}

int kz_graph_reach(const kz_graph *graph)
{
    double *reach = kz_alloc((size_t)graph->n_nodes, sizeof(*reach));
    if (!reach)
        return 1 << 20; /* so large that no tiling is found: the caller runs out of memory next */
    for (int i = 0; i < graph->n_nodes; i++) {
        const kz_node *node = &graph->nodes[i];
        for (int j = 0; j < node->n_inputs; j++)
            reach[i] = fmax(reach[i], reach[node->inputs[j]]);
        if (node->n_inputs)
            reach[i] += (double)node_reach(node) / graph->nodes[node->inputs[0]].scale;
    }
    int result = (int)ceil(reach[graph->output]);
    kz_free(reach);
    return result;
}

double kz_graph_macs(const kz_graph *graph)
{
    double macs = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        const kz_node *node = &graph->nodes[i];
        if (node->op != KZ_OP_CONV && node->op != KZ_OP_PHASE_CONV)
            continue;
        int scale = graph->nodes[node->inputs[0]].scale;
        macs += (double)weight_count(graph, node) * scale * scale;
    }
    return macs;
}

static void mark_needed(const kz_graph *graph, bool *needed)
{
    needed[0] = needed[graph->output] = true;
    for (int i = graph->n_nodes - 1; i >= 0; i--)
        for (int j = 0; needed[i] && j < graph->nodes[i].n_inputs; j++)
            needed[graph->nodes[i].inputs[j]] = true;
}

int kz_graph_prune(kz_graph *graph)
{
    size_t n = (size_t)graph->n_nodes;
    bool *needed = kz_alloc(n, sizeof(*needed));
    int *place = kz_alloc(n, sizeof(*place));
    int kept = 0;
    if (!needed || !place) {
        kz_free(needed);
        kz_free(place);
        return KZ_ERROR_MEMORY;
    }
    mark_needed(graph, needed);
    for (int i = 0; i < graph->n_nodes; i++) {
        if (!needed[i]) {
            free_arrays(&graph->nodes[i]);
            continue;
        }
        place[i] = kept;
        graph->nodes[kept] = graph->nodes[i];
        for (int j = 0; j < graph->nodes[kept].n_inputs; j++)
            graph->nodes[kept].inputs[j] = place[graph->nodes[kept].inputs[j]];
        kept++;
    }
    graph->n_nodes = kept;
    graph->output = place[graph->output];
    kz_free(needed);
    kz_free(place);
    return 0;
}
