#include "gpu_layer.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "cuda/half.h"

const struct layer layers[LAYERS] = {
    {64, 192, 32, 64, 192, KZ_ACT_LEAKY, 0},   {96, 192, 32, 96, 192, KZ_ACT_LEAKY, 0},
    {128, 192, 32, 128, 192, KZ_ACT_LEAKY, 0}, {160, 192, 32, 160, 192, KZ_ACT_LEAKY, 0},
    {192, 192, 64, 0, 192, KZ_ACT_NONE, 1},    {64, 64, 64, 0, 64, KZ_ACT_PRELU, 0},
    {64, 64, 64, 0, 64, KZ_ACT_LEAKY, 0},      {64, 64, 16, 0, 64, KZ_ACT_NONE, 0},
};

size_t value_bytes(const struct bench *b)
{
    return (size_t)b->size.width * (size_t)b->size.height * WIDEST * kz_element_bytes(b->element);
}

static float random_unit(unsigned *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return (float)(int)(*seed >> 8) / (1 << 23) - 1;
}

void *room(kz_gpu *gpu, size_t bytes)
{
    void *block = kz_gpu_alloc(gpu, bytes);
    if (!block)
        stop("memory", "the device's is short");
    return block;
}

static void put(const struct bench *b, void *there, const void *here, size_t bytes)
{
    kz_gpu_copy_in(b->gpu, there, bytes, here, (ptrdiff_t)bytes, bytes, 1);
    if (kz_gpu_wait(b->gpu))
        stop("a copy", kz_gpu_error(b->gpu));
}

static void fill_input(const struct bench *b)
{
    const size_t count = value_bytes(b) / kz_element_bytes(b->element);
    void *values = taken(1, value_bytes(b));
    unsigned seed = 1;
    for (size_t i = 0; i < count; i++)
        kz_put_element(values, b->element, i, random_unit(&seed));
    put(b, b->in, values, value_bytes(b));
    kz_free(values);
}

void open_bench(struct bench *b, kz_gpu *gpu, struct size size, enum kz_element element)
{
    *b = (struct bench){.gpu = gpu, .size = size, .element = element};
    b->in = room(gpu, value_bytes(b));
    b->out = room(gpu, value_bytes(b));
    b->expected = room(gpu, value_bytes(b));
    b->weights = room(gpu, (size_t)WIDEST * WIDEST * TAPS * 2);
    b->packed = room(gpu, (size_t)WIDEST * WIDEST * TAPS * 2);
    b->bias = room(gpu, WIDEST * sizeof(float));
    b->slopes = room(gpu, WIDEST * sizeof(float));
    fill_input(b);
}

void close_bench(struct bench *b)
{
    void *const blocks[] = {b->in, b->out, b->expected, b->weights, b->packed, b->bias, b->slopes};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        kz_gpu_free(b->gpu, blocks[i]);
}

kz_conv_task task_of(const struct bench *b, const struct layer *l, char *out)
{
    const int width = b->size.width, height = b->size.height;
    const size_t from = (size_t)l->out_from * kz_element_bytes(b->element);
    kz_conv_task t = {.in = {b->in, b->element, l->in, l->in_pixel, width, height, 1},
                      .out = {out + from, b->element, l->out, l->out_pixel, width, height, 1},
                      .coefs = {1},
                      .n_residuals = l->n_residuals,
                      .kernel = 3,
                      .pad_top = 1,
                      .pad_left = 1,
                      .weights = b->packed,
                      .bias = (const float *)(void *)b->bias,
                      .slopes = l->act == KZ_ACT_NONE ? NULL : (const float *)(void *)b->slopes};
    t.residuals[0] = t.in;
    t.residuals[0].channels = l->out;
    t.group = kz_cuda_conv_tensor_group(l->out, kz_gpu_get_info(b->gpu)->shared_bytes);
    return t;
}

