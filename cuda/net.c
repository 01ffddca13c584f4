#include "cuda/net.h"

#include <string.h>

#include "base/mem.h"
#include "cuda/replay.h"

struct kz_net {
    kz_gpu *gpu;
    kz_program program;
    char *constants;        /* of the device */
    char *arenas[KZ_SIDES]; /* the second one may be missing */
    kz_lineup *lineup;
    int width, height; /* of the largest tile */
    kz_replay replay;  /* of runs over tiles of that size */
    int left;          /* of the engines, when these ran */
};

static int upload_constants(kz_net *n, const kz_graph *graph, kz_log *log)
{
    const size_t bytes = n->program.constant_bytes;
    void *packed = kz_alloc_raw(bytes, 1);
    if (!packed)
        return kz_fail_memory(log, "the network's weights");
    kz_program_pack(&n->program, graph, packed);
    kz_gpu_copy_in(n->gpu, n->constants, bytes, packed, (ptrdiff_t)bytes, bytes, 1);
    const int error = kz_gpu_wait(n->gpu);
    kz_free(packed);
    return error ? kz_fail(log, error, "cuda: weights can't be copied: %s", kz_gpu_error(n->gpu))
                 : 0;
}

int kz_net_open(kz_net **net, kz_gpu *gpu, const kz_graph *graph, const kz_program_params *params,
                kz_log *log)
{
    kz_net *n = *net = kz_alloc(1, sizeof(*n));
    if (!n)
        return kz_fail_memory(log, "the network");
    n->gpu = n->replay.gpu = gpu;
    n->width = params->width;
    n->height = params->height;
    int error = kz_program_open(&n->program, graph, params, log);
    if (error) {
        kz_net_close(net);
        return error;
    }
    n->constants = kz_gpu_alloc(gpu, n->program.constant_bytes);
    n->arenas[0] = kz_gpu_alloc(gpu, n->program.arena_bytes);
    error = n->constants && n->arenas[0] ? upload_constants(n, graph, log) : KZ_ERROR_ROOM;
    if (error)
        kz_net_close(net);
    return error;
}

void kz_net_close(kz_net **net)
{
    kz_net *n = *net;
    if (!n)
        return;
    kz_replay_clear(&n->replay);
    kz_lineup_close(&n->lineup);
    kz_gpu_free(n->gpu, n->constants);
    for (int i = 0; i < KZ_SIDES; i++)
        kz_gpu_free(n->gpu, n->arenas[i]);
    kz_program_close(&n->program);
    kz_free(n);
    *net = NULL;
}

int kz_net_compete(kz_net *n, kz_rivals *rivals, const kz_graph *graph, const kz_view *input,
                   kz_log *log)
{
    const kz_lineup_params params = {.gpu = n->gpu,
                                     .program = &n->program,
                                     .arena = n->arenas[0],
                                     .constants = n->constants,
                                     .graph = graph,
                                     .input = *input};
    n->replay.log = log;
    return kz_lineup_open(&n->lineup, rivals, &params, log);
}

const kz_lineup *kz_net_lineup(const kz_net *net)
{
    return net->lineup;
}

static size_t memory_of(const kz_program *p)
{
    return p->arena_bytes + p->constant_bytes;
}

size_t kz_net_memory(const kz_net *net)
{
    return memory_of(&net->program) + (net->arenas[1] ? net->program.arena_bytes : 0) +
           kz_lineup_memory(net->lineup);
}

int kz_net_open_side(kz_net *n)
{
    n->arenas[1] = kz_gpu_alloc(n->gpu, n->program.arena_bytes);
    return n->arenas[1] ? 0 : KZ_ERROR_ROOM;
}

void kz_net_close_side(kz_net *n)
{
    kz_gpu_free(n->gpu, n->arenas[1]);
    n->arenas[1] = NULL;
}

size_t kz_net_side_need(const kz_net *net)
{
    return net->program.arena_bytes;
}

size_t kz_net_need(const kz_graph *graph, const kz_program_params *params)
{
    kz_program program;
    if (kz_program_open(&program, graph, params, NULL))
        return (size_t)-1;
    const size_t bytes = memory_of(&program) + kz_lineup_need(&program);
    kz_program_close(&program);
    return bytes;
}

/* ---- run ---- */

struct tile_run {
    kz_net *net;
    char *arena; /* of the side */
    const kz_view *input;
    const kz_batch *batch;
};

static struct tile_run run_of(kz_net *n, const kz_view *input, const kz_batch *batch)
{
    return (struct tile_run){n, n->arenas[kz_gpu_side(n->gpu)], input, batch};
}

static kz_view view_of(const struct tile_run *t, const kz_place *place)
{
    return kz_place_view(place, t->arena, t->input, t->input->width, t->input->height);
}

static bool is_whole(const struct tile_run *t)
{
    return t->input->width == t->net->width && t->input->height == t->net->height;
}

static int index_of(const struct tile_run *t, const kz_step *s)
{
    return (int)(s - t->net->program.steps);
}

