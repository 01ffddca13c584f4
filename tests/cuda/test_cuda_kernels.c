/* The CUDA back end's kernels, as they are, on the host (cuda/twin): each against its definition,
 * at odd sizes, with sentinels behind what is written. $KIZUNA_SEED repeats a run. */
#include <math.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/half.h"
#include "cuda/tasks.h"
#include "cuda/twin.h"
#include "pixel/resample.h"
#include "random_graph.h"

/* ---- values ---- */

static float get(const kz_view *v, int x, int y, int c)
{
    const size_t at = ((size_t)y * (size_t)v->width + (size_t)x) * (size_t)v->pixel + (size_t)c;
    return kz_get_element(v->data, v->element, at);
}

/* ---- convolutions ---- */

/* As the products of a task have it. */
static double factor_of(const kz_conv_task *t, float value)
{
    return (double)(t->tf32 ? kz_float_of_bits(kz_to_tf32(kz_float_bits(value))) : value);
}

static double weight_at(const struct problem *p, int phase, int out, int in, int tap)
{
    const int taps = p->task.kernel * p->task.kernel;
    const float w =
        p->weights[((size_t)(phase * p->task.out.channels + out) * (size_t)p->task.in.channels +
                    (size_t)in) *
                       (size_t)taps +
                   (size_t)tap];
    return factor_of(&p->task, w);
}

/* What the task's definition says, in double. */
static double expected(const struct problem *p, int x, int y, int channel)
{
    const kz_conv_task *t = &p->task;
    const int steps = t->phases ? 2 : 1, a = y % steps, b = x % steps;
    double sum = (double)p->bias[channel];
    for (int tap = 0; tap < t->kernel * t->kernel; tap++) {
        const int from_x = x / steps - 1 + b + tap % t->kernel;
        const int from_y = y / steps - 1 + a + tap / t->kernel;
        if (from_x < 0 || from_x >= t->in.width || from_y < 0 || from_y >= t->in.height)
            continue;
        for (int c = 0; c < t->in.channels; c++)
            sum += weight_at(p, 2 * a + b, channel, c, tap) *
                   factor_of(t, get(&t->in, from_x, from_y, c));
    }
    if (t->slopes && sum < 0)
        sum *= (double)t->slopes[channel];
    for (int r = 0; r < t->n_residuals; r++)
        sum += (double)t->coefs[r] * (double)get(&t->residuals[r], x, y, channel);
    return sum;
}

/* Of the weights' and the output's rounding. */
static double bound_of(const kz_view *v)
{
    return v->element == KZ_ELEMENT_FP32 ? 2e-5 : v->element == KZ_ELEMENT_FP16 ? 4e-3 : 4e-2;
}

static void check_problem(const struct problem *p)
{
    const kz_view *out = &p->task.out;
    const double bound = fmax(bound_of(out), bound_of(&p->task.in));
    const kz_view all = {
        whole(out, p->out_first), out->element, out->pixel, out->pixel, out->width, out->height, 1};
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++)
            for (int c = 0; c < out->pixel; c++) {
                const int channel = c - p->out_first;
                if (channel < 0 || channel >= out->channels)
                    CHECK(get(&all, x, y, c) == get(&p->before, x, y, c));
                else
                    CHECK_NEAR((double)get(out, x, y, channel), expected(p, x, y, channel), bound);
            }
}

static void run_problem(struct problem *p, convolution run, bool tensor)
{
    kz_gpu *gpu = open_gpu();
    const kz_conv_task t = send_problem(gpu, p, tensor);
    run(gpu, &t);
    fetch_view(gpu, &t.out, &p->task.out, p->out_first);
    check_problem(p);
    drop_problem(gpu, p, &t);
    kz_gpu_close(&gpu);
    close_problem(p);
}

