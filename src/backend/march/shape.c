#include "backend/march/shape.h"

#include <string.h>

#include "backend/schedule.h"
#include "base/mem.h"
#include "model/readers.h"

/* Layers of a network whose convolutions have larger tiles in bf16, at most. Every layer adds to
 * the noise: animevideov3 has 17, and 63 dB to fp32 (F(2×2): 68); anime-6b, 96 in dense blocks,
 * would have 50 (58). */
enum { MOST_WITH_LARGE_TILES = 40 };

/* Nodes of a network that is computed as one group, at most. */
enum { MOST_IN_ONE_GROUP = 64 };

/* While the graph is read: which values each graph node stands for. A concatenation is a list. */
struct parts {
    int n, values[KZ_KERNEL_INPUTS];
};

struct reader {
    kz_march_shape *shape;
    const kz_graph *graph;
    struct parts *parts; /* [n_nodes of the graph] */
};

static bool is_bf16(const kz_march_shape *s)
{
    return s->params.precision == KZ_PRECISION_BF16 && !s->small;
}

/* Plain 3×3 convolutions of few channels, one after the other. */
static bool is_small(const kz_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].op == KZ_OP_PHASE_CONV || graph->nodes[i].op == KZ_OP_CONCAT ||
            (graph->nodes[i].op == KZ_OP_CONV && graph->nodes[i].channels > KZ_SMALL_CHANNELS))
            return false;
    return graph->n_nodes <= MOST_IN_ONE_GROUP;
}

static int add_value(kz_march_shape *s, int channels, int scale, bool planar, bool bf16)
{
    int block = planar ? 1 : kz_block_channels(bf16);
    s->values[s->n_values] = (kz_march_value){.channels = channels,
                                              .scale = scale,
                                              .blocks = (channels + block - 1) / block,
                                              .planar = planar,
                                              .bf16 = bf16 && !planar,
                                              .producer = s->n_nodes,
                                              .last_reader = -1};
    return s->n_values++;
}

/* ---- nodes ---- */

/* The single value that a graph node is, or -1. */
static int single(const struct reader *r, int index)
{
    return r->parts[index].n == 1 ? r->parts[index].values[0] : -1;
}

static bool add_residuals(struct reader *r, kz_march_node *node, const kz_node *from,
                          const kz_march_value *out)
{
    for (int i = 1; i < from->n_inputs; i++) {
        int value = single(r, from->inputs[i]);
        if (value < 0 || node->n_residuals == KZ_KERNEL_RESIDUALS)
            return false;
        const kz_march_value *v = &r->shape->values[value];
        if (v->planar || v->bf16 != out->bf16 || v->channels != out->channels ||
            v->scale != out->scale)
            return false;
        node->residuals[node->n_residuals] = value;
        node->coefs[node->n_residuals++] = from->coefs[i];
    }
    return true;
}

/* Read by a pixel shuffle only, which wants fp32. */
static bool feeds_shuffle(const kz_graph *graph, int index)
{
    bool feeds = false;
    for (int i = index + 1; i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_inputs; j++)
            if (graph->nodes[i].inputs[j] == index) {
                if (graph->nodes[i].op != KZ_OP_PIXEL_SHUFFLE)
                    return false;
                feeds = true;
            }
    return feeds;
}

static bool is_plain_conv(const kz_node *n)
{
    return n->op == KZ_OP_CONV && n->kernel == 3 && n->pad_top == 1 && n->pad_left == 1 &&
           n->pad_bottom == 1 && n->pad_right == 1;
}

static bool kind_of_conv(const struct reader *r, const kz_node *from, enum kz_kernel_kind *kind)
{
    const struct parts *in = &r->parts[from->inputs[0]];
    bool planar = false;
    if (!in->n)
        return false; /* an enlargement that only a sum may read */
    for (int i = 0; i < in->n; i++)
        planar |= r->shape->values[in->values[i]].planar;
    *kind = planar                         ? KZ_KERNEL_FIRST
            : from->op == KZ_OP_PHASE_CONV ? KZ_KERNEL_PHASE
            : from->channels == 1          ? KZ_KERNEL_LAST
                                           : KZ_KERNEL_CONV;
    if (from->op != KZ_OP_PHASE_CONV && !is_plain_conv(from))
        return false;
    int blocks = 0;
    for (int i = 0; i < in->n; i++)
        blocks += r->shape->values[in->values[i]].blocks;
    if (blocks > KZ_MARCH_BLOCKS)
        return false;
    if (planar && (in->n != 1 || from->op != KZ_OP_CONV || from->channels == 1))
        return false;
    return from->n_inputs == 1 || *kind == KZ_KERNEL_CONV;
}

