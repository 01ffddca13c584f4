#include "cuda/program.h"

#include <string.h>

#include "backend/schedule.h"
#include "base/mem.h"
#include "model/readers.h"

/* Slices begin where 16 bytes of 16-bit elements do. */
enum { SLICE = 8 };

/* Kernels read biases and slopes of whole groups of outputs. */
enum { GROUP = 64 };

#define NONE ((size_t)-1)

/* What becomes of a node. */
enum fate { STEP, SMALL /* the end of a small network */, INSIDE /* of one: no value in memory */ };

struct builder {
    kz_program *program;
    const kz_graph *graph;
    const kz_program_params *params;
    kz_schedule schedule;
    char *fates;          /* [nodes] */
    kz_small_net *smalls; /* in the order of their ends */
    int n_smalls, added;  /* added: of them, as steps */
    kz_log *log;
};

/* ---- where values lie ---- */

/* On the picture's way out of the network. */
static bool is_copied_only(const kz_graph *graph, int index)
{
    bool any = false;
    for (int i = index + 1; i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_inputs; j++) {
            if (graph->nodes[i].inputs[j] != index)
                continue;
            if (graph->nodes[i].op != KZ_OP_PIXEL_SHUFFLE && graph->nodes[i].op != KZ_OP_UPSAMPLE)
                return false;
            any = true;
        }
    return any;
}

static enum kz_element wide_element(enum kz_precision precision)
{
    switch (precision) {
    case KZ_PRECISION_FP16:
        return KZ_ELEMENT_FP16;
    case KZ_PRECISION_BF16:
        return KZ_ELEMENT_BF16;
    default:
        return KZ_ELEMENT_FP32;
    }
}

/* A part of a buffer, or a concatenation of such parts: all of it has one type. */
static bool is_sliced(const struct builder *b, int index)
{
    const kz_node *node = &b->graph->nodes[index];
    return b->schedule.buffers[b->schedule.slots[index].buffer].channels != node->channels ||
           (node->op == KZ_OP_CONCAT && !b->schedule.copies[index]);
}

/* The input may be what another network made, which doesn't know who reads it. */
static enum kz_element element_of(const struct builder *b, int index)
{
    const bool is_exact = index > 0 && is_copied_only(b->graph, index);
    if (!is_sliced(b, index) && (b->graph->nodes[index].channels % SLICE || is_exact))
        return KZ_ELEMENT_FP32;
    return wide_element(b->params->precision);
}

static kz_place place_of(const struct builder *b, int index)
{
    const kz_node *node = &b->graph->nodes[index];
    const kz_slot slot = b->schedule.slots[index];
    const kz_buffer *buffer = &b->schedule.buffers[slot.buffer];
    const enum kz_element element = element_of(b, index);
    return (kz_place){.offset = buffer->offset + (size_t)slot.channel * kz_element_bytes(element),
                      .external = index == 0,
                      .element = element,
                      .channels = node->channels,
                      .pixel = buffer->channels,
                      .scale = node->scale};
}

static size_t pixels_of(const struct builder *b, int scale)
{
    return (size_t)b->params->width * (size_t)scale * (size_t)b->params->height * (size_t)scale;
}

static void pack_values(struct builder *b)
{
    kz_schedule *s = &b->schedule;
    for (int i = 0; i < b->graph->n_nodes; i++) {
        kz_buffer *buffer = &s->buffers[s->slots[i].buffer];
        buffer->bytes = i == 0 || b->fates[i] == INSIDE
                            ? 0
                            : pixels_of(b, buffer->scale) * (size_t)buffer->channels *
                                  kz_element_bytes(element_of(b, i));
    }
    b->program->arena_bytes = kz_schedule_pack(s);
}

kz_view kz_place_view(const kz_place *p, char *arena, const kz_view *input, int width, int height)
{
    return (kz_view){.data = p->external ? input->data : arena + p->offset,
                     .element = p->element,
                     .channels = p->channels,
                     .pixel = p->external ? input->pixel : p->pixel,
                     .width = width * p->scale,
                     .height = height * p->scale,
                     .scale = p->scale};
}

kz_conv_task kz_step_task(const kz_step *s, char *arena, const char *constants,
                          const kz_view *input)
{
    const int width = input->width, height = input->height;
    kz_conv_task task = s->conv;
    task.first = NULL;
    task.in = kz_place_view(&s->in, arena, input, width, height);
    task.out = kz_place_view(&s->out, arena, input, width, height);
    for (int i = 0; i < s->n_others; i++)
        task.residuals[i] = kz_place_view(&s->others[i], arena, input, width, height);
    task.weights = constants + s->weights;
    task.bias = kz_floats_at(constants, s->bias);
    task.slopes = kz_floats_at(constants, s->slopes);
    return task;
}