static void tensor_convolutions_agree(void)
{
    static const int outputs[] = {8, 16, 24, 32, 40, 64, 72, 128};
    for (int i = 0; i < 16; i++) {
        struct problem p;
        const enum kz_element in = random_wide();
        open_problem(&p, in, random_int(0, 3) ? in : KZ_ELEMENT_FP32, 16 * random_int(1, 6),
                     outputs[i % 8], i % 3 == 0, i < 4 ? i + 1 : random_int(5, 45),
                     i < 4 ? 4 - i : random_int(5, 20));
        CHECK(kz_cuda_conv_tensor_fits(&p.task));
        run_problem(&p, kz_cuda_conv_tensor, true);
    }
}

static void tf32_convolutions_agree(void)
{
    static const int outputs[] = {8, 16, 24, 32, 40, 64, 72, 5};
    for (int i = 0; i < 16; i++) {
        struct problem p;
        open_problem(&p, KZ_ELEMENT_FP32, KZ_ELEMENT_FP32, 8 * random_int(1, 8), outputs[i % 8],
                     i % 3 == 0, i < 4 ? i + 1 : random_int(5, 45),
                     i < 4 ? 4 - i : random_int(5, 20));
        p.task.tf32 = true;
        CHECK(kz_cuda_conv_tensor_fits(&p.task) && !kz_cuda_conv_wgmma_fits(&p.task));
        run_problem(&p, kz_cuda_conv_tensor, true);
    }
}

static void odd_outputs_in_fp32_agree(void)
{
    for (int i = 0; i < 4; i++) {
        struct problem p;
        open_problem(&p, random_wide(), KZ_ELEMENT_FP32, 32, random_int(1, 70), false, 33, 17);
        CHECK(kz_cuda_conv_tensor_fits(&p.task));
        run_problem(&p, kz_cuda_conv_tensor, true);
    }
}

/* Elsewhere these kernels have no code; the twin computes them whatever it is. */
static bool has_wgmma(void)
{
    kz_gpu *gpu = open_gpu();
    const bool there = is_twin(gpu) || kz_cuda_conv_wgmma_there(kz_gpu_get_info(gpu));
    kz_gpu_close(&gpu);
    if (!there)
        printf("# only compute capability 9.0 has wgmma: left out\n");
    return there;
}

/* As many channels as fill all stages of shared memory and more, and fewer than any. */
static void wgmma_convolutions_agree(void)
{
    if (!has_wgmma())
        return;
    static const int outputs[] = {32, 64, 24, 40, 72, 64};
    for (int i = 0; i < 24; i++) {
        struct problem p;
        const enum kz_element in = random_wide();
        const bool phases = i % 6 == 5;
        open_problem(&p, in, random_int(0, 3) ? in : KZ_ELEMENT_FP32,
                     16 * (i < 12 ? i / 2 + 1 : random_int(1, 8)), outputs[i % 6], phases,
                     i < 4 ? i + 1 : random_int(5, 140), i < 4 ? 4 - i : random_int(5, 20));
        p.task.group =
            kz_cuda_conv_tensor_group(outputs[i % 6], (phases ? 99 : random_int(64, 99)) << 10);
        CHECK(kz_cuda_conv_wgmma_fits(&p.task));
        run_problem(&p, i % 4 < 2 ? kz_cuda_conv_wgmma : kz_cuda_conv_wgmma_pairs, true);
    }
}

/* Both rings, as many inputs as there is room for; shares within a strip, across two or more, and
 * none. */
static void marches_agree(void)
{
    if (!has_wgmma())
        return;
    static const struct {
        int inputs, outputs;
    } all[] = {{16, 32}, {160, 32}, {64, 64}, {48, 24}, {112, 64}, {96, 32}, {128, 24}, {32, 40}};
    for (int i = 0; i < 24; i++) {
        struct problem p;
        const enum kz_element in = random_wide();
        open_problem(&p, in, random_int(0, 3) ? in : KZ_ELEMENT_FP32, all[i % 8].inputs,
                     all[i % 8].outputs, false, i < 8 ? i + 1 : random_int(60, 140),
                     i < 8 ? 8 - i : random_int(1, 25));
        p.task.group = kz_cuda_conv_tensor_group(all[i % 8].outputs, 99 << 10);
        CHECK(kz_cuda_conv_march_fits(&p.task));
        run_problem(&p, kz_cuda_conv_march, true);
    }
}