static bool add_conv(struct reader *r, int index)
{
    kz_march_shape *s = r->shape;
    const kz_node *from = &r->graph->nodes[index];
    const struct parts *in = &r->parts[from->inputs[0]];
    kz_march_node *node = &s->nodes[s->n_nodes];
    enum kz_kernel_kind kind;
    if (!kind_of_conv(r, from, &kind))
        return false;
    bool wide = kind == KZ_KERNEL_CONV && feeds_shuffle(r->graph, index);
    int value =
        add_value(s, from->channels, from->scale, kind == KZ_KERNEL_LAST, is_bf16(s) && !wide);
    *node = (kz_march_node){.kind = kind,
                            .graph_node = index,
                            .n_inputs = in->n,
                            .output = value,
                            .factor = kind == KZ_KERNEL_PHASE ? 2 : 1};
    memcpy(node->inputs, in->values, sizeof(node->inputs));
    r->parts[index] = (struct parts){1, {value}};
    s->n_nodes++;
    return s->values[value].blocks <= KZ_MARCH_BLOCKS &&
           add_residuals(r, node, from, &s->values[value]);
}

/* Whether the convolution just added can also do the shuffle that follows. */
static bool is_end(const struct reader *r, const kz_node *shuffle)
{
    const kz_march_shape *s = r->shape;
    if (!s->small || !s->n_nodes || shuffle->factor != 2 || shuffle->channels != 1)
        return false;
    const kz_march_node *conv = &s->nodes[s->n_nodes - 1];
    const kz_node *from = &r->graph->nodes[conv->graph_node];
    return conv->kind == KZ_KERNEL_CONV && shuffle->inputs[0] == conv->graph_node &&
           conv->n_inputs == 1 && !conv->n_residuals && from->act == KZ_ACT_NONE &&
           feeds_shuffle(r->graph, conv->graph_node);
}

static void make_end(struct reader *r, int index)
{
    kz_march_shape *s = r->shape;
    kz_march_node *conv = &s->nodes[s->n_nodes - 1];
    kz_march_value *value = &s->values[conv->output];
    conv->kind = KZ_KERNEL_END;
    conv->factor = 2;
    value->channels = value->blocks = 1;
    value->scale = r->graph->nodes[index].scale;
    value->planar = true;
    r->parts[index] = (struct parts){1, {conv->output}};
}

static bool add_shuffle(struct reader *r, int index)
{
    kz_march_shape *s = r->shape;
    const kz_node *from = &r->graph->nodes[index];
    int in = single(r, from->inputs[0]);
    if (is_end(r, from)) {
        make_end(r, index);
        return true;
    }
    if (in < 0 || from->channels != 1 || from->factor < 2 || from->factor > 4 ||
        s->values[in].planar || s->values[in].bf16)
        return false;
    kz_march_node *node = &s->nodes[s->n_nodes];
    *node = (kz_march_node){.kind = KZ_KERNEL_SHUFFLE,
                            .graph_node = index,
                            .n_inputs = 1,
                            .inputs = {in},
                            .output = add_value(s, 1, from->scale, true, false),
                            .factor = from->factor};
    r->parts[index] = (struct parts){1, {node->output}};
    s->n_nodes++;
    return true;
}

/* Only what ends a network: a shuffled value and an enlarged planar one. */
static bool add_sum(struct reader *r, int index)
{
    kz_march_shape *s = r->shape;
    const kz_node *from = &r->graph->nodes[index];
    kz_march_node *node = &s->nodes[s->n_nodes - 1];
    if (!s->n_nodes || from->n_inputs != 2 || node->n_inputs != 1 ||
        (node->kind != KZ_KERNEL_SHUFFLE && node->kind != KZ_KERNEL_END))
        return false;
    for (int i = 0; i < 2; i++) {
        const kz_node *up = &r->graph->nodes[from->inputs[i]];
        int base = up->op == KZ_OP_UPSAMPLE ? single(r, up->inputs[0]) : -1;
        if (base < 0 || up->factor != node->factor || !s->values[base].planar ||
            single(r, from->inputs[1 - i]) != node->output || from->coefs[1 - i] != 1 ||
            kz_graph_readers(r->graph, from->inputs[1 - i]) > 1) /* it is added to in place */
            continue;
        node->inputs[node->n_inputs++] = base;
        node->coefs[0] = from->coefs[i];
        r->parts[index] = (struct parts){1, {node->output}};
        return true;
    }
    return false;
}

