/* Each engine that cuDNN has for the networks' layers, beside our own kernel: the same values, and
 * how fast. JSON lines as gpu_check's. gpu_cudnn SIZE RUNS    exit code 0; 1: an engine computes
 * something else; 3: no GPU or no cuDNN */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cuda/cudnn/conv.h"
#include "gpu_check.h"

enum { MOST_ENGINES = 32, WIDEST = 192, TAPS = 9 };

/* Slices begin at channel `from` of `pixel` channels; the residual is the input's first ones. */
struct layer {
    int in, in_pixel, out, out_from, out_pixel;
    enum kz_act act;
    int n_residuals;
};

static const struct layer layers[] = {
    {64, 192, 32, 64, 192, KZ_ACT_LEAKY, 0},   {96, 192, 32, 96, 192, KZ_ACT_LEAKY, 0},
    {128, 192, 32, 128, 192, KZ_ACT_LEAKY, 0}, {160, 192, 32, 160, 192, KZ_ACT_LEAKY, 0},
    {192, 192, 64, 0, 192, KZ_ACT_NONE, 1},    {64, 64, 64, 0, 64, KZ_ACT_PRELU, 0},
    {64, 64, 64, 0, 64, KZ_ACT_LEAKY, 0},      {64, 64, 16, 0, 64, KZ_ACT_NONE, 0},
};

struct bench {
    kz_gpu *gpu;
    kz_cudnn *cudnn;
    kz_cudnn_device *device;
    struct size size;
    int runs;
    kz_log *log;
    /* Of the device: values of WIDEST channels, fp16. */
    char *in, *out, *expected;
    char *weights, *packed, *bias, *slopes, *workspace;
};

static size_t value_bytes(const struct bench *b)
{
    return (size_t)b->size.width * (size_t)b->size.height * WIDEST * sizeof(_Float16);
}

static float random_unit(unsigned *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return (float)(int)(*seed >> 8) / (1 << 23) - 1;
}

static void *room(kz_gpu *gpu, size_t bytes)
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
    const size_t count = value_bytes(b) / sizeof(_Float16);
    _Float16 *values = taken(count, sizeof(*values));
    unsigned seed = 1;
    for (size_t i = 0; i < count; i++)
        values[i] = (_Float16)random_unit(&seed);
    put(b, b->in, values, value_bytes(b));
    kz_free(values);
}

