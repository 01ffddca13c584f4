/* Each engine that cuDNN has for the networks' layers, beside our own kernel: the same values, and
 * how fast. JSON lines as gpu_check's. gpu_cudnn SIZE RUNS    exit code 0; 1: an engine computes
 * something else; 3: no GPU or no cuDNN */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda/cudnn/conv.h"
#include "gpu_layer.h"

enum { MOST_ENGINES = 32 };

struct contest {
    struct bench bench;
    kz_cudnn *cudnn;
    kz_cudnn_device *device;
    char *workspace; /* of the device */
    int runs;
    kz_log *log;
};

static int say(const struct bench *b, const struct layer *l, const char *engine, double seconds,
               double worst)
{
    char name[100];
    const bool ok = is_small(b, worst);
    printf("{\"kind\":\"engine\",\"layer\":\"%s\",\"size\":\"%dx%d\",\"engine\":\"%s\","
           "\"seconds\":%.6g,\"flops\":%.6g,\"worst\":%.6g,\"ok\":%s}\n",
           name_layer(l, name), b->size.width, b->size.height, engine, seconds,
           flops_of(b, l) / seconds, fmin(worst, 1e9), ok ? "true" : "false");
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

static int run_plan(const struct contest *c, const struct layer *l, kz_cudnn_plan *plan)
{
    const struct bench *b = &c->bench;
    const kz_cudnn_buffers buffers = {.in = b->in,
                                      .weights = b->weights,
                                      .bias = b->bias,
                                      .slopes = b->slopes,
                                      .residuals = {b->in},
                                      .out = b->out + (size_t)l->out_from * sizeof(_Float16),
                                      .workspace = c->workspace};
    return kz_cudnn_plan_run(plan, kz_gpu_stream(b->gpu), &buffers);
}

enum { WORKSPACE = 256 << 20 };

/* 0, 1 where it computes something else; an engine that can't be opened is left out. */
static int try_engine(const struct contest *c, const struct layer *l, kz_cudnn_conv *conv,
                      const kz_cudnn_engine *engine)
{
    const struct bench *b = &c->bench;
    char text[KZ_CUDNN_ENGINE_TEXT];
    kz_cudnn_plan *plan;
    kz_cudnn_engine_write(engine, text);
    if (kz_cudnn_plan_open(&plan, conv, c->device, engine))
        return 0;
    int failed = kz_cudnn_plan_workspace(plan) > WORKSPACE;
    if (!failed) {
        kz_gpu_clear(b->gpu, b->out, value_bytes(b));
        failed = run_plan(c, l, plan) != 0;
        const double worst = failed ? INFINITY : difference(b, l);
        kz_gpu_mark(b->gpu, 0);
        for (int i = 0; i < c->runs && !failed; i++)
            failed = run_plan(c, l, plan) != 0;
        kz_gpu_mark(b->gpu, 1);
        if (kz_gpu_wait(b->gpu))
            stop(text, kz_gpu_error(b->gpu));
        failed |= say(b, l, text, kz_gpu_between(b->gpu) / c->runs, worst);
    }
    kz_cudnn_plan_close(&plan);
    return failed;
}

static int run_layer(const struct contest *c, const struct layer *l)
{
    const struct bench *b = &c->bench;
    const kz_conv_task task = task_of(b, l, b->expected);
    const kz_cudnn_conv_params params = params_of(b, l);
    kz_cudnn_engine engines[MOST_ENGINES];
    kz_cudnn_conv *conv;
    int failed = 0;
    fill_weights(b, l);
    say(b, l, "kizuna", time_kernel(b, kz_cuda_conv_tensor, &task, b->expected, c->runs), 0);
    if (kz_cudnn_conv_open(&conv, c->cudnn, &params, c->log))
        return 1;
    const int count = kz_cudnn_conv_engines(conv, c->device, engines, MOST_ENGINES);
    for (int i = 0; i < count; i++)
        failed |= try_engine(c, l, conv, &engines[i]);
    kz_cudnn_conv_close(&conv);
    return failed;
}

static void open_contest(struct contest *c, struct size size)
{
    kz_gpu *gpu;
    if (kz_gpu_open(&gpu, 0, c->log) || kz_cudnn_open(&c->cudnn, c->log) ||
        kz_cudnn_device_open(&c->device, c->cudnn, c->log))
        exit(NO_DEVICE);
    open_bench(&c->bench, gpu, size, KZ_ELEMENT_FP16);
    c->workspace = room(gpu, WORKSPACE);
}

static void close_contest(struct contest *c)
{
    kz_gpu *gpu = c->bench.gpu;
    kz_gpu_free(gpu, c->workspace);
    close_bench(&c->bench);
    kz_cudnn_device_close(&c->device);
    kz_cudnn_close(&c->cudnn);
    kz_gpu_close(&gpu);
}

int main(int argc, char **argv)
{
    struct contest c = {0};
    int failed = 0;
    if (argc != 3 || atoi(argv[2]) < 1)
        stop("called", "SIZE RUNS");
    c.runs = atoi(argv[2]);
    if (kz_log_open(&c.log, stderr, KZ_LOG_INFO))
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    open_contest(&c, size_of(argv[1]));
    for (int i = 0; i < LAYERS; i++)
        failed |= run_layer(&c, &layers[i]);
    close_contest(&c);
    kz_log_close(&c.log);
    return failed;
}