static void what_marches_has_room(void)
{
    static const struct {
        int inputs, outputs, group;
        bool phases, fits;
    } all[] = {{160, 32, 32, false, true},  {176, 32, 32, false, false}, {112, 64, 64, false, true},
               {128, 64, 64, false, false}, {192, 64, 64, false, false}, {64, 40, 32, false, false},
               {64, 16, 16, false, false},  {64, 64, 64, true, false}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct problem p;
        open_problem(&p, KZ_ELEMENT_FP16, KZ_ELEMENT_FP16, all[i].inputs, all[i].outputs,
                     all[i].phases, 4, 4);
        p.task.group = all[i].group;
        CHECK(kz_cuda_conv_march_fits(&p.task) == all[i].fits);
        close_problem(&p);
    }
}

static void plain_convolutions_agree(void)
{
    for (int i = 0; i < 16; i++) {
        struct problem p;
        const enum kz_element all[] = {KZ_ELEMENT_FP32, KZ_ELEMENT_FP16, KZ_ELEMENT_BF16};
        open_problem(&p, all[random_int(0, 2)], all[random_int(0, 2)], random_int(1, 30),
                     random_int(1, 30), i % 3 == 0, random_int(1, 40), random_int(1, 20));
        run_problem(&p, kz_cuda_conv_plain, false);
    }
}

static void last_convolutions_agree(void)
{
    for (int i = 0; i < 9; i++) {
        struct problem p;
        const bool wide = i % 3 > 0;
        open_problem(&p, wide ? random_wide() : KZ_ELEMENT_FP32, KZ_ELEMENT_FP32,
                     (wide ? 8 : 4) * random_int(1, 8), 1, false, random_int(1, 70),
                     random_int(1, 20));
        CHECK(kz_cuda_conv_last_fits(&p.task));
        run_problem(&p, kz_cuda_conv_last, false);
    }
}

/* Also where the layer before has left nothing, and nothing is left there. */
static void compare_tail(kz_gpu *gpu, struct tail *t)
{
    const kz_view *out = &t->last.task.out;
    char *const all = whole(out, t->last.out_first);
    char *const there = whole(&t->last_there.out, t->last.out_first);
    const size_t bytes = bytes_of(out), between = bytes_of(&t->first.task.out);
    char *together = kz_alloc(bytes, 1), *zeros = kz_alloc(between, 1);
    CHECK(together && zeros);
    kz_gpu_clear(gpu, whole(&t->first_there.out, t->first.out_first), between);
    CHECK(kz_cuda_conv_tail_fits(&t->last_there, 99 << 10));
    kz_cuda_conv_tail(gpu, &t->last_there);
    kz_gpu_copy_out(gpu, together, (ptrdiff_t)bytes, there, bytes, bytes, 1);
    fetch_view(gpu, &t->first_there.out, &t->first.task.out, t->first.out_first);
    CHECK(memcmp(whole(&t->first.task.out, t->first.out_first), zeros, between) == 0);
    CHECK(memcmp(together, all, bytes) == 0);
    fetch_bytes(gpu, there, together, bytes);
    kz_free(together);
    kz_free(zeros);
}

