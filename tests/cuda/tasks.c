#include "cuda/tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/half.h"
#include "random_graph.h"

unsigned tasks_seed;

void draw_tasks_seed(void)
{
    const char *given = getenv("KIZUNA_SEED");
    tasks_seed = given ? (unsigned)atol(given) : (unsigned)time(NULL);
    printf("# KIZUNA_SEED=%u\n", tasks_seed);
}

int random_int(int least, int most)
{
    int n = least + (int)((random_unit(&tasks_seed) * 0.5f + 0.5f) * (float)(most - least + 1));
    return n < most ? n : most;
}

kz_gpu *open_gpu(void)
{
    kz_gpu *gpu;
    CHECK(kz_gpu_open(&gpu, 0, NULL) == 0);
    return gpu;
}

size_t count_of(const kz_view *v)
{
    return (size_t)v->width * (size_t)v->height * (size_t)v->pixel;
}

kz_view random_view(enum kz_element element, int channels, int pixel, int first, int width,
                    int height)
{
    kz_view v = {NULL, element, channels, pixel, width, height, 1};
    v.data = kz_alloc(count_of(&v), kz_element_bytes(element));
    CHECK(v.data);
    for (size_t i = 0; i < count_of(&v); i++)
        kz_put_element(v.data, element, i, random_unit(&tasks_seed));
    v.data = (char *)v.data + (size_t)first * kz_element_bytes(element);
    return v;
}

void free_view(const kz_view *v, int first)
{
    kz_free((char *)v->data - (size_t)first * kz_element_bytes(v->element));
}

void *send_bytes(kz_gpu *gpu, const void *host, size_t bytes)
{
    void *there = kz_gpu_alloc(gpu, bytes);
    CHECK(there);
    kz_gpu_copy_in(gpu, there, bytes, host, (ptrdiff_t)bytes, bytes, 1);
    return there;
}

void fetch_bytes(kz_gpu *gpu, void *there, void *host, size_t bytes)
{
    kz_gpu_copy_out(gpu, host, (ptrdiff_t)bytes, there, bytes, bytes, 1);
    CHECK(kz_gpu_wait(gpu) == 0);
    kz_gpu_free(gpu, there);
}

size_t bytes_of(const kz_view *v)
{
    return count_of(v) * kz_element_bytes(v->element);
}

char *whole(const kz_view *v, int first)
{
    return (char *)v->data - (size_t)first * kz_element_bytes(v->element);
}

kz_view send_view(kz_gpu *gpu, const kz_view *v, int first)
{
    kz_view there = *v;
    there.data = (char *)send_bytes(gpu, whole(v, first), bytes_of(v)) +
                 (size_t)first * kz_element_bytes(v->element);
    return there;
}

void fetch_view(kz_gpu *gpu, const kz_view *there, const kz_view *v, int first)
{
    fetch_bytes(gpu, whole(there, first), whole(v, first), bytes_of(v));
}

float *random_floats(size_t count, float scale)
{
    float *floats = kz_alloc(count, sizeof(*floats));
    CHECK(floats);
    for (size_t i = 0; i < count; i++)
        floats[i] = random_unit(&tasks_seed) * scale;
    return floats;
}

void open_problem(struct problem *p, enum kz_element in, enum kz_element out, int inputs,
                  int outputs, bool phases, int width, int height)
{
    const int kernel = phases ? 2 : 3, steps = phases ? 2 : 1, wide = 8 * random_int(0, 4);
    const size_t taps = (size_t)(phases ? 16 : 9);
    *p = (struct problem){.in_first = 8 * random_int(0, 2), .out_first = 8 * random_int(0, 2)};
    p->task = (kz_conv_task){.kernel = kernel, .pad_top = 1, .pad_left = 1, .phases = phases};
    p->task.in = random_view(in, inputs, inputs + p->in_first + wide, p->in_first, width, height);
    p->task.out = random_view(out, outputs, outputs + p->out_first + wide, p->out_first,
                              width * steps, height * steps);
    p->before = p->task.out;
    p->before.data = kz_alloc(count_of(&p->before), kz_element_bytes(out));
    memcpy(p->before.data, (char *)p->task.out.data - (size_t)p->out_first * kz_element_bytes(out),
           count_of(&p->before) * kz_element_bytes(out));
    p->weights =
        random_floats(taps * (size_t)inputs * (size_t)outputs, 1 / sqrtf((float)inputs * 3));
    p->task.bias = p->bias = random_floats((size_t)outputs + 64, 1);
    p->slopes = random_floats((size_t)outputs + 64, 1);
    p->task.slopes = random_int(0, 1) ? p->slopes : NULL;
    for (int r = phases ? 0 : random_int(0, 2); r > 0; r--) {
        p->task.coefs[p->task.n_residuals] = random_unit(&tasks_seed);
        p->task.residuals[p->task.n_residuals++] = random_view(
            random_int(0, 1) ? out : KZ_ELEMENT_FP32, outputs, outputs, 0, width, height);
    }
}

void close_problem(struct problem *p)
{
    free_view(&p->task.in, p->in_first);
    free_view(&p->task.out, p->out_first);
    for (int r = 0; r < p->task.n_residuals; r++)
        free_view(&p->task.residuals[r], 0);
    kz_free(p->before.data);
    kz_free(p->weights);
    kz_free(p->bias);
    kz_free(p->slopes);
}

