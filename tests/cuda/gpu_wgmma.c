/* Our kernels for Hopper beside the one for all devices, layer by layer: the part wgmma. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "gpu_layer.h"

static const char *name_of(enum kz_element element)
{
    return element == KZ_ELEMENT_FP16 ? "fp16" : "bf16";
}

static const struct way {
    const char *name; /* as the engine's */
    bool (*fits)(const kz_conv_task *task);
    void (*run)(kz_gpu *gpu, const kz_conv_task *task);
} ways[] = {{"one", kz_cuda_conv_wgmma_fits, kz_cuda_conv_wgmma},
            {"two", kz_cuda_conv_wgmma_fits, kz_cuda_conv_wgmma_pairs},
            {"march", kz_cuda_conv_march_fits, kz_cuda_conv_march}};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

/* Both kernels must make the same of it, and the last of many runs what the first one made. */
static int compare_way(const struct bench *b, const struct layer *l, const struct way *way,
                       double other, int runs)
{
    const kz_conv_task task = task_of(b, l, b->out);
    char name[100];
    time_kernel(b, way->run, &task, b->out, 1);
    const double first = difference(b, l);
    const double seconds = time_kernel(b, way->run, &task, b->out, runs);
    const double last = difference(b, l);
    const bool ok = is_small(b, first) && last == first;
    printf("{\"kind\":\"wgmma\",\"way\":\"%s\",\"layer\":\"%s\",\"precision\":\"%s\",\"size\":\"%"
           "dx%d\","
           "\"flop\":%.6g,\"seconds\":%.6g,\"other\":%.6g,\"worst\":%.6g,\"last\":%.6g,"
           "\"ok\":%s}\n",
           way->name, name_layer(l, name), name_of(b->element), b->size.width, b->size.height,
           flops_of(b, l), seconds, other, fmin(first, 1e9), fmin(last, 1e9),
           ok ? "true" : "false");
    return ok ? 0 : 1;
}

static int compare_layer(const struct bench *b, const struct layer *l, int runs)
{
    const kz_conv_task task = task_of(b, l, b->expected);
    int failed = 0;
    if (!kz_cuda_conv_wgmma_fits(&task))
        return 0;
    fill_weights(b, l);
    const double other = time_kernel(b, kz_cuda_conv_tensor, &task, b->expected, runs);
    for (int i = 0; i < WAYS; i++)
        if (ways[i].fits(&task))
            failed |= compare_way(b, l, &ways[i], other, runs);
    return failed;
}

/* ---- what there could be ---- */

/* Of so many steps all products are done where twice as many make twice the sums. */
static bool is_doubled(kz_gpu *gpu, int columns, float *there)
{
    const size_t count = (size_t)kz_cuda_peak_blocks(gpu) * KZ_PEAK_THREADS;
    const size_t bytes = count * sizeof(float);
    float *here = taken(2 * count, sizeof(*here));
    bool ok = true, any = false;
    for (int i = 0; i < 2; i++) {
        kz_cuda_peak_wgmma(gpu, columns, i + 1, there);
        kz_gpu_copy_out(gpu, here + (size_t)i * count, (ptrdiff_t)bytes, there, bytes, bytes, 1);
        ok = ok && kz_gpu_wait(gpu) == 0;
    }
    for (size_t i = 0; i < count; i++) {
        ok = ok && here[count + i] == 2 * here[i];
        any = any || here[i] != 0;
    }
    kz_free(here);
    return ok && any;
}

enum { MOST_STEPS = 1 << 24 };

/* Products from shared memory, ever more of them until they take long enough. */
static int measure_peak(kz_gpu *gpu, int columns)
{
    float *sums = room(gpu, (size_t)kz_cuda_peak_blocks(gpu) * KZ_PEAK_THREADS * sizeof(*sums));
    const bool ok = is_doubled(gpu, columns, sums);
    double passed = 0, macs = 0;
    for (int steps = 1; steps < MOST_STEPS && passed < 0.1; steps *= 2) {
        kz_gpu_mark(gpu, 0);
        macs = kz_cuda_peak_wgmma(gpu, columns, steps, sums);
        kz_gpu_mark(gpu, 1);
        if (kz_gpu_wait(gpu))
            stop("products", kz_gpu_error(gpu));
        passed = kz_gpu_between(gpu);
    }
    printf("{\"kind\":\"wgmma peak\",\"columns\":%d,\"flops\":%.6g,\"ok\":%s}\n", columns,
           2 * macs / passed, ok ? "true" : "false");
    kz_gpu_free(gpu, sums);
    return ok ? 0 : 1;
}

/* RUNS SIZE…: at the last size it is about time, at others about borders. */
int part_wgmma(char **arguments, kz_log *log)
{
    static const enum kz_element elements[] = {KZ_ELEMENT_FP16, KZ_ELEMENT_BF16};
    static const int columns[] = {32, 64, 96, 128, 192};
    const int runs = atoi(arguments[0]);
    kz_gpu *gpu;
    int failed = 0;
    if (kz_gpu_open(&gpu, 0, log))
        return NO_DEVICE;
    if (!kz_cuda_conv_wgmma_there(kz_gpu_get_info(gpu))) {
        fprintf(stderr, "only compute capability 9.0 has wgmma\n");
        return NO_DEVICE;
    }
    if (runs < 1)
        stop("not a number of runs", arguments[0]);
    for (int i = 0; i < (int)(sizeof(columns) / sizeof(columns[0])); i++)
        failed |= measure_peak(gpu, columns[i]);
    for (char **size = arguments + 1; *size; size++)
        for (int i = 0; i < 2; i++) {
            struct bench b;
            open_bench(&b, gpu, size_of(*size), elements[i]);
            for (int l = 0; l < LAYERS; l++)
                failed |= compare_layer(&b, &layers[l], size[1] ? 1 : runs);
            close_bench(&b);
        }
    kz_gpu_close(&gpu);
    return failed;
}