static kz_conv_task task_of(const struct bench *b, const struct layer *l, char *out)
{
    const int width = b->size.width, height = b->size.height;
    kz_conv_task t = {.in = {b->in, KZ_ELEMENT_FP16, l->in, l->in_pixel, width, height},
                      .out = {out + (size_t)l->out_from * sizeof(_Float16), KZ_ELEMENT_FP16, l->out,
                              l->out_pixel, width, height},
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

/* As both want them: [out][in][tap] to ours, and to cuDNN's [out][tap][in]. */
static void fill_weights(const struct bench *b, const struct layer *l, const kz_conv_task *t)
{
    const size_t count = (size_t)l->out * (size_t)l->in * TAPS;
    const size_t packed_bytes = kz_cuda_conv_tensor_count(t) * 2;
    float *weights = taken(count, sizeof(*weights)), constants[2 * WIDEST];
    _Float16 *krsc = taken(count, sizeof(*krsc));
    void *packed = taken(packed_bytes, 1);
    unsigned seed = 2;
    for (size_t i = 0; i < count; i++) {
        const size_t tap = i % TAPS, in = i / TAPS % (size_t)l->in, out = i / TAPS / (size_t)l->in;
        const _Float16 w = (_Float16)(random_unit(&seed) / sqrtf((float)(l->in * TAPS)));
        weights[i] = (float)w;
        krsc[(out * TAPS + tap) * (size_t)l->in + in] = w;
    }
    for (int i = 0; i < 2 * WIDEST; i++)
        constants[i] = l->act == KZ_ACT_PRELU || i < WIDEST ? random_unit(&seed) / 4 : 0.2f;
    kz_cuda_conv_tensor_pack(t, weights, packed);
    put(b, b->packed, packed, packed_bytes);
    put(b, b->weights, krsc, count * sizeof(*krsc));
    put(b, b->bias, constants, WIDEST * sizeof(float));
    put(b, b->slopes, constants + WIDEST, WIDEST * sizeof(float));
    kz_free(weights);
    kz_free(krsc);
    kz_free(packed);
}

/* The largest difference of the layer's own channels. */
static double difference(const struct bench *b, const struct layer *l)
{
    const size_t pixels = (size_t)b->size.width * (size_t)b->size.height, bytes = value_bytes(b);
    _Float16 *mine = taken(1, bytes), *theirs = taken(1, bytes);
    double worst = 0;
    kz_gpu_copy_out(b->gpu, mine, (ptrdiff_t)bytes, b->expected, bytes, bytes, 1);
    kz_gpu_copy_out(b->gpu, theirs, (ptrdiff_t)bytes, b->out, bytes, bytes, 1);
    if (kz_gpu_wait(b->gpu))
        stop("a copy", kz_gpu_error(b->gpu));
    for (size_t i = 0; i < pixels * (size_t)l->out; i++) {
        const size_t at =
            i / (size_t)l->out * (size_t)l->out_pixel + (size_t)l->out_from + i % (size_t)l->out;
        const double d = fabs((double)mine[at] - (double)theirs[at]);
        worst = isfinite(d) ? fmax(worst, d) : INFINITY;
    }
    kz_free(mine);
    kz_free(theirs);
    return worst;
}

/* Of values about 1: three units in the last place of fp16, for sums in another order. */
#define MOST_DIFFERENCE 0.004

static int say(const struct bench *b, const struct layer *l, const char *engine, double seconds,
               double worst)
{
    const double flops = 2.0 * TAPS * l->in * l->out * b->size.width * b->size.height;
    const bool ok = worst <= MOST_DIFFERENCE;
    printf("{\"kind\":\"engine\",\"layer\":\"%d → %d%s%s%s\",\"size\":\"%dx%d\",\"engine\":\"%s\","
           "\"seconds\":%.6g,\"flops\":%.6g,\"worst\":%.6g,\"ok\":%s}\n",
           l->in, l->out, l->in_pixel > 64 ? ", slices" : "",
           l->act == KZ_ACT_PRELU ? ", PReLU" : "", l->n_residuals ? ", residual" : "",
           b->size.width, b->size.height, engine, seconds, flops / seconds, fmin(worst, 1e9),
           ok ? "true" : "false");
    return ok ? 0 : 1;
}

static kz_cudnn_conv_params params_of(const struct bench *b, const struct layer *l)
{
    kz_cudnn_conv_params p = {.batch = 1,
                              .height = b->size.height,
                              .width = b->size.width,
                              .in_channels = l->in,
                              .out_channels = l->out,
                              .kernel_h = 3,
                              .kernel_w = 3,
                              .pad_top = 1,
                              .pad_left = 1,
                              .pad_bottom = 1,
                              .pad_right = 1,
                              .type = KZ_CUDNN_FP16,
                              .bias = true,
                              .act = l->act,
                              .slope = 0.2f,
                              .n_residuals = l->n_residuals,
                              .coefs = {1},
                              .in = {.pixel = l->in_pixel},
                              .out = {.pixel = l->out_pixel}};
    p.residuals[0] = p.in;
    return p;
}

static int run_plan(const struct bench *b, const struct layer *l, kz_cudnn_plan *plan)
{
    const kz_cudnn_buffers buffers = {.in = b->in,
                                      .weights = b->weights,
                                      .bias = b->bias,
                                      .slopes = b->slopes,
                                      .residuals = {b->in},
                                      .out = b->out + (size_t)l->out_from * sizeof(_Float16),
                                      .workspace = b->workspace};
    return kz_cudnn_plan_run(plan, kz_gpu_stream(b->gpu), &buffers);
}

enum { WORKSPACE = 256 << 20 };

/* 0, 1 where it computes something else; an engine that can't be opened is left out. */
static int try_engine(const struct bench *b, const struct layer *l, kz_cudnn_conv *conv,
                      const kz_cudnn_engine *engine)
{
    char text[KZ_CUDNN_ENGINE_TEXT];
    kz_cudnn_plan *plan;
    kz_cudnn_engine_write(engine, text);
    if (kz_cudnn_plan_open(&plan, conv, b->device, engine))
        return 0;
    int failed = kz_cudnn_plan_workspace(plan) > WORKSPACE;
    if (!failed) {
        kz_gpu_clear(b->gpu, b->out, value_bytes(b));
        failed = run_plan(b, l, plan) != 0;
        const double worst = failed ? INFINITY : difference(b, l);
        kz_gpu_mark(b->gpu, 0);
        for (int i = 0; i < b->runs && !failed; i++)
            failed = run_plan(b, l, plan) != 0;
        kz_gpu_mark(b->gpu, 1);
        if (kz_gpu_wait(b->gpu))
            stop(text, kz_gpu_error(b->gpu));
        failed |= say(b, l, text, kz_gpu_between(b->gpu) / b->runs, worst);
    }
    kz_cudnn_plan_close(&plan);
    return failed;
}

static void run_own(const struct bench *b, const struct layer *l, const kz_conv_task *task)
{
    kz_gpu_clear(b->gpu, b->expected, value_bytes(b));
    kz_cuda_conv_tensor(b->gpu, task);
    kz_gpu_mark(b->gpu, 0);
    for (int i = 0; i < b->runs; i++)
        kz_cuda_conv_tensor(b->gpu, task);
    kz_gpu_mark(b->gpu, 1);
    if (kz_gpu_wait(b->gpu))
        stop("our kernel", kz_gpu_error(b->gpu));
    say(b, l, "kizuna", kz_gpu_between(b->gpu) / b->runs, 0);
}

static int run_layer(const struct bench *b, const struct layer *l)
{
    const kz_conv_task task = task_of(b, l, b->expected);
    const kz_cudnn_conv_params params = params_of(b, l);
    kz_cudnn_engine engines[MOST_ENGINES];
    kz_cudnn_conv *conv;
    int failed = 0;
    fill_weights(b, l, &task);
    run_own(b, l, &task);
    if (kz_cudnn_conv_open(&conv, b->cudnn, &params, b->log))
        return 1;
    const int count = kz_cudnn_conv_engines(conv, b->device, engines, MOST_ENGINES);
    for (int i = 0; i < count; i++)
        failed |= try_engine(b, l, conv, &engines[i]);
    kz_cudnn_conv_close(&conv);
    return failed;
}

static void open_bench(struct bench *b)
{
    if (kz_gpu_open(&b->gpu, 0, b->log) || kz_cudnn_open(&b->cudnn, b->log) ||
        kz_cudnn_device_open(&b->device, b->cudnn, b->log))
        exit(NO_DEVICE);
    b->in = room(b->gpu, value_bytes(b));
    b->out = room(b->gpu, value_bytes(b));
    b->expected = room(b->gpu, value_bytes(b));
    b->weights = room(b->gpu, (size_t)WIDEST * WIDEST * TAPS * 2);
    b->packed = room(b->gpu, (size_t)WIDEST * WIDEST * TAPS * 2);
    b->bias = room(b->gpu, WIDEST * sizeof(float));
    b->slopes = room(b->gpu, WIDEST * sizeof(float));
    b->workspace = room(b->gpu, WORKSPACE);
    fill_input(b);
}

static void close_bench(struct bench *b)
{
    void *const blocks[] = {b->in,     b->out,  b->expected, b->weights,
                            b->packed, b->bias, b->slopes,   b->workspace};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        kz_gpu_free(b->gpu, blocks[i]);
    kz_cudnn_device_close(&b->device);
    kz_cudnn_close(&b->cudnn);
    kz_gpu_close(&b->gpu);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    int failed = 0;
    if (argc != 3 || atoi(argv[2]) < 1)
        stop("called", "SIZE RUNS");
    b.size = size_of(argv[1]);
    b.runs = atoi(argv[2]);
    if (kz_log_open(&b.log, stderr, KZ_LOG_INFO))
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    open_bench(&b);
    for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
        failed |= run_layer(&b, &layers[i]);
    close_bench(&b);
    kz_log_close(&b.log);
    return failed;
}
