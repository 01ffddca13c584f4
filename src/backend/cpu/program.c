#include "backend/cpu/program.h"

#include <string.h>

#include "base/mem.h"

struct builder {
    kz_program *program;
    const kz_graph *graph;
    const kz_net_params *params;
    kz_schedule schedule;
    kz_log *log;
    int block; /* channels of a run of blocked values */
    bool nhwc; /* bf16 values are NHWC */
    bool failed;
};

/* ---- layouts ---- */

/* A value on the picture's way out of the network: kept in fp32. */
static bool is_read_by_copies_only(const kz_graph *graph, int index)
{
    for (int i = index + 1; i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_inputs; j++)
            if (graph->nodes[i].inputs[j] == index && graph->nodes[i].op != KZ_OP_PIXEL_SHUFFLE &&
                graph->nodes[i].op != KZ_OP_UPSAMPLE)
                return false;
    return true;
}

static kz_layout wide_layout(const struct builder *b, int channels, bool bf16, int scale)
{
    return (kz_layout){.channels = channels,
                       .run = bf16 && b->nhwc ? channels : b->block,
                       .bf16 = bf16,
                       .height = b->params->height * scale,
                       .width = b->params->width * scale};
}

static kz_layout planar_layout(const struct builder *b, int channels, int scale)
{
    kz_layout layout = wide_layout(b, channels, false, scale);
    layout.run = 1;
    return layout;
}

static kz_layout layout_of(const struct builder *b, int index)
{
    const kz_node *node = &b->graph->nodes[index];
    bool planar = (index == 0 && b->params->planar_in) ||
                  (index == b->graph->output && b->params->planar_out) || node->channels % b->block;
    if (planar)
        return planar_layout(b, node->channels, node->scale);
    bool at_cut = index == 0 || index == b->graph->output;
    bool bf16 = b->params->precision == KZ_PRECISION_BF16 &&
                (at_cut || node->op == KZ_OP_CONCAT || !is_read_by_copies_only(b->graph, index));
    return wide_layout(b, node->channels, bf16, node->scale);
}

static kz_place place_of(const struct builder *b, int index)
{
    kz_slot slot = b->schedule.slots[index];
    kz_layout layout = layout_of(b, index);
    return (kz_place){
        .layout = layout,
        .offset =
            b->schedule.buffers[slot.buffer].offset + kz_layout_offset(&layout, slot.channel, 0),
    };
}

static void pack_values(struct builder *b)
{
    kz_schedule *s = &b->schedule;
    for (int i = 0; i < b->graph->n_nodes; i++) {
        kz_buffer *buffer = &s->buffers[s->slots[i].buffer];
        kz_layout layout = layout_of(b, i);
        layout.channels = buffer->channels;
        buffer->bytes = kz_layout_bytes(&layout);
    }
    b->program->arena_bytes = kz_schedule_pack(s);
}

/* ---- steps ---- */

static kz_step *add_step(struct builder *b, enum kz_step_kind kind, kz_place src, kz_place dst)
{
    kz_program *p = b->program;
    if (p->n_steps == p->capacity) {
        int capacity = p->capacity * 2 + 64;
        kz_step *steps = kz_alloc((size_t)capacity, sizeof(*steps));
        if (!steps) {
            b->failed = true;
            return NULL;
        }
        if (p->n_steps)
            memcpy(steps, p->steps, (size_t)p->n_steps * sizeof(*steps));
        kz_free(p->steps);
        p->steps = steps;
        p->capacity = capacity;
    }
    p->steps[p->n_steps] = (kz_step){.kind = kind, .src = src, .dst = dst, .factor = 1};
    return &p->steps[p->n_steps++];
}

static void add_copy(struct builder *b, kz_place src, int src_channel, kz_place dst,
                     int dst_channel, int channels, int factor, int phase)
{
    kz_step *step = add_step(b, KZ_STEP_COPY, src, dst);
    if (!step)
        return;
    step->src_channel = src_channel;
    step->dst_channel = dst_channel;
    step->channels = channels;
    step->factor = factor;
    step->phase_y = phase / factor;
    step->phase_x = phase % factor;
}

static void add_sum(struct builder *b, kz_place dst, float keep, int input, float coef)
{
    kz_step *step = add_step(b, KZ_STEP_ADD, place_of(b, input), dst);
    if (!step)
        return;
    step->keep = keep;
    step->coef = coef;
}