static bool add_concat(struct reader *r, int index)
{
    const kz_node *from = &r->graph->nodes[index];
    struct parts *to = &r->parts[index];
    for (int i = 0; i < from->n_inputs; i++) {
        const struct parts *in = &r->parts[from->inputs[i]];
        if (!in->n)
            return false;
        for (int j = 0; j < in->n; j++) {
            if (to->n == KZ_KERNEL_INPUTS || r->shape->values[in->values[j]].planar)
                return false;
            to->values[to->n++] = in->values[j];
        }
    }
    return true;
}

static bool add_node(struct reader *r, int index)
{
    switch (r->graph->nodes[index].op) {
    case KZ_OP_INPUT:
        r->parts[index] = (struct parts){1, {add_value(r->shape, 1, 1, true, false)}};
        r->shape->values[0].producer = -1;
        return r->graph->nodes[index].channels == 1;
    case KZ_OP_CONV:
    case KZ_OP_PHASE_CONV:
        return add_conv(r, index);
    case KZ_OP_CONCAT:
        return add_concat(r, index);
    case KZ_OP_PIXEL_SHUFFLE:
        return add_shuffle(r, index);
    case KZ_OP_ADD:
        return add_sum(r, index);
    case KZ_OP_UPSAMPLE:
        return true; /* it has no parts: its reader decides */
    case KZ_OP_ACTIVATION:
        return false;
    }
    return false;
}

/* A shuffle whose sum comes later must not be read by anything else: the sum happens in place. */
static bool result_is_planar(const struct reader *r)
{
    int result = single(r, r->graph->output);
    r->shape->result = result;
    return result > 0 && r->shape->values[result].planar &&
           r->shape->values[result].last_reader < 0;
}

static void find_readers(kz_march_shape *s)
{
    for (int n = 0; n < s->n_nodes; n++) {
        const kz_march_node *node = &s->nodes[n];
        for (int i = 0; i < node->n_inputs; i++)
            s->values[node->inputs[i]].last_reader = n;
        for (int i = 0; i < node->n_residuals; i++)
            s->values[node->residuals[i]].last_reader = n;
    }
}

static bool read_graph(struct reader *r)
{
    for (int i = 0; i < r->graph->n_nodes; i++)
        if (!add_node(r, i))
            return false;
    find_readers(r->shape);
    return result_is_planar(r);
}

/* ---- kernels ---- */

static bool has_dense_blocks(const kz_march_shape *s)
{
    for (int n = 0; n < s->n_nodes; n++)
        if (s->nodes[n].kind == KZ_KERNEL_CONV && s->nodes[n].n_inputs > 1)
            return true;
    return false;
}

/* Deep networks lose by bf16; what they do at the input's size makes most of that. */
static bool wants_exact(const kz_march_shape *s, const kz_march_node *node)
{
    return node->kind == KZ_KERNEL_CONV && s->values[node->output].scale == 1 &&
           has_dense_blocks(s);
}

kz_kernel_params kz_march_kernel_params(const kz_march_shape *s, const kz_graph *graph,
                                        const kz_march_node *node, float *slopes)
{
    const kz_node *from = &graph->nodes[node->graph_node];
    const kz_march_value *out = &s->values[node->output];
    bool shuffle = node->kind == KZ_KERNEL_SHUFFLE;
    kz_kernel_params p = {.kind = node->kind,
                          .bf16 = is_bf16(s) && !shuffle,
                          .wide = node->kind == KZ_KERNEL_CONV && is_bf16(s) && !out->bf16,
                          .exact = wants_exact(s, node),
                          .n_inputs = shuffle ? 1 : node->n_inputs,
                          .out_channels = from->channels,
                          .weights = from->weights,
                          .bias = from->bias,
                          .n_residuals = node->n_residuals,
                          .factor = node->factor};
    memcpy(p.coefs, node->coefs, sizeof(p.coefs));
    for (int i = 0; i < node->n_inputs; i++)
        p.in_channels[i] = s->values[node->inputs[i]].channels;
    if (from->act != KZ_ACT_NONE)
        p.slopes = slopes;
    for (int c = 0; c < from->channels && p.slopes; c++)
        slopes[c] = from->act == KZ_ACT_PRELU ? from->slopes[c] : from->slope;
    return p;
}