/* The two layers one by one agree with the definition. */
static void check_tail(int inputs, int channels, int width, int height)
{
    kz_gpu *gpu = open_gpu();
    struct tail t;
    open_tail(gpu, &t, inputs, channels, width, height);
    char *const all = whole(&t.last.task.out, t.last.out_first);
    const size_t bytes = bytes_of(&t.last.task.out);
    kz_cuda_conv_tensor(gpu, &t.first_there);
    kz_cuda_conv_last(gpu, &t.last_there);
    kz_gpu_copy_out(gpu, all, (ptrdiff_t)bytes, whole(&t.last_there.out, t.last.out_first), bytes,
                    bytes, 1);
    kz_gpu_copy_in(gpu, whole(&t.last_there.out, t.last.out_first), bytes, t.last.before.data,
                   (ptrdiff_t)bytes, bytes, 1);
    CHECK(kz_gpu_wait(gpu) == 0);
    compare_tail(gpu, &t);
    close_tail(gpu, &t);
    kz_gpu_close(&gpu);
}

/* The twin has four multiprocessors: a high picture has several segments. */
static void tails_have_the_bits_of_two_layers(void)
{
    for (int i = 0; i < 12; i++)
        check_tail(16 * random_int(1, 4), 8 * (i % 8 + 1), i < 4 ? i + 1 : random_int(1, 70),
                   i < 4 ? 4 - i : random_int(1, 40));
    check_tail(16, 32, 31, 200);
    check_tail(32, 64, 30, 14);
    check_tail(16, 40, 61, 47);
}

static void what_doesnt_fit_a_tail_is_refused(void)
{
    kz_gpu *gpu = open_gpu();
    struct tail t;
    open_tail(gpu, &t, 16, 64, 5, 5);
    kz_conv_task first = t.first_there, last = t.last_there;
    last.first = NULL;
    CHECK(!kz_cuda_conv_tail_fits(&last, 99 << 10));
    last.first = &first;
    CHECK(kz_cuda_conv_tail_fits(&last, 99 << 10) && !kz_cuda_conv_tail_fits(&last, 80 << 10));
    first.group = 32;
    CHECK(!kz_cuda_conv_tail_fits(&last, 99 << 10));
    first = t.first_there;
    first.n_residuals = 1;
    first.residuals[0] = first.out;
    CHECK(!kz_cuda_conv_tail_fits(&last, 99 << 10));
    first = t.first_there;
    first.out.element = KZ_ELEMENT_FP32;
    CHECK(!kz_cuda_conv_tail_fits(&last, 99 << 10));
    first = t.first_there;
    last.in.data = (char *)last.in.data + 16;
    CHECK(!kz_cuda_conv_tail_fits(&last, 99 << 10));
    kz_gpu_free(gpu, whole(&t.first_there.out, t.first.out_first));
    kz_gpu_free(gpu, whole(&t.last_there.out, t.last.out_first));
    close_tail(gpu, &t);
    kz_gpu_close(&gpu);
}

static void what_doesnt_fit_is_refused(void)
{
    struct problem p;
    open_problem(&p, KZ_ELEMENT_FP16, KZ_ELEMENT_FP16, 16, 16, false, 4, 4);
    kz_conv_task t = p.task;
    CHECK(kz_cuda_conv_tensor_fits(&t));
    t.in.channels = 8;
    CHECK(!kz_cuda_conv_tensor_fits(&t));
    t = p.task;
    t.in.data = (char *)t.in.data + 2;
    CHECK(!kz_cuda_conv_tensor_fits(&t));
    t = p.task;
    t.out.pixel++;
    CHECK(!kz_cuda_conv_tensor_fits(&t));
    t = p.task;
    t.pad_left = 0;
    CHECK(!kz_cuda_conv_tensor_fits(&t));
    t = p.task;
    t.kernel = 5;
    CHECK(!kz_cuda_conv_tensor_fits(&t) && !kz_cuda_conv_last_fits(&t));
    t = p.task;
    t.in.element = t.out.element = KZ_ELEMENT_FP32;
    t.n_residuals = 0;
    CHECK(!kz_cuda_conv_tensor_fits(&t) && !kz_cuda_conv_last_fits(&t));
    t.tf32 = true;
    CHECK(kz_cuda_conv_tensor_fits(&t));
    t.in.channels = 12;
    CHECK(!kz_cuda_conv_tensor_fits(&t));
    t.in.channels = 16;
    t.out.element = KZ_ELEMENT_FP16;
    CHECK(!kz_cuda_conv_tensor_fits(&t));
    close_problem(&p);
}