/* Leaky ReLU too, where no convolution takes it along. */
static void add_activation(struct builder *b, const kz_node *node, kz_place dst)
{
    kz_step *step = add_step(b, KZ_STEP_PRELU, dst, dst);
    float *slopes = step ? kz_alloc((size_t)dst.layout.channels, sizeof(*slopes)) : NULL;
    if (!slopes) {
        b->failed = true;
        return;
    }
    step->slopes = slopes;
    for (int c = 0; c < node->channels; c++)
        slopes[c] = node->act == KZ_ACT_PRELU ? node->slopes[c] : node->slope;
}

/* ---- convolutions ---- */

static bool same_layout(const kz_layout *a, const kz_layout *b)
{
    return a->channels == b->channels && a->run == b->run && a->bf16 == b->bf16 &&
           a->height == b->height && a->width == b->width;
}

/* What oneDNN can write for this source: blocked fp32 where the source is the picture. */
static kz_layout conv_output(const struct builder *b, const kz_node *node, const kz_layout *src,
                             const kz_layout *dst)
{
    bool bf16 = src->run > 1 && dst->bf16;
    kz_layout layout = {.channels = node->channels,
                        .run = node->channels,
                        .bf16 = bf16,
                        .height = src->height,
                        .width = src->width};
    if (b->nhwc && src->bf16)
        return layout;
    layout.run = b->block;
    layout.channels = (node->channels + b->block - 1) / b->block * b->block;
    return layout;
}

/* Scaling the weights passes through a leaky ReLU only while the scale is positive. */
static bool residuals_fit(const struct builder *b, const kz_node *node, const kz_layout *dst)
{
    if (node->n_inputs - 1 > KZ_CONV_RESIDUALS)
        return false;
    for (int i = 1; i < node->n_inputs; i++) {
        kz_layout layout = layout_of(b, node->inputs[i]);
        if (!same_layout(&layout, dst) || !(node->coefs[i] > 0))
            return false;
    }
    return true;
}

static void fill_conv(const struct builder *b, kz_step *step, const kz_node *node)
{
    step->params = (kz_conv_params){.layer = node->name,
                                    .in_channels = kz_graph_in_channels(b->graph, node),
                                    .out_channels = node->channels,
                                    .kernel = node->kernel,
                                    .pad_top = node->pad_top,
                                    .pad_left = node->pad_left,
                                    .pad_bottom = node->pad_bottom,
                                    .pad_right = node->pad_right,
                                    .weights = node->weights,
                                    .bias = node->bias,
                                    .leaky = node->act == KZ_ACT_LEAKY,
                                    .slope = node->slope,
                                    .src = step->src.layout,
                                    .dst = step->dst.layout,
                                    .workers = b->params->workers};
}

/* Phase 2 a + b reads rows y - 1 + a + {0, 1}: one row of padding on one side. */
static void fill_phase(kz_conv_params *params, int phase)
{
    params->kernel = 2;
    params->pad_top = 1 - phase / 2;
    params->pad_bottom = phase / 2;
    params->pad_left = 1 - phase % 2;
    params->pad_right = phase % 2;
    params->weights +=
        (size_t)phase * (size_t)params->out_channels * (size_t)params->in_channels * 4;
}

static void add_conv(struct builder *b, const kz_node *node, kz_place dst, int phase, bool fuse)
{
    bool phases = node->op == KZ_OP_PHASE_CONV;
    kz_place src = place_of(b, node->inputs[0]), target = dst;
    kz_layout natural = conv_output(b, node, &src.layout, &dst.layout);
    bool direct = !phases && same_layout(&natural, &dst.layout);
    if (!direct) {
        target = (kz_place){.layout = natural, .temporary = true};
        if (kz_layout_bytes(&natural) > b->program->temporary_bytes)
            b->program->temporary_bytes = kz_layout_bytes(&natural);
    }
    kz_step *step = add_step(b, KZ_STEP_CONV, src, target);
    if (!step)
        return;
    fill_conv(b, step, node);
    if (phases)
        fill_phase(&step->params, phase);
    for (int i = 1; fuse && i < node->n_inputs; i++) {
        step->residuals[i - 1] = place_of(b, node->inputs[i]);
        step->params.coefs[i - 1] = node->coefs[i];
        step->params.n_residuals = i;
    }
    if (node->act == KZ_ACT_PRELU)
        add_activation(b, node, target);
    if (!direct)
        add_copy(b, target, 0, dst, 0, node->channels, phases ? 2 : 1, phase);
}

static void add_conv_node(struct builder *b, const kz_node *node, kz_place dst)
{
    kz_layout src = layout_of(b, node->inputs[0]);
    kz_layout natural = conv_output(b, node, &src, &dst.layout);
    bool phases = node->op == KZ_OP_PHASE_CONV;
    bool fuse = !phases && same_layout(&natural, &dst.layout) && node->act != KZ_ACT_PRELU &&
                residuals_fit(b, node, &dst.layout);
    for (int phase = 0; phase < (phases ? 4 : 1); phase++)
        add_conv(b, node, dst, phase, fuse);
    for (int i = 1; !fuse && i < node->n_inputs; i++)
        add_sum(b, dst, 1, node->inputs[i], node->coefs[i]);
}