static kz_conv_task task_of(const struct tile_run *t, const kz_step *s)
{
    kz_conv_task task = kz_step_task(s, t->arena, t->net->constants, t->input);
    task.batch = t->batch;
    return task;
}

static void run_own(const struct tile_run *t, const kz_step *s)
{
    const kz_conv_task task = task_of(t, s);
    if (!kz_lineup_run(t->net->lineup, index_of(t, s), &task, is_whole(t)))
        s->run(t->net->gpu, &task);
}

/* With the step before, by one engine. */
static void run_joined(const struct tile_run *t, const kz_step *s)
{
    const kz_conv_task first = task_of(t, s - 1);
    kz_conv_task task = task_of(t, s);
    task.first = &first;
    if (kz_lineup_run(t->net->lineup, index_of(t, s), &task, is_whole(t)))
        return;
    run_own(t, s - 1);
    run_own(t, s);
}

static bool is_joined(const struct tile_run *t, const kz_step *s)
{
    return kz_lineup_joins(t->net->lineup, index_of(t, s));
}

/* The step behind it computes it. */
static bool is_computed_later(const struct tile_run *t, const kz_step *s)
{
    return index_of(t, s) + 1 < t->net->program.n_steps && is_joined(t, s + 1);
}

static void run_conv(const struct tile_run *t, const kz_step *s)
{
    if (is_computed_later(t, s))
        return;
    if (is_joined(t, s))
        run_joined(t, s);
    else
        run_own(t, s);
}

static void run_sum(const struct tile_run *t, const kz_step *s)
{
    kz_sum_task task = {.out = view_of(t, &s->out),
                        .n_terms = s->n_others,
                        .slopes = kz_floats_at(t->net->constants, s->slopes),
                        .batch = t->batch};
    for (int i = 0; i < s->n_others; i++) {
        task.terms[i] = s->terms[i];
        task.terms[i].view = view_of(t, &s->others[i]);
    }
    kz_cuda_sum(t->net->gpu, &task);
}

static void run_small(const struct tile_run *t, const kz_step *s)
{
    kz_small_task task = kz_step_small(s, t->arena, t->net->constants, t->input);
    task.batch = t->batch;
    kz_cuda_small(t->net->gpu, &task);
}

static void run_step(const struct tile_run *t, const kz_step *s)
{
    switch (s->kind) {
    case KZ_STEP_CONV:
        return run_conv(t, s);
    case KZ_STEP_SMALL:
        return run_small(t, s);
    default:
        return run_sum(t, s);
    }
}

kz_view kz_net_output(kz_net *n, const kz_view *input)
{
    const struct tile_run t = run_of(n, input, NULL);
    return view_of(&t, &n->program.output);
}

static void run_steps(const void *context)
{
    const struct tile_run *t = context;
    for (int i = 0; i < t->net->program.n_steps; i++)
        run_step(t, &t->net->program.steps[i]);
}

/* Such a tile is alone, and all its values lie where they did the last time: where its input does,
 * too, its launches are the same ones, if the same engines compute. */
static void run_whole(const struct tile_run *t)
{
    kz_net *n = t->net;
    const struct tile_run alone = run_of(n, t->input, NULL);
    const int left = kz_lineup_left(n->lineup);
    if (left != n->left)
        kz_replay_clear(&n->replay);
    n->left = left;
    kz_replay_run(&n->replay, t->input, run_steps, &alone);
}

kz_view kz_net_run(kz_net *n, const kz_view *input, const kz_batch *batch)
{
    const struct tile_run t = run_of(n, input, batch);
    if (n->program.n_steps > 1 && is_whole(&t))
        run_whole(&t);
    else
        run_steps(&t);
    return view_of(&t, &n->program.output);
}

void kz_net_let_replay(kz_net *n, bool replay)
{
    n->replay.plain = !replay;
}

static const char *kernel_of(const struct tile_run *t, const kz_step *s)
{
    const char *other = kz_lineup_kernel(t->net->lineup, index_of(t, s), is_whole(t));
    return other ? other : s->kernel;
}

static double macs_of(const struct tile_run *t, const kz_step *s)
{
    return s->macs + (is_joined(t, s) ? s[-1].macs : 0);
}

int kz_net_layers(kz_net *n, const kz_view *input, kz_layer *layers, int most)
{
    const struct tile_run t = run_of(n, input, NULL);
    const double pixels = (double)input->width * input->height;
    int count = 0;
    for (int i = 0; i < n->program.n_steps && count < most; i++) {
        const kz_step *s = &n->program.steps[i];
        if (is_computed_later(&t, s))
            continue;
        kz_gpu_mark(n->gpu, 0);
        run_step(&t, s);
        kz_gpu_mark(n->gpu, 1);
        if (kz_gpu_wait(n->gpu))
            return 0;
        layers[count] = (kz_layer){.kernel = kernel_of(&t, s),
                                   .macs = macs_of(&t, s) * pixels,
                                   .executed = macs_of(&t, s) * pixels,
                                   .seconds = kz_gpu_between(n->gpu)};
        memcpy(layers[count++].name, s->layer, sizeof(layers[0].name));
    }
    return count;
}
