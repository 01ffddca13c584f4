#include "backend/cpu/net.h"

#include <string.h>

#include "backend/cpu/program.h"
#include "base/mem.h"

struct kz_net {
    kz_program program;
    const kz_pointwise *pointwise;
    size_t weight_bytes, scratch_bytes, worker_bytes;
    char *memory; /* per worker: the values, a temporary, oneDNN's scratch */
    int workers;
};

static void net_close(kz_net **net)
{
    kz_net *n = *net;
    if (!n)
        return;
    kz_program_close(&n->program);
    kz_free(n->memory);
    kz_free(n);
    *net = NULL;
}

static char *locate(const kz_net *n, int worker, const kz_place *place)
{
    char *base = n->memory + n->worker_bytes * (size_t)worker;
    return base + place->offset + (place->temporary ? n->program.arena_bytes : 0);
}

static int open_convs(kz_net *n, kz_log *log)
{
    for (int i = 0; i < n->program.n_steps; i++) {
        kz_step *step = &n->program.steps[i];
        if (step->kind != KZ_STEP_CONV)
            continue;
        int error = kz_conv_open(&step->conv, &step->params, log);
        if (error)
            return error;
        n->weight_bytes += kz_conv_weight_bytes(step->conv);
        if (kz_conv_scratch_bytes(step->conv) > n->scratch_bytes)
            n->scratch_bytes = kz_conv_scratch_bytes(step->conv);
    }
    return 0;
}

static int bind_convs(kz_net *n, int worker, kz_log *log)
{
    char *scratch = n->memory + n->worker_bytes * (size_t)worker + n->program.arena_bytes +
                    n->program.temporary_bytes;
    for (int i = 0; i < n->program.n_steps; i++) {
        kz_step *step = &n->program.steps[i];
        void *residuals[KZ_CONV_RESIDUALS];
        if (step->kind != KZ_STEP_CONV)
            continue;
        for (int r = 0; r < step->params.n_residuals; r++)
            residuals[r] = locate(n, worker, &step->residuals[r]);
        int error = kz_conv_bind(step->conv, worker, locate(n, worker, &step->src),
                                 locate(n, worker, &step->dst), residuals, scratch, log);
        if (error)
            return error;
    }
    return 0;
}

static int open_net(kz_net *n, const kz_graph *graph, const kz_net_params *params, kz_log *log)
{
    n->workers = params->workers;
    n->pointwise = kz_pointwise_for(params->level);
    int error = kz_program_open(&n->program, graph, params, log);
    if (!error)
        error = open_convs(n, log);
    if (error)
        return error;
    n->scratch_bytes = (n->scratch_bytes + KZ_ALIGNMENT) & -(size_t)KZ_ALIGNMENT;
    n->worker_bytes = n->program.arena_bytes + n->program.temporary_bytes + n->scratch_bytes;
    n->memory = kz_alloc_raw(n->worker_bytes, (size_t)n->workers);
    if (!n->memory)
        return kz_fail_memory(log, "the network's values");
    for (int w = 0; w < n->workers && !error; w++)
        error = bind_convs(n, w, log);
    return error;
}

static int net_open(kz_net **net, const kz_graph *graph, const kz_net_params *params, kz_log *log)
{
    kz_net *n = *net = kz_alloc(1, sizeof(*n));
    if (!n)
        return kz_fail_memory(log, "the network");
    /* oneDNN fixes the number of threads when it makes a primitive. */
    int threads = kz_cpu_set_library_threads(1);
    int error = open_net(n, graph, params, log);
    kz_cpu_set_library_threads(threads);
    if (error)
        net_close(net);
    return error;
}

static size_t net_memory(const kz_net *n)
{
    return n->worker_bytes * (size_t)n->workers + n->weight_bytes;
}

static size_t net_need(const kz_graph *graph, const kz_net_params *params)
{
    kz_program program;
    if (kz_program_open(&program, graph, params, NULL))
        return (size_t)-1;
    size_t bytes = (program.arena_bytes + program.temporary_bytes) * (size_t)params->workers;
    for (int i = 0; i < program.n_steps; i++) {
        const kz_conv_params *p = &program.steps[i].params;
        bytes += (size_t)p->in_channels * (size_t)p->out_channels *
                 (size_t)(p->kernel * p->kernel) * kz_layout_element(&p->src);
    }
    kz_program_close(&program);
    return bytes;
}

/* ---- steps ---- */

static kz_row row_of(char *base, const kz_layout *layout, int channel, int y)
{
    return (kz_row){base + kz_layout_offset(layout, channel, y), layout->bf16, layout->run};
}