static int most_channels(const kz_march_shape *s)
{
    int most = 1;
    for (int v = 0; v < s->n_values; v++)
        most = s->values[v].channels > most ? s->values[v].channels : most;
    return most;
}

/* What is larger than the picture is near the end: hardly a layer follows to amplify its noise. */
static const kz_kernel_ops *large_kernel(const kz_march_shape *s, const kz_march_node *node)
{
    if (node->kind != KZ_KERNEL_CONV)
        return NULL;
    const bool is_deep = has_dense_blocks(s) || s->n_nodes > MOST_WITH_LARGE_TILES;
    if (is_deep && s->values[node->output].scale == 1)
        return NULL;
    return kz_kernel_large_for(s->params.level, is_bf16(s));
}

static const kz_kernel_ops *ops_of(const kz_march_shape *s, const kz_march_node *node)
{
    const enum kz_kernel_kind kind = node->kind;
    const kz_kernel_ops *large = large_kernel(s, node);
    if (kind == KZ_KERNEL_END)
        return s->small->end;
    if (kind == KZ_KERNEL_FIRST && s->small)
        return s->small->first;
    if (kind == KZ_KERNEL_CONV && s->small)
        return s->small->conv;
    return large ? large : kz_kernel_table_for(s->params.level, is_bf16(s))[kind];
}

static int measure_kernels(kz_march_shape *s, const kz_graph *graph)
{
    float *slopes = kz_alloc((size_t)most_channels(s), sizeof(*slopes));
    if (!slopes)
        return KZ_ERROR_MEMORY;
    for (int n = 0; n < s->n_nodes; n++) {
        kz_march_node *node = &s->nodes[n];
        kz_kernel_params p = kz_march_kernel_params(s, graph, node, slopes);
        kz_kernel_measure(&node->kernel, ops_of(s, node), &p);
        memcpy(node->name, graph->nodes[node->graph_node].name, sizeof(node->name));
        s->weight_bytes += node->kernel.bytes;
        if (kz_kernel_scratch(&node->kernel) > s->scratch_bytes)
            s->scratch_bytes = kz_kernel_scratch(&node->kernel);
    }
    kz_free(slopes);
    return 0;
}

/* ---- planes ---- */

/* Rows must not lie a multiple of 4 KiB apart: they would share their places in the cache. */
int kz_march_plane_pitch(const kz_march_shape *s, const kz_march_value *v)
{
    int pitch = s->params.width * v->scale + KZ_MARCH_LEFT + KZ_MARCH_RIGHT;
    pitch = (pitch + 15) / 16 * 16;
    return (size_t)pitch * kz_march_pixel(v) % 4096 ? pitch : pitch + 16;
}

static int group_of(const kz_march_shape *s, int node)
{
    int g = 0;
    while (g < s->n_groups && node >= s->groups[g].end)
        g++;
    return g;
}

/* What goes from one group to another is stored. The memory of a plane is used again by a later
 * value of the same shape only, so that the zeros beside its rows stay zeros. */
static int place_planes(kz_march_shape *s)
{
    kz_schedule plan = {.buffers = kz_alloc((size_t)s->n_values, sizeof(kz_buffer))};
    int *values = kz_alloc((size_t)s->n_values, sizeof(*values));
    if (!plan.buffers || !values) {
        kz_free(plan.buffers);
        kz_free(values);
        return KZ_ERROR_MEMORY;
    }
    for (int shape = 0; shape < s->n_values; shape++) {
        const kz_march_value *like = &s->values[shape];
        plan.n_buffers = 0;
        for (int v = shape; v < s->n_values; v++) {
            const kz_march_value *value = &s->values[v];
            if (!value->stored || value->offset || value->scale != like->scale ||
                value->planar != like->planar || value->blocks != like->blocks)
                continue;
            size_t row = (size_t)kz_march_plane_pitch(s, value) * kz_march_pixel(value);
            size_t rows = (size_t)(s->params.height * value->scale * value->blocks);
            values[plan.n_buffers] = v;
            plan.buffers[plan.n_buffers++] =
                (kz_buffer){.first = value->producer < 0 ? -1 : group_of(s, value->producer),
                            .last = group_of(s, value->last_reader),
                            .bytes = row * rows};
        }
        size_t bytes = kz_schedule_pack(&plan);
        for (int i = 0; i < plan.n_buffers; i++) /* 0 would mean: not placed yet */
            s->values[values[i]].offset = s->plane_bytes + plan.buffers[i].offset + KZ_ALIGNMENT;
        s->plane_bytes += bytes;
    }
    s->plane_bytes += KZ_ALIGNMENT;
    kz_free(plan.buffers);
    kz_free(values);
    return 0;
}