/* ---- sums ---- */

static void sums_agree(void)
{
    kz_gpu *gpu = open_gpu();
    const int channels = 3, factor = 2, width = 14, height = 10;
    const kz_term terms[] = {
        {random_view(KZ_ELEMENT_FP32, 3, 3, 0, width, height), 0.5f, 1, false},
        {random_view(KZ_ELEMENT_FP16, 3, 8, 0, width / factor, height / factor), -2, factor, false},
        {random_view(KZ_ELEMENT_BF16, 12, 16, 0, width / factor, height / factor), 1, factor, true},
    };
    float slopes[] = {0.5f, -1, 0};
    const kz_view out = random_view(KZ_ELEMENT_FP32, 3, 4, 0, width, height);
    float *there = send_bytes(gpu, slopes, sizeof(slopes));
    kz_sum_task task = {.out = send_view(gpu, &out, 0), .n_terms = 3, .slopes = there};
    memcpy(task.terms, terms, sizeof(terms));
    for (int i = 0; i < 3; i++)
        task.terms[i].view = send_view(gpu, &terms[i].view, 0);
    kz_cuda_sum(gpu, &task);
    fetch_view(gpu, &task.out, &out, 0);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) {
                const int shuffled = (c * factor + y % factor) * factor + x % factor;
                const float sum = 0.5f * get(&terms[0].view, x, y, c) -
                                  2 * get(&terms[1].view, x / factor, y / factor, c) +
                                  get(&terms[2].view, x / factor, y / factor, shuffled);
                CHECK_NEAR((double)get(&out, x, y, c), (double)(sum < 0 ? slopes[c] * sum : sum),
                           1e-5);
            }
    for (int i = 0; i < 3; i++) {
        kz_gpu_free(gpu, task.terms[i].view.data);
        free_view(&terms[i].view, 0);
    }
    kz_gpu_free(gpu, there);
    free_view(&out, 0);
    kz_gpu_close(&gpu);
}

/* ---- small networks ---- */

static float rounded(enum kz_element element, float value)
{
    char bytes[4];
    kz_put_element(bytes, element, 0, value);
    return kz_get_element(bytes, element, 0);
}

/* [channel][height][width]; of weights as the kernel has them. */
static float *apply_layer(const struct network *n, int l, const float *in, const float *skipped)
{
    const kz_small_task *t = &n->task;
    const kz_small_layer *layer = &n->layers[l];
    const int width = t->in.width, height = t->in.height;
    const int inputs = l ? t->channels : 1, outputs = layer->slopes ? t->channels : 4;
    float *out = kz_alloc((size_t)(outputs * width * height), sizeof(*out));
    CHECK(out);
    for (int i = 0; i < outputs * width * height; i++) {
        const int x = i % width, y = i / width % height, o = i / (width * height);
        double sum = layer->bias ? (double)layer->bias[o] : 0;
        for (int c = 0; c < inputs * 9; c++) {
            const int from_x = x + c % 3 - 1, from_y = y + c / 3 % 3 - 1;
            const float w = layer->weights[o * inputs * 9 + c];
            if (from_x >= 0 && from_x < width && from_y >= 0 && from_y < height)
                sum += (double)(l ? rounded(t->element, w) : w) *
                       (double)in[(c / 9 * height + from_y) * width + from_x];
        }
        if (layer->slopes && sum < 0)
            sum *= (double)layer->slopes[o];
        out[i] = (float)(skipped ? sum + (double)skipped[i] : sum);
        if (layer->slopes)
            out[i] = rounded(t->element, out[i]);
    }
    return out;
}