kz_small_task kz_step_small(const kz_step *s, char *arena, const char *constants,
                            const kz_view *input)
{
    kz_small_task task = s->small;
    task.in = kz_place_view(&s->in, arena, input, input->width, input->height);
    task.out = kz_place_view(&s->out, arena, input, input->width, input->height);
    task.constants = constants + s->weights;
    return task;
}

/* ---- small networks ---- */

/* Its columns are 0 where it doesn't fit the device. */
static kz_small_task small_task(const struct builder *b, const kz_small_net *small)
{
    kz_small_task task = kz_small_net_task(small, wide_element(b->params->precision));
    task.columns = kz_cuda_small_columns(&task, b->params->shared_bytes);
    return task;
}

/* It is run where its end is, and reads its source there. */
static void mark_small(struct builder *b, const kz_small_net *small)
{
    kz_buffer *source = &b->schedule.buffers[b->schedule.slots[small->source].buffer];
    for (int i = 0; i < small->n_layers; i++)
        b->fates[small->layers[i]] = INSIDE;
    b->fates[small->shuffle] = b->fates[small->nearest] = INSIDE;
    b->fates[small->end] = SMALL;
    source->last = source->last > small->end ? source->last : small->end;
}

static void find_small(struct builder *b)
{
    for (int i = 0; i < b->graph->n_nodes; i++) {
        kz_small_net *small = &b->smalls[b->n_smalls];
        if (!kz_small_net_find(small, b->graph, i) || !small_task(b, small).columns)
            continue;
        mark_small(b, small);
        b->n_smalls++;
    }
}

/* ---- tails ---- */

/* Whether the layer before it is one, too, and nothing else reads what that makes. */
static bool ends_tail(const kz_graph *graph, int index)
{
    const kz_node *node = &graph->nodes[index];
    return node->op == KZ_OP_CONV && node->channels == 1 &&
           graph->nodes[node->inputs[0]].op == KZ_OP_CONV &&
           kz_graph_readers(graph, node->inputs[0]) == 1;
}

/* What the first of its layers reads lies where it is until the second is done. */
static void find_tails(struct builder *b)
{
    for (int i = 0; i < b->graph->n_nodes; i++) {
        if (b->params->precision == KZ_PRECISION_FP32 || !ends_tail(b->graph, i))
            continue;
        const int source = b->graph->nodes[b->graph->nodes[i].inputs[0]].inputs[0];
        kz_buffer *buffer = &b->schedule.buffers[b->schedule.slots[source].buffer];
        buffer->last = buffer->last > i ? buffer->last : i;
    }
}

/* ---- constants ---- */

static size_t take(kz_program *p, size_t bytes)
{
    const size_t at = p->constant_bytes;
    p->constant_bytes += kz_gpu_aligned(bytes);
    return at;
}

static size_t group_bytes(int channels)
{
    return (size_t)(channels + GROUP - 1) / GROUP * GROUP * sizeof(float);
}

static size_t weight_bytes(const kz_step *s)
{
    return s->run == kz_cuda_conv_tensor ? kz_cuda_conv_tensor_bytes(&s->conv)
                                         : kz_cuda_conv_plain_count(&s->conv) * sizeof(float);
}

static void take_constants(kz_program *p, kz_step *s, const kz_node *node)
{
    s->slopes = NONE;
    if (s->kind == KZ_STEP_SMALL) {
        s->weights = take(p, kz_cuda_small_bytes(&s->small));
        return;
    }
    if (s->kind == KZ_STEP_CONV) {
        s->weights = take(p, weight_bytes(s));
        s->bias = take(p, group_bytes(node->channels));
    }
    if (node->act != KZ_ACT_NONE)
        s->slopes = take(p, group_bytes(node->channels));
}

static void pack_slopes(const kz_node *node, float *slopes)
{
    for (int c = 0; c < node->channels; c++)
        slopes[c] = node->act == KZ_ACT_PRELU ? node->slopes[c] : node->slope;
}

