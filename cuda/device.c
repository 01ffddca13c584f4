#include "cuda/device.h"

#include "base/mem.h"
#include "base/thread.h"

/* Planes on the host are worked on by so many threads. */
static int threads_of(const kz_device_params *params)
{
    return params->threads ? params->threads : kz_cpu_count();
}

static char *line_of(const kz_gpu_info *info)
{
    return kz_asprintf("CUDA, %s, compute capability %d.%d, %.0f GiB", info->name, info->major,
                       info->minor, (double)info->memory / (1 << 30));
}

/* The kernels are compiled for each architecture, and the driver may compile them once more. */
static char *kind_of(const kz_gpu_info *info)
{
    return kz_asprintf("%s %d.%d, driver %d", info->name, info->major, info->minor, info->driver);
}

static void cuda_close(kz_device **device)
{
    kz_device *d = *device;
    if (!d)
        return;
    if (d->gpu) {
        kz_gpu_free(d->gpu, d->scratch);
        kz_gpu_free_host(d->gpu, d->strange);
    }
    kz_axes_close(&d->axes);
    kz_rivals_close(&d->rivals);
    kz_gpu_close(&d->gpu);
    kz_pool_close(&d->pool);
    kz_free(d->line);
    kz_free(d->kind);
    kz_free(d->identity);
    kz_free(d);
    *device = NULL;
}

static int cuda_open(kz_device **device, const kz_device_params *params, kz_log *log)
{
    kz_device *d = *device = kz_alloc(1, sizeof(*d));
    const kz_pool_params pool = {.threads = threads_of(params)};
    if (!d)
        return kz_fail_memory(log, "the device");
    int error = kz_gpu_open(&d->gpu, params->index, log);
    if (!error) {
        d->line = line_of(kz_gpu_get_info(d->gpu));
        d->kind = kind_of(kz_gpu_get_info(d->gpu));
        d->scratch = kz_gpu_alloc(d->gpu, KZ_SCRATCH_BYTES);
        d->strange = kz_gpu_alloc_host(d->gpu, sizeof(*d->strange));
        error = d->line && d->kind ? kz_pool_open(&d->pool, &pool, log)
                                   : kz_fail_memory(log, "the device");
    }
    if (!error && !d->scratch)
        error = kz_fail(log, KZ_ERROR_FAILED, "cuda: %s has no memory left", d->line);
    if (!error && (!d->strange || kz_axes_open(&d->axes, d->gpu, d->scratch, KZ_SCRATCH_BYTES / 2)))
        error = kz_fail_memory(log, "the device");
    if (error)
        cuda_close(device);
    else
        *d->strange = 0;
    return error;
}

static const char *cuda_describe(const kz_device *device)
{
    return device->line;
}

static const char *cuda_identity(const kz_device *device)
{
    return device->identity ? device->identity : device->kind;
}

int kz_cuda_numbers(const kz_device *device)
{
    return *device->strange ? KZ_ERROR_FAILED : 0;
}

/* fp16 alone ends at 65504: bf16 and TF32 go as far as fp32. */
static const char *strange_line(const kz_device *d)
{
    if (d->precision != KZ_PRECISION_FP16)
        return "what it makes is no number";
    return kz_gpu_get_info(d->gpu)->major < 8
               ? "its values are too large for fp16: choose --precision fp32"
               : "its values are too large for fp16: choose --precision tf32, bf16 or fp32";
}

static const char *cuda_error(const kz_device *device)
{
    const char *why = kz_gpu_error(device->gpu);
    return *why || !kz_cuda_numbers(device) ? why : strange_line(device);
}

static int cuda_threads(const kz_device *device)
{
    return kz_pool_threads(device->pool);
}

/* The rest is for what others of the process, and CUDA itself, take in the meantime. */
static size_t cuda_room(const kz_device *device)
{
    return kz_gpu_free_bytes(device->gpu) / 10 * 9;
}

/* What the host's part computes is the same on every CPU. */
static enum kz_cpu_level cuda_level(const kz_device *device)
{
    (void)device;
    return KZ_CPU_BASELINE;
}

enum { MOST_STEPS = 1 << 24 };