/* The four channels of the last layer, before they are shuffled. */
static float *apply_network(const struct network *n)
{
    float *first = apply_layer(n, 0, n->task.in.data, NULL), *value = first;
    for (int l = 1; l < n->task.hidden + 2; l++) {
        const bool skips = n->task.skip && l == n->task.hidden;
        float *next = apply_layer(n, l, value, skips ? first : NULL);
        if (value != first)
            kz_free(value);
        value = next;
    }
    kz_free(first);
    return value;
}

static void check_network(const struct network *n)
{
    const kz_view *in = &n->task.in, *out = &n->task.out;
    float *expect = apply_network(n);
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++) {
            const int channel = y % 2 * 2 + x % 2;
            const float detail = expect[(channel * in->height + y / 2) * in->width + x / 2];
            CHECK_NEAR((double)get(out, x, y, 0), (double)detail + (double)get(in, x / 2, y / 2, 0),
                       n->task.element == KZ_ELEMENT_FP16 ? 4e-3 : 4e-2);
        }
    kz_free(expect);
}

static void run_network(struct network *n, int columns)
{
    kz_gpu *gpu = open_gpu();
    const size_t bytes = kz_cuda_small_bytes(&n->task);
    void *packed = kz_alloc(bytes, 1);
    CHECK(packed);
    n->task.columns = columns;
    kz_cuda_small_pack(&n->task, n->layers, packed);
    kz_small_task t = n->task;
    t.in = send_view(gpu, &n->task.in, 0);
    t.out = send_view(gpu, &n->task.out, 0);
    t.constants = send_bytes(gpu, packed, bytes);
    kz_cuda_small(gpu, &t);
    fetch_view(gpu, &t.out, &n->task.out, 0);
    check_network(n);
    kz_gpu_free(gpu, t.in.data);
    kz_gpu_free(gpu, (void *)t.constants);
    kz_free(packed);
    kz_gpu_close(&gpu);
    close_network(n);
}

/* Strips of a few columns of their own, so that there are several, and segments. */
static void small_networks_agree(void)
{
    for (int i = 0; i < 16; i++) {
        struct network n;
        const int hidden = i % (MOST_HIDDEN + 1), columns = (2 * hidden + 2 + 15) / 16 * 16 + 16;
        open_network(&n, 8 * random_int(1, 4), hidden, hidden && random_int(0, 3),
                     random_int(1, 60), random_int(1, i % 4 ? 30 : 70));
        run_network(&n, columns);
    }
}

static void small_networks_of_every_width_agree(void)
{
    for (int channels = 8; channels <= 32; channels += 8)
        for (int size = 1; size <= 2; size++) {
            struct network n;
            open_network(&n, channels, random_int(0, 4), false, size, 3 - size);
            run_network(&n, 64);
            open_network(&n, channels, 1, true, 130 + size, 2);
            run_network(&n, 64);
        }
}

/* The twin has four multiprocessors: it makes several segments of a high picture. */
static void small_networks_in_segments_agree(void)
{
    for (int i = 0; i < 4; i++) {
        struct network n;
        open_network(&n, 8 + 8 * i, i + 1, true, 9, 75 + i);
        run_network(&n, 64);
    }
}