/* ---- life ---- */

static int allocate(kz_march_shape *s, struct reader *r)
{
    size_t n = (size_t)r->graph->n_nodes;
    s->values = kz_alloc(n, sizeof(*s->values));
    s->nodes = kz_alloc(n, sizeof(*s->nodes));
    s->groups = kz_alloc(n, sizeof(*s->groups));
    r->parts = kz_alloc(n, sizeof(*r->parts));
    return s->values && s->nodes && s->groups && r->parts ? 0 : KZ_ERROR_MEMORY;
}

static void reset_layout(kz_march_shape *s)
{
    s->plane_bytes = s->ring_bytes = s->zero_bytes = 0;
    s->macs = 0;
    for (int v = 0; v < s->n_values; v++) {
        s->values[v].ring_rows = s->values[v].ring_pitch = 0;
        s->values[v].offset = 0;
    }
    for (int n = 0; n < s->n_nodes; n++)
        s->nodes[n].macs = s->nodes[n].executed = 0;
    for (int i = 0; i < s->n_groups; i++)
        s->groups[i].ring_bytes = 0;
}

int kz_march_shape_resize(kz_march_shape *s, int width, int height, kz_rect own)
{
    s->params.width = width;
    s->params.height = height;
    s->own = own;
    reset_layout(s);
    int error = kz_march_cut_groups(s);
    if (!error)
        error = kz_march_size_rings(s);
    return error ? error : place_planes(s);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* One cell, as wide as cells become, in the middle, where it has a halo on each side. */
static void cut_widest_cell(const kz_march_shape *s, kz_march_group *g)
{
    const int width = s->params.width, most = kz_march_cell_width(s, g);
    const int x = width > most ? (width - most) / 2 / KZ_TILE_STEP * KZ_TILE_STEP : 0;
    g->needed = (kz_rect){x, 0, width > most ? x + most : width, s->params.height};
    g->columns = g->rows = 1;
    g->cell_width = most;
    g->cell_height = s->params.height;
}

/* Planes are the larger the picture is, rings the wider the cell. */
int kz_march_find_room(kz_march_room *room, kz_march_shape *s)
{
    const kz_rect all = {0, 0, s->params.width, s->params.height};
    *room = (kz_march_room){s->plane_bytes, s->ring_bytes, s->scratch_bytes, s->zero_bytes};
    reset_layout(s);
    for (int i = 0; i < s->n_groups; i++)
        cut_widest_cell(s, &s->groups[i]);
    int error = kz_march_size_rings(s);
    room->ring_bytes = larger(room->ring_bytes, s->ring_bytes);
    room->zero_bytes = larger(room->zero_bytes, s->zero_bytes);
    return error ? error : kz_march_shape_resize(s, s->params.width, s->params.height, all);
}

int kz_march_shape_open(kz_march_shape *s, const kz_graph *graph, const kz_march_params *params)
{
    struct reader r = {.shape = s, .graph = graph};
    *s = (kz_march_shape){.params = *params};
    if (!kz_kernel_table_for(params->level, params->precision == KZ_PRECISION_BF16))
        return KZ_ERROR_FAILED;
    s->is_small = is_small(graph);
    if (s->is_small)
        s->small = kz_kernel_small_for(params->level, params->precision == KZ_PRECISION_BF16);
    int error = allocate(s, &r);
    if (!error && !read_graph(&r))
        error = KZ_ERROR_FAILED;
    kz_free(r.parts);
    if (!error)
        error = measure_kernels(s, graph);
    if (!error)
        error = kz_march_group_nodes(s);
    if (!error)
        error = kz_march_shape_resize(s, params->width, params->height,
                                      (kz_rect){0, 0, params->width, params->height});
    if (error)
        kz_march_shape_close(s);
    return error;
}

void kz_march_shape_close(kz_march_shape *s)
{
    kz_free(s->values);
    kz_free(s->nodes);
    kz_free(s->groups);
    *s = (kz_march_shape){0};
}