static void pack_step(const kz_step *s, const kz_graph *graph, char *constants)
{
    const kz_node *node = &graph->nodes[s->node];
    if (s->kind == KZ_STEP_SMALL)
        return kz_small_net_pack(&s->net, graph, &s->small, constants + s->weights);
    if (s->slopes != NONE)
        pack_slopes(node, (float *)(constants + s->slopes));
    if (s->kind != KZ_STEP_CONV)
        return;
    if (node->bias)
        memcpy(constants + s->bias, node->bias, (size_t)node->channels * sizeof(float));
    if (s->run == kz_cuda_conv_tensor)
        kz_cuda_conv_tensor_pack(&s->conv, node->weights, constants + s->weights);
    else
        kz_cuda_conv_plain_pack(&s->conv, node->weights, (float *)(constants + s->weights));
}

void kz_program_pack(const kz_program *program, const kz_graph *graph, void *constants)
{
    memset(constants, 0, program->constant_bytes);
    for (int i = 0; i < program->n_steps; i++)
        pack_step(&program->steps[i], graph, constants);
}

/* ---- steps ---- */

static kz_step *add_step(struct builder *b, enum kz_step_kind kind, int index)
{
    kz_step *s = &b->program->steps[b->program->n_steps++];
    *s = (kz_step){.kind = kind, .node = index, .out = place_of(b, index)};
    memcpy(s->layer, b->graph->nodes[index].name, sizeof(s->layer));
    return s;
}

/* What a kernel asks of a value: its address is as aligned as the offset in an arena. */
static kz_view shape_of(const kz_place *p)
{
    return (kz_view){
        (void *)(p->external ? 0 : p->offset), p->element, p->channels, p->pixel, 1, 1, 1};
}

/* The first kernel that fits. What touches the picture isn't rounded to TF32 either. */
static void choose_kernel(kz_step *s, const kz_program_params *params)
{
    kz_conv_task t = s->conv;
    t.in = shape_of(&s->in);
    t.out = shape_of(&s->out);
    for (int i = 0; i < s->n_others; i++)
        t.residuals[i] = shape_of(&s->others[i]);
    t.group = kz_cuda_conv_tensor_group(t.out.channels, params->shared_bytes);
    t.tf32 = params->precision == KZ_PRECISION_TF32;
    s->run = kz_cuda_conv_plain;
    s->kernel = "fp32";
    if (kz_cuda_conv_last_fits(&t)) {
        s->run = kz_cuda_conv_last;
        s->kernel = "fp32, from shared memory";
    } else if (kz_cuda_conv_tensor_fits(&t)) {
        s->run = kz_cuda_conv_tensor;
        s->kernel = "tensor cores";
    }
    t.tf32 = t.tf32 && s->run == kz_cuda_conv_tensor;
    s->conv = t; /* counts and packing need the channels */
}

/* Both by the kernels whose bits and weights kz_cuda_conv_tail() has. */
static void join_tail(const struct builder *b, kz_step *s, int input)
{
    const kz_step *before = s == b->program->steps ? NULL : s - 1;
    kz_conv_task task = s->conv;
    if (!before || before->node != input || before->run != kz_cuda_conv_tensor ||
        s->run != kz_cuda_conv_last || !ends_tail(b->graph, s->node))
        return;
    task.first = &before->conv;
    if (kz_cuda_conv_tail_fits(&task, b->params->shared_bytes))
        s->conv.first = &before->conv;
}

static int add_conv(struct builder *b, int index)
{
    const kz_node *node = &b->graph->nodes[index];
    const bool phases = node->op == KZ_OP_PHASE_CONV;
    if (node->n_inputs - 1 > KZ_CONV_MOST_RESIDUALS)
        return kz_fail(b->log, KZ_ERROR_FAILED,
                       "layer %s: the CUDA back end adds at most %d values", node->name,
                       KZ_CONV_MOST_RESIDUALS);
    kz_step *s = add_step(b, KZ_STEP_CONV, index);
    s->in = place_of(b, node->inputs[0]);
    s->conv = (kz_conv_task){.kernel = phases ? 2 : node->kernel,
                             .pad_top = phases ? 1 : node->pad_top,
                             .pad_left = phases ? 1 : node->pad_left,
                             .phases = phases,
                             .n_residuals = node->n_inputs - 1};
    for (int i = 1; i < node->n_inputs; i++) {
        s->others[s->n_others++] = place_of(b, node->inputs[i]);
        s->conv.coefs[i - 1] = node->coefs[i];
    }
    choose_kernel(s, b->params);
    join_tail(b, s, node->inputs[0]);
    take_constants(b->program, s, node);
    s->macs = (double)(s->conv.kernel * s->conv.kernel) * (phases ? 4 : 1) * s->in.channels *
              node->channels * s->in.scale * s->in.scale;
    return 0;
}