/* What the devices have, and what strips they give. */
static void strips_fit_the_device(void)
{
    static const struct {
        int channels, hidden, kilobytes, columns;
    } all[] = {{16, 5, 64, 80}, {16, 5, 99, 128},  {16, 5, 163, 96},  {16, 5, 227, 128},
               {32, 5, 64, 0},  {32, 5, 99, 64},   {32, 5, 163, 112}, {32, 5, 227, 128},
               {24, 5, 99, 80}, {24, 5, 227, 128}, {8, 7, 64, 128},   {16, 20, 99, 0},
               {8, 18, 64, 0},  {12, 5, 227, 0},   {40, 5, 227, 0},   {0, 5, 227, 0},
               {16, 5, 0, 0}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        kz_small_task t = {.element = KZ_ELEMENT_FP16,
                           .channels = all[i].channels,
                           .hidden = all[i].hidden,
                           .skip = true};
        CHECK(kz_cuda_small_columns(&t, all[i].kilobytes << 10) == all[i].columns);
        t.element = KZ_ELEMENT_FP32;
        CHECK(kz_cuda_small_columns(&t, all[i].kilobytes << 10) == 0);
    }
}

/* ---- planes ---- */

static kz_plane plane_of(const kz_surface *s)
{
    return (kz_plane){.data = s->data,
                      .stride = (ptrdiff_t)s->pitch,
                      .width = s->width,
                      .height = s->height,
                      .bytes = s->bytes,
                      .depth = s->depth};
}

static void loading_is_that_of_the_host(void)
{
    static const int bytes[] = {1, 2, 2, 4}, depths[] = {8, 10, 16, 8};
    kz_gpu *gpu = open_gpu();
    for (int i = 0; i < 4; i++) {
        kz_surface s = random_surface(71, 30, bytes[i], depths[i], 1);
        kz_plane plane = plane_of(&s);
        kz_view tile = random_view(KZ_ELEMENT_FP32, 1, 1, 0, 50, 19);
        float row[50];
        const kz_levels levels = kz_luma_levels(depths[i], i == 1);
        const kz_surface from = send_surface(gpu, &s);
        const kz_view to = send_view(gpu, &tile, 0);
        const kz_rect part = {11, 7, 11 + 50, 7 + 19};
        kz_cuda_load(gpu, &(kz_patch){kz_surface_part(&from, part), to, 0, 0}, 1, levels);
        fetch_view(gpu, &to, &tile, 0);
        kz_gpu_free(gpu, from.data);
        for (int y = 0; y < 19; y++) {
            kz_levels_load(levels, &plane, 11, 7 + y, 50, row);
            CHECK(memcmp(row, (float *)tile.data + 50 * y, sizeof(row)) == 0);
        }
        free_view(&tile, 0);
        kz_free(s.data);
    }
    kz_gpu_close(&gpu);
}

/* P010: ten bits above six zeros. */
static void high_bits_are_shifted_down(void)
{
    kz_gpu *gpu = open_gpu();
    uint16_t samples[] = {64 << 6, 940 << 6};
    float values[2] = {0};
    const kz_surface s = {.data = samples,
                          .pitch = sizeof(samples),
                          .width = 2,
                          .height = 1,
                          .bytes = 2,
                          .step = 1,
                          .depth = 10,
                          .shift = 6};
    const kz_view tile = {values, KZ_ELEMENT_FP32, 1, 1, 2, 1, 1};
    const kz_surface from = send_surface(gpu, &s);
    const kz_view to = send_view(gpu, &tile, 0);
    const kz_patch patch = {from, to, 0, 0};
    kz_cuda_load(gpu, &patch, 1, kz_luma_levels(10, false));
    kz_gpu_clear(gpu, from.data, surface_bytes(&s));
    kz_cuda_store(gpu, &patch, 1, NULL, kz_luma_levels(10, false), NULL);
    fetch_view(gpu, &to, &tile, 0);
    fetch_bytes(gpu, from.data, samples, sizeof(samples));
    CHECK(values[0] == 0 && fabsf(values[1] - 1) < 1e-6f);
    CHECK(samples[0] == 64 << 6 && samples[1] == 940 << 6);
    kz_gpu_close(&gpu);
}