/* Ever more products at once, until they take long enough: the last ones tell. */
static double cuda_peak(kz_device *device, enum kz_precision precision, double seconds)
{
    const bool fp16 = precision == KZ_PRECISION_FP16;
    const enum kz_element element = precision == KZ_PRECISION_TF32   ? KZ_ELEMENT_FP32
                                    : precision == KZ_PRECISION_BF16 ? KZ_ELEMENT_BF16
                                                                     : KZ_ELEMENT_FP16;
    if (precision == KZ_PRECISION_FP32 || (!fp16 && kz_gpu_get_info(device->gpu)->major < 8))
        return 0;
    const size_t threads = (size_t)kz_cuda_peak_blocks(device->gpu) * KZ_PEAK_THREADS;
    float *sums = kz_gpu_alloc(device->gpu, threads * sizeof(*sums));
    double passed = 0, rate = 0;
    for (int steps = 1; sums && steps < MOST_STEPS && passed < seconds / 4; steps *= 2) {
        kz_gpu_mark(device->gpu, 0);
        const double macs = kz_cuda_peak(device->gpu, element, steps, sums);
        kz_gpu_mark(device->gpu, 1);
        if (kz_gpu_wait(device->gpu))
            break;
        passed = kz_gpu_between(device->gpu);
        rate = passed > 0 ? macs / passed : 0;
    }
    kz_gpu_free(device->gpu, sums);
    return rate;
}

enum { COPY_BYTES = 256 << 20, MOST_COPIES = 1000 };

static double cuda_bandwidth(kz_device *device, double seconds)
{
    char *block = kz_gpu_alloc(device->gpu, 2 * (size_t)COPY_BYTES);
    double passed = 0, bytes = 0;
    for (int i = 0; block && i < MOST_COPIES && passed < seconds; i++) {
        kz_gpu_mark(device->gpu, 0);
        kz_gpu_copy(device->gpu, block, block + COPY_BYTES, COPY_BYTES);
        kz_gpu_mark(device->gpu, 1);
        if (kz_gpu_wait(device->gpu))
            break;
        passed += kz_gpu_between(device->gpu);
        bytes += 2.0 * COPY_BYTES;
    }
    kz_gpu_free(device->gpu, block);
    return passed > 0 ? bytes / passed : 0;
}

static void cuda_each(kz_device *device, int items,
                      void (*run)(void *context, int worker, int item), void *context)
{
    kz_pool_run(device->pool, items, run, context);
}

static void *cuda_context(kz_device *device)
{
    return kz_gpu_context(device->gpu);
}

static void cuda_end_picture(kz_device *device)
{
    kz_gpu_end_batch(device->gpu);
    if (!device->one_sided)
        kz_gpu_take_side(device->gpu, (kz_gpu_side(device->gpu) + 1) % KZ_SIDES);
}

static int cuda_wait(kz_device *device, int left)
{
    const int error = left ? kz_gpu_wait_batch(device->gpu) : kz_gpu_wait(device->gpu);
    return error ? error : kz_cuda_numbers(device);
}

static void cuda_pin(kz_device *device, void *block, size_t bytes)
{
    kz_gpu_pin(device->gpu, block, bytes);
}

static void cuda_unpin(kz_device *device, void *block)
{
    kz_gpu_unpin(device->gpu, block);
}

const kz_backend kz_backend_cuda = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .describe = cuda_describe,
    .threads = cuda_threads,
    .room = cuda_room,
    .level = cuda_level,
    .identity = cuda_identity,
    .compile = kz_cuda_compile,
    .close_plan = kz_cuda_close_plan,
    .info = kz_cuda_info,
    .need = kz_cuda_need,
    .run = kz_cuda_run,
    .error = cuda_error,
    .layers = kz_cuda_layers,
    .peak = cuda_peak,
    .bandwidth = cuda_bandwidth,
    .each = cuda_each,
    .context = cuda_context,
    .pin = cuda_pin,
    .unpin = cuda_unpin,
    .scale = kz_cuda_scale,
    .end_picture = cuda_end_picture,
    .wait = cuda_wait,
    .open_canvas = kz_cuda_open_canvas,
    .close_canvas = kz_cuda_close_canvas,
    .scale_canvas = kz_cuda_scale_canvas,
};