/* Weights as the kernel wants them; `bytes` of host memory. */
static void *pack(const struct problem *p, bool tensor, size_t *bytes)
{
    *bytes = tensor ? kz_cuda_conv_tensor_bytes(&p->task)
                    : kz_cuda_conv_plain_count(&p->task) * sizeof(float);
    void *packed = kz_alloc(*bytes, 1);
    CHECK(packed);
    if (tensor)
        kz_cuda_conv_tensor_pack(&p->task, p->weights, packed);
    else
        kz_cuda_conv_plain_pack(&p->task, p->weights, packed);
    return packed;
}

kz_conv_task send_problem(kz_gpu *gpu, struct problem *p, bool tensor)
{
    size_t bytes, floats = (size_t)(p->task.out.channels + 64) * sizeof(float);
    if (!p->task.group)
        p->task.group = kz_cuda_conv_tensor_group(p->task.out.channels, random_int(64, 99) << 10);
    void *packed = pack(p, tensor, &bytes);
    kz_conv_task t = p->task;
    t.in = send_view(gpu, &p->task.in, p->in_first);
    t.out = send_view(gpu, &p->task.out, p->out_first);
    for (int r = 0; r < t.n_residuals; r++)
        t.residuals[r] = send_view(gpu, &p->task.residuals[r], 0);
    t.weights = send_bytes(gpu, packed, bytes);
    t.bias = send_bytes(gpu, p->bias, floats);
    t.slopes = p->task.slopes ? send_bytes(gpu, p->slopes, floats) : NULL;
    kz_gpu_wait(gpu);
    kz_free(packed);
    return t;
}

void drop_problem(kz_gpu *gpu, const struct problem *p, const kz_conv_task *t)
{
    kz_gpu_free(gpu, whole(&t->in, p->in_first));
    for (int r = 0; r < t->n_residuals; r++)
        kz_gpu_free(gpu, t->residuals[r].data);
    kz_gpu_free(gpu, (void *)t->weights);
    kz_gpu_free(gpu, (void *)t->bias);
    kz_gpu_free(gpu, (void *)t->slopes);
}

enum kz_element random_wide(void)
{
    return random_int(0, 1) ? KZ_ELEMENT_FP16 : KZ_ELEMENT_BF16;
}

void open_tail(kz_gpu *gpu, struct tail *t, int inputs, int channels, int width, int height)
{
    const enum kz_element element = random_wide();
    open_problem(&t->first, element, element, inputs, channels, false, width, height);
    while (t->first.task.n_residuals)
        free_view(&t->first.task.residuals[--t->first.task.n_residuals], 0);
    t->first.task.group = channels > 32 ? 64 : 32;
    open_problem(&t->last, element, KZ_ELEMENT_FP32, channels, 1, false, width, height);
    t->first_there = send_problem(gpu, &t->first, true);
    t->last_there = send_problem(gpu, &t->last, false);
    t->unread = t->last_there.in;
    t->last_there.in = t->first_there.out;
    t->last_there.first = &t->first_there;
}

void close_tail(kz_gpu *gpu, struct tail *t)
{
    t->last_there.in = t->unread;
    drop_problem(gpu, &t->first, &t->first_there);
    drop_problem(gpu, &t->last, &t->last_there);
    close_problem(&t->first);
    close_problem(&t->last);
}

static float random_gain(int inputs)
{
    return 1 / sqrtf((float)inputs * 3);
}

void open_network(struct network *n, int channels, int hidden, bool skip, int width, int height)
{
    *n = (struct network){
        .task = {.element = random_wide(),
                 .channels = channels,
                 .hidden = hidden,
                 .skip = skip,
                 .in = random_view(KZ_ELEMENT_FP32, 1, 1, 0, width, height),
                 .out = random_view(KZ_ELEMENT_FP32, 1, 1, 0, 2 * width, 2 * height)}};
    for (int l = 0; l < hidden + 2; l++) {
        const int inputs = l ? channels : 1, outputs = l <= hidden ? channels : 4;
        n->layers[l] = (kz_small_layer){
            .weights = random_floats((size_t)(inputs * outputs * 9), random_gain(inputs)),
            .bias = random_int(0, 3) ? random_floats((size_t)outputs, 0.3f) : NULL,
            .slopes = l <= hidden ? random_floats((size_t)outputs, 1) : NULL};
    }
}

void close_network(struct network *n)
{
    for (int l = 0; l < n->task.hidden + 2; l++) {
        kz_free((void *)n->layers[l].weights);
        kz_free((void *)n->layers[l].bias);
        kz_free((void *)n->layers[l].slopes);
    }
    free_view(&n->task.in, 0);
    free_view(&n->task.out, 0);
}

kz_surface random_surface(int width, int height, int bytes, int depth, int step)
{
    const size_t samples = (size_t)(width * step + 3);
    kz_surface s = {.pitch = samples * (size_t)bytes,
                    .width = width,
                    .height = height,
                    .bytes = bytes,
                    .step = step,
                    .depth = depth};
    s.data = kz_alloc(samples * (size_t)height, (size_t)bytes);
    CHECK(s.data);
    for (size_t i = 0; i < samples * (size_t)height; i++) {
        const float value = random_unit(&tasks_seed) * 0.5f + 0.5f;
        if (bytes == 4)
            ((float *)s.data)[i] = value;
        else if (bytes == 2)
            ((uint16_t *)s.data)[i] = (uint16_t)(value * (float)((1 << depth) - 1));
        else
            ((uint8_t *)s.data)[i] = (uint8_t)(value * 255);
    }
    return s;
}

size_t surface_bytes(const kz_surface *s)
{
    return s->pitch * (size_t)s->height;
}

kz_surface send_surface(kz_gpu *gpu, const kz_surface *s)
{
    kz_surface there = *s;
    there.data = send_bytes(gpu, s->data, surface_bytes(s));
    return there;
}
