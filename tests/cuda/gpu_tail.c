/* The last two layers in one kernel beside the two one by one: the part tail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gpu_layer.h"

/* RRDBNet's before the last. */
static const struct layer before = {64, 64, 64, 0, 64, KZ_ACT_LEAKY, 0};

struct two {
    kz_conv_task first, last;
    float *weights; /* of the last, on the device */
};

static void open_two(const struct bench *b, struct two *t)
{
    const int width = b->size.width, height = b->size.height;
    *t = (struct two){.first = task_of(b, &before, b->out)};
    t->last = t->first;
    t->last.in = t->first.out;
    t->last.out = (kz_view){b->expected, KZ_ELEMENT_FP32, 1, 1, width, height, 1};
    t->last.slopes = NULL;
    const size_t count = kz_cuda_conv_plain_count(&t->last), bytes = count * sizeof(float);
    float *weights = taken(count, sizeof(*weights));
    for (size_t i = 0; i < count; i++)
        weights[i] = (float)(i % 17) * 0.01f - 0.08f;
    t->last.weights = t->weights = room(b->gpu, bytes);
    kz_gpu_copy_in(b->gpu, t->weights, bytes, weights, (ptrdiff_t)bytes, bytes, 1);
    if (kz_gpu_wait(b->gpu))
        stop("a copy", kz_gpu_error(b->gpu));
    kz_free(weights);
    fill_weights(b, &before);
}

static float *fetch_output(const struct bench *b)
{
    const size_t pixels = (size_t)b->size.width * (size_t)b->size.height;
    const size_t bytes = pixels * sizeof(float);
    float *values = taken(pixels, sizeof(*values));
    kz_gpu_copy_out(b->gpu, values, (ptrdiff_t)bytes, b->expected, bytes, bytes, 1);
    if (kz_gpu_wait(b->gpu))
        stop("a copy", kz_gpu_error(b->gpu));
    return values;
}

/* The faster of Hopper's two ways; 0: not here. */
static double time_wgmma(const struct bench *b, const struct two *t, int runs)
{
    if (!kz_cuda_conv_wgmma_there(kz_gpu_get_info(b->gpu)) || !kz_cuda_conv_wgmma_fits(&t->first))
        return 0;
    const double one = time_kernel(b, kz_cuda_conv_wgmma, &t->first, b->out, runs);
    const double two = time_kernel(b, kz_cuda_conv_wgmma_pairs, &t->first, b->out, runs);
    return one < two ? one : two;
}

static int compare_two(const struct bench *b, int runs)
{
    struct two t;
    open_two(b, &t);
    const double first = time_kernel(b, kz_cuda_conv_tensor, &t.first, b->out, runs);
    const double last = time_kernel(b, kz_cuda_conv_last, &t.last, b->expected, runs);
    float *apart = fetch_output(b);
    const double wgmma = time_wgmma(b, &t, runs);
    t.last.first = &t.first;
    const bool fits = kz_cuda_conv_tail_fits(&t.last, kz_gpu_get_info(b->gpu)->shared_bytes);
    const double both = fits ? time_kernel(b, kz_cuda_conv_tail, &t.last, b->expected, runs) : 0;
    float *together = fetch_output(b);
    const size_t bytes = (size_t)b->size.width * (size_t)b->size.height * sizeof(float);
    const bool ok = memcmp(apart, together, bytes) == 0;
    printf("{\"kind\":\"tail\",\"precision\":\"%s\",\"size\":\"%dx%d\",\"fits\":%s,\"first\":%.6g,"
           "\"wgmma\":%.6g,\"last\":%.6g,\"both\":%.6g,\"ok\":%s}\n",
           b->element == KZ_ELEMENT_FP16 ? "fp16" : "bf16", b->size.width, b->size.height,
           fits ? "true" : "false", first, wgmma, last, both, ok ? "true" : "false");
    kz_free(apart);
    kz_free(together);
    kz_gpu_free(b->gpu, t.weights);
    return ok ? 0 : 1;
}

/* RUNS SIZE…: at the last size it is about time, at others about borders. */
int part_tail(char **arguments, kz_log *log)
{
    static const enum kz_element elements[] = {KZ_ELEMENT_FP16, KZ_ELEMENT_BF16};
    const int runs = atoi(arguments[0]);
    kz_gpu *gpu;
    int failed = 0;
    if (kz_gpu_open(&gpu, 0, log))
        return NO_DEVICE;
    if (runs < 1)
        stop("not a number of runs", arguments[0]);
    for (char **size = arguments + 1; *size; size++)
        for (int i = 0; i < 2; i++) {
            struct bench b;
            if (elements[i] == KZ_ELEMENT_BF16 && kz_gpu_get_info(gpu)->major < 8)
                continue;
            open_bench(&b, gpu, size_of(*size), elements[i]);
            failed |= compare_two(&b, size[1] ? 1 : runs);
            close_bench(&b);
        }
    kz_gpu_close(&gpu);
    return failed;
}