/* ---- nodes ---- */

static void add_concat(struct builder *b, int index, kz_place dst)
{
    const kz_node *node = &b->graph->nodes[index];
    if (!b->schedule.copies[index])
        return;
    for (int i = 0, channel = 0; i < node->n_inputs; i++) {
        int channels = b->graph->nodes[node->inputs[i]].channels;
        add_copy(b, place_of(b, node->inputs[i]), 0, dst, channel, channels, 1, 0);
        channel += channels;
    }
}

static void add_upsample(struct builder *b, const kz_node *node, kz_place dst)
{
    for (int phase = 0; phase < node->factor * node->factor; phase++)
        add_copy(b, place_of(b, node->inputs[0]), 0, dst, 0, node->channels, node->factor, phase);
}

static void add_shuffle(struct builder *b, const kz_node *node, kz_place dst)
{
    int phases = node->factor * node->factor;
    for (int c = 0; c < node->channels; c++)
        for (int phase = 0; phase < phases; phase++)
            add_copy(b, place_of(b, node->inputs[0]), c * phases + phase, dst, c, 1, node->factor,
                     phase);
}

static int add_node(struct builder *b, int index)
{
    const kz_node *node = &b->graph->nodes[index];
    kz_place dst = place_of(b, index);
    switch (node->op) {
    case KZ_OP_INPUT:
        break;
    case KZ_OP_CONV:
    case KZ_OP_PHASE_CONV:
        add_conv_node(b, node, dst);
        break;
    case KZ_OP_ACTIVATION:
        add_copy(b, place_of(b, node->inputs[0]), 0, dst, 0, node->channels, 1, 0);
        add_activation(b, node, dst);
        break;
    case KZ_OP_ADD:
        for (int i = 0; i < node->n_inputs; i++)
            add_sum(b, dst, i ? 1 : 0, node->inputs[i], node->coefs[i]);
        break;
    case KZ_OP_CONCAT:
        add_concat(b, index, dst);
        break;
    case KZ_OP_UPSAMPLE:
        add_upsample(b, node, dst);
        break;
    case KZ_OP_PIXEL_SHUFFLE:
        add_shuffle(b, node, dst);
        break;
    }
    return b->failed ? kz_fail_memory(b->log, "the network's steps") : 0;
}

/* A sum needs both sides in one layout. */
static int check_sums(const struct builder *b)
{
    for (int i = 0; i < b->program->n_steps; i++) {
        const kz_step *s = &b->program->steps[i];
        if (s->kind == KZ_STEP_ADD && (s->src.layout.run != s->dst.layout.run ||
                                       s->src.layout.channels != s->dst.layout.channels))
            return kz_fail(b->log, KZ_ERROR_FAILED,
                           "the CPU back end can't add values of %d and %d channels",
                           s->src.layout.channels, s->dst.layout.channels);
    }
    return 0;
}

static int build(struct builder *b)
{
    int error = kz_schedule_open(&b->schedule, b->graph, b->nhwc ? 0 : b->block);
    if (error)
        return kz_fail_memory(b->log, "the network");
    pack_values(b);
    for (int i = 0; i < b->graph->n_nodes && !error; i++)
        error = add_node(b, i);
    if (!error)
        error = check_sums(b);
    b->program->input = place_of(b, 0);
    b->program->output = place_of(b, b->graph->output);
    b->program->temporary_bytes =
        (b->program->temporary_bytes + KZ_ALIGNMENT - 1) & -(size_t)KZ_ALIGNMENT;
    kz_schedule_close(&b->schedule);
    return error;
}

int kz_program_open(kz_program *program, const kz_graph *graph, const kz_net_params *params,
                    kz_log *log)
{
    *program = (kz_program){0};
    struct builder b = {.program = program,
                        .graph = graph,
                        .params = params,
                        .log = log,
                        .block = params->level >= KZ_CPU_AVX512 ? 16 : 8,
                        .nhwc =
                            params->level == KZ_CPU_AMX && params->precision == KZ_PRECISION_BF16};
    int error = build(&b);
    if (error)
        kz_program_close(program);
    return error;
}

void kz_program_close(kz_program *program)
{
    for (int i = 0; i < program->n_steps; i++) {
        kz_conv_close(&program->steps[i].conv);
        kz_free(program->steps[i].slopes);
    }
    kz_free(program->steps);
    *program = (kz_program){0};
}