static void storing_is_that_of_the_host(void)
{
    static const int bytes[] = {1, 2, 2, 4}, depths[] = {8, 10, 16, 8};
    kz_gpu *gpu = open_gpu();
    kz_tone tone = {.low = 0.1f, .scale = 600};
    unsigned *strange = kz_gpu_alloc_host(gpu, sizeof(*strange));
    CHECK(strange);
    for (int i = 0; i <= KZ_TONE_STEPS; i++)
        tone.table[i] = tone.low + (float)i / tone.scale * (1 + 0.1f * random_unit(&tasks_seed));
    for (int i = 0; i < 8; i++) {
        kz_surface s = random_surface(90, 40, bytes[i / 2], depths[i / 2], 1);
        kz_surface host = s;
        host.data = kz_alloc(s.pitch * (size_t)s.height, 1);
        memcpy(host.data, s.data, s.pitch * (size_t)s.height);
        kz_plane plane = plane_of(&host);
        kz_view tile = random_view(KZ_ELEMENT_FP32, 1, 1, 0, 70, 30);
        ((float *)tile.data)[70 * 9 + 9] = bytes[i / 2] == 4 ? 0 : i % 4 ? NAN : -INFINITY;
        const kz_levels levels = kz_luma_levels(depths[i / 2], false);
        const kz_rect part = {13, 5, 13 + 60, 5 + 22};
        const kz_view from = send_view(gpu, &tile, 0);
        const kz_surface to = send_surface(gpu, &s);
        kz_tone *curve = send_bytes(gpu, &tone, sizeof(tone));
        *strange = 0;
        kz_cuda_store(gpu, &(kz_patch){kz_surface_part(&to, part), from, 4, 3}, 1,
                      i % 2 ? curve : NULL, levels, strange);
        fetch_bytes(gpu, to.data, s.data, surface_bytes(&s));
        CHECK(*strange == (bytes[i / 2] != 4));
        kz_gpu_free(gpu, from.data);
        kz_gpu_free(gpu, curve);
        for (int y = 0; y < 22; y++) {
            float row[60];
            memcpy(row, (float *)tile.data + 70 * (3 + y) + 4, sizeof(row));
            if (i % 2)
                kz_tone_apply(&tone, row, 60);
            kz_levels_store(levels, &plane, 13, 5 + y, 60, row);
        }
        CHECK(memcmp(host.data, s.data, s.pitch * (size_t)s.height) == 0);
        free_view(&tile, 0);
        kz_free(s.data);
        kz_free(host.data);
    }
    kz_gpu_free_host(gpu, strange);
    kz_gpu_close(&gpu);
}

static const struct check_case cases[] = {
    {"tensor-core convolutions agree with the definition", tensor_convolutions_agree},
    {"odd numbers of channels in fp32 too", odd_outputs_in_fp32_agree},
    {"those in TF32 agree with it to fp32's rounding", tf32_convolutions_agree},
    {"those on Hopper's products too", wgmma_convolutions_agree},
    {"those that march too", marches_agree},
    {"what marches has room", what_marches_has_room},
    {"plain convolutions agree with the definition", plain_convolutions_agree},
    {"last convolutions agree with the definition", last_convolutions_agree},
    {"a tail has the bits of its two layers", tails_have_the_bits_of_two_layers},
    {"what doesn't fit a tail is refused", what_doesnt_fit_a_tail_is_refused},
    {"what doesn't fit a kernel is refused", what_doesnt_fit_is_refused},
    {"small networks agree with the definition", small_networks_agree},
    {"small networks of every width too", small_networks_of_every_width_agree},
    {"small networks in segments too", small_networks_in_segments_agree},
    {"strips fit the device", strips_fit_the_device},
    {"sums agree with the definition", sums_agree},
    {"loading gives the host's bits", loading_is_that_of_the_host},
    {"high bits are shifted down", high_bits_are_shifted_down},
    {"storing gives the host's bits", storing_is_that_of_the_host},
};

CHECK_CASES(cases)

int main(int argc, char **argv)
{
    draw_tasks_seed();
    return run_cases(argc, argv);
}