static void add_term(struct builder *b, kz_step *s, int input, float coef, int factor,
                     bool shuffled)
{
    s->others[s->n_others] = place_of(b, input);
    s->terms[s->n_others++] = (kz_term){.coef = coef, .factor = factor, .shuffled = shuffled};
}

static void add_sum(struct builder *b, int index)
{
    const kz_node *node = &b->graph->nodes[index];
    const bool enlarges = node->op == KZ_OP_UPSAMPLE || node->op == KZ_OP_PIXEL_SHUFFLE;
    kz_step *s = add_step(b, KZ_STEP_SUM, index);
    s->kernel = "sum";
    for (int i = 0; i < node->n_inputs; i++)
        add_term(b, s, node->inputs[i], node->op == KZ_OP_ADD ? node->coefs[i] : 1,
                 enlarges ? node->factor : 1, node->op == KZ_OP_PIXEL_SHUFFLE);
    take_constants(b->program, s, node);
}

/* A concatenation that couldn't be slices: each input goes to its channels. */
static void add_copies(struct builder *b, int index)
{
    const kz_node *node = &b->graph->nodes[index];
    if (!b->schedule.copies[index])
        return;
    for (int i = 0, channel = 0; i < node->n_inputs; i++) {
        kz_step *s = add_step(b, KZ_STEP_SUM, index);
        s->kernel = "copy";
        s->slopes = NONE;
        add_term(b, s, node->inputs[i], 1, 1, false);
        s->out.channels = s->others[0].channels;
        s->out.offset += (size_t)channel * kz_element_bytes(s->out.element);
        channel += s->out.channels;
    }
}

static void add_small(struct builder *b, int index)
{
    const kz_small_net *small = &b->smalls[b->added++];
    kz_step *s = add_step(b, KZ_STEP_SMALL, index);
    s->kernel = "all layers at once";
    s->in = place_of(b, small->source);
    s->net = *small;
    s->small = small_task(b, small);
    for (int i = 0; i < small->n_layers; i++)
        s->macs += 9.0 * kz_graph_in_channels(b->graph, &b->graph->nodes[small->layers[i]]) *
                   b->graph->nodes[small->layers[i]].channels * s->in.scale * s->in.scale;
    take_constants(b->program, s, &b->graph->nodes[index]);
}

static int add_node(struct builder *b, int index)
{
    if (b->fates[index] == SMALL)
        add_small(b, index);
    if (b->fates[index] != STEP)
        return 0;
    switch (b->graph->nodes[index].op) {
    case KZ_OP_INPUT:
        return 0;
    case KZ_OP_CONV:
    case KZ_OP_PHASE_CONV:
        return add_conv(b, index);
    case KZ_OP_CONCAT:
        add_copies(b, index);
        return 0;
    default:
        add_sum(b, index);
        return 0;
    }
}

static int build(struct builder *b)
{
    const size_t nodes = (size_t)b->graph->n_nodes;
    b->fates = kz_alloc(nodes, 1);
    b->smalls = kz_alloc(nodes / KZ_SMALL_NET_LEAST_NODES + 1, sizeof(*b->smalls));
    int error =
        b->fates && b->smalls ? kz_schedule_open(&b->schedule, b->graph, SLICE) : KZ_ERROR_MEMORY;
    if (error) {
        kz_free(b->fates);
        kz_free(b->smalls);
        return kz_fail_memory(b->log, "the network");
    }
    find_small(b);
    find_tails(b);
    pack_values(b);
    for (int i = 0; i < b->graph->n_nodes && !error; i++)
        error = add_node(b, i);
    b->program->input = place_of(b, 0);
    b->program->output = place_of(b, b->graph->output);
    kz_schedule_close(&b->schedule);
    kz_free(b->fates);
    kz_free(b->smalls);
    return error;
}

/* A concatenation of so many inputs takes as many steps. */
static size_t most_steps(const kz_graph *graph)
{
    size_t most = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        most += graph->nodes[i].op == KZ_OP_CONCAT ? (size_t)graph->nodes[i].n_inputs : 1;
    return most;
}

int kz_program_open(kz_program *program, const kz_graph *graph, const kz_program_params *params,
                    kz_log *log)
{
    struct builder b = {.program = program, .graph = graph, .params = params, .log = log};
    *program = (kz_program){0};
    program->steps = kz_alloc(most_steps(graph), sizeof(*program->steps));
    int error = program->steps ? build(&b) : kz_fail_memory(log, "the network's steps");
    if (error)
        kz_program_close(program);
    return error;
}

void kz_program_close(kz_program *program)
{
    kz_free(program->steps);
    *program = (kz_program){0};
}