void fill_weights(const struct bench *b, const struct layer *l)
{
    const kz_conv_task t = task_of(b, l, b->out);
    const size_t count = (size_t)l->out * (size_t)l->in * TAPS;
    const size_t packed_bytes = kz_cuda_conv_tensor_bytes(&t);
    float *weights = taken(count, sizeof(*weights)), constants[2 * WIDEST];
    char *krsc = taken(count, 2);
    void *packed = taken(packed_bytes, 1);
    unsigned seed = 2;
    for (size_t i = 0; i < count; i++) {
        const size_t tap = i % TAPS, in = i / TAPS % (size_t)l->in, out = i / TAPS / (size_t)l->in;
        const size_t at = (out * TAPS + tap) * (size_t)l->in + in;
        kz_put_element(krsc, b->element, at, random_unit(&seed) / sqrtf((float)(l->in * TAPS)));
        weights[i] = kz_get_element(krsc, b->element, at);
    }
    for (int i = 0; i < 2 * WIDEST; i++)
        constants[i] = l->act == KZ_ACT_PRELU || i < WIDEST ? random_unit(&seed) / 4 : 0.2f;
    kz_cuda_conv_tensor_pack(&t, weights, packed);
    put(b, b->packed, packed, packed_bytes);
    put(b, b->weights, krsc, count * 2);
    put(b, b->bias, constants, WIDEST * sizeof(float));
    put(b, b->slopes, constants + WIDEST, WIDEST * sizeof(float));
    kz_free(weights);
    kz_free(krsc);
    kz_free(packed);
}

double time_kernel(const struct bench *b, void (*run)(kz_gpu *, const kz_conv_task *),
                   const kz_conv_task *task, char *out, int runs)
{
    kz_gpu_clear(b->gpu, out, value_bytes(b));
    run(b->gpu, task);
    kz_gpu_mark(b->gpu, 0);
    for (int i = 0; i < runs; i++)
        run(b->gpu, task);
    kz_gpu_mark(b->gpu, 1);
    if (kz_gpu_wait(b->gpu))
        stop("our kernel", kz_gpu_error(b->gpu));
    return kz_gpu_between(b->gpu) / runs;
}

double flops_of(const struct bench *b, const struct layer *l)
{
    return 2.0 * TAPS * l->in * l->out * b->size.width * b->size.height;
}

/* Of a high picture: the top, the bottom, and what lies evenly between. */
enum { BANDS = 9, BAND_ROWS = 12 };

/* All channels of some rows: narrow slices of them would be copied pixel by pixel. */
static void fetch_rows(const struct bench *b, const struct layer *l, const char *from, int y,
                       int rows, void *to)
{
    const size_t row = (size_t)b->size.width * (size_t)l->out_pixel * kz_element_bytes(b->element);
    const size_t bytes = row * (size_t)rows;
    kz_gpu_copy_out(b->gpu, to, (ptrdiff_t)bytes, from + (size_t)y * row, bytes, bytes, 1);
    if (kz_gpu_wait(b->gpu))
        stop("a copy", kz_gpu_error(b->gpu));
}

/* What isn't finite is infinitely far. */
static float compare_rows(const struct bench *b, const struct layer *l, int y, int rows)
{
    const size_t pixels = (size_t)rows * (size_t)b->size.width, step = (size_t)l->out_pixel;
    char *mine = taken(pixels * step, kz_element_bytes(b->element));
    char *theirs = taken(pixels * step, kz_element_bytes(b->element));
    float worst = 0;
    fetch_rows(b, l, b->expected, y, rows, mine);
    fetch_rows(b, l, b->out, y, rows, theirs);
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = (size_t)l->out_from; c < (size_t)(l->out_from + l->out); c++) {
            const float x = kz_get_element(mine, b->element, i * step + c);
            const float d = fabsf(x - kz_get_element(theirs, b->element, i * step + c));
            worst = d <= worst ? worst : isfinite(d) ? d : INFINITY;
        }
    kz_free(mine);
    kz_free(theirs);
    return worst;
}

double difference(const struct bench *b, const struct layer *l)
{
    const int height = b->size.height;
    float worst = 0;
    if (height <= BANDS * BAND_ROWS)
        return (double)compare_rows(b, l, 0, height);
    for (int i = 0; i < BANDS; i++)
        worst = fmaxf(worst, compare_rows(b, l, (height - BAND_ROWS) * i / (BANDS - 1), BAND_ROWS));
    return (double)worst;
}

/* Three units in the last place. */
bool is_small(const struct bench *b, double difference)
{
    return difference <= (b->element == KZ_ELEMENT_FP16 ? 0.004 : 0.032);
}

const char *name_layer(const struct layer *l, char text[100])
{
    snprintf(text, 100, "%d → %d%s%s%s", l->in, l->out, l->in_pixel > 64 ? ", slices" : "",
             l->act == KZ_ACT_PRELU ? ", PReLU" : "", l->n_residuals ? ", residual" : "");
    return text;
}