/* The widest group of channels that lies together on both sides. */
static int common_group(const kz_step *s)
{
    int small = s->src.layout.run < s->dst.layout.run ? s->src.layout.run : s->dst.layout.run;
    int large = s->src.layout.run + s->dst.layout.run - small;
    bool whole = large % small == 0 && s->channels % small == 0 && s->src_channel % small == 0 &&
                 s->dst_channel % small == 0;
    return whole ? small : 1;
}

static void run_copy(const kz_net *n, const kz_step *s, char *src, char *dst)
{
    int group = common_group(s);
    size_t column = (size_t)(s->phase_x * s->dst.layout.run) * kz_layout_element(&s->dst.layout);
    for (int c = 0; c < s->channels; c += group)
        for (int y = 0; y < s->src.layout.height; y++) {
            kz_row from = row_of(src, &s->src.layout, s->src_channel + c, y);
            kz_row to = row_of(dst, &s->dst.layout, s->dst_channel + c, y * s->factor + s->phase_y);
            to.data = (char *)to.data + column;
            to.step *= s->factor;
            n->pointwise->copy(to, from, group, s->src.layout.width);
        }
}

static void run_prelu(const kz_net *n, const kz_step *s, char *data)
{
    const kz_layout *layout = &s->dst.layout;
    for (int c = 0; c < layout->channels; c += layout->run)
        for (int y = 0; y < layout->height; y++)
            n->pointwise->prelu(row_of(data, layout, c, y), s->slopes + c, layout->run,
                                layout->width);
}

static void run_add(const kz_net *n, const kz_step *s, char *src, char *dst)
{
    const kz_layout *layout = &s->dst.layout;
    for (int c = 0; c < layout->channels; c += layout->run)
        for (int y = 0; y < layout->height; y++)
            n->pointwise->add(row_of(dst, layout, c, y), s->keep, row_of(src, &s->src.layout, c, y),
                              s->coef, layout->width * layout->run);
}

static int run_step(const kz_net *n, int worker, const kz_step *s)
{
    char *src = locate(n, worker, &s->src), *dst = locate(n, worker, &s->dst);
    switch (s->kind) {
    case KZ_STEP_CONV:
        return kz_conv_run(s->conv, worker);
    case KZ_STEP_COPY:
        run_copy(n, s, src, dst);
        return 0;
    case KZ_STEP_PRELU:
        run_prelu(n, s, dst);
        return 0;
    case KZ_STEP_ADD:
        run_add(n, s, src, dst);
        return 0;
    }
    return 0;
}

static int net_run(kz_net *n, int worker, const void *in, void *out, const atomic_bool *cancel)
{
    const kz_program *p = &n->program;
    memcpy(locate(n, worker, &p->input), in, kz_layout_bytes(&p->input.layout));
    for (int i = 0; i < p->n_steps; i++) {
        if (cancel && atomic_load(cancel))
            return KZ_ERROR_CANCELLED;
        int error = run_step(n, worker, &p->steps[i]);
        if (error)
            return error;
    }
    memcpy(out, locate(n, worker, &p->output), kz_layout_bytes(&p->output.layout));
    return 0;
}

static kz_net_shape shape_of(const kz_place *place)
{
    return (kz_net_shape){place->layout.channels / place->layout.run,
                          kz_layout_row(&place->layout)};
}

static kz_net_shape net_in_shape(const kz_net *n)
{
    return shape_of(&n->program.input);
}

static kz_net_shape net_out_shape(const kz_net *n)
{
    return shape_of(&n->program.output);
}

static int net_precision(enum kz_precision asked, enum kz_cpu_level level, kz_log *log)
{
    bool able = level >= KZ_CPU_AVX512_BF16;
    if (asked == KZ_PRECISION_FP16 || asked == KZ_PRECISION_TF32)
        return kz_fail(log, KZ_ERROR_USAGE, "the CPU computes in fp32 or bf16, not in %s",
                       kz_precision_name(asked));
    if (asked == KZ_PRECISION_BF16 && !able)
        return kz_fail(log, KZ_ERROR_USAGE,
                       "this CPU has no bf16 instructions (it runs at level %s): use fp32",
                       kz_cpu_level_name(level));
    if (asked == KZ_PRECISION_AUTO)
        return able ? KZ_PRECISION_BF16 : KZ_PRECISION_FP32;
    return (int)asked;
}

const kz_net_ops kz_cpu_net_ops = {
    .precision = net_precision,
    .open = net_open,
    .close = net_close,
    .memory = net_memory,
    .need = net_need,
    .in_shape = net_in_shape,
    .out_shape = net_out_shape,
    .run = net_run,
};
