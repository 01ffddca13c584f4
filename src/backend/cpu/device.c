#include <dlfcn.h>

#include <dnnl.h>

#include "backend/cpu/net.h"
#include "backend/cpu/pointwise.h"
#include "base/mem.h"

/* oneDNN may be built on one OpenMP runtime, another, or none: ask the process, not the build. */
int kz_cpu_set_library_threads(int threads)
{
    int (*get)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    int before = get ? get() : 1;
    if (set)
        set(threads);
    return before;
}

static void start_worker(int worker)
{
    (void)worker;
    kz_cpu_set_library_threads(1);
}

const kz_pointwise *kz_pointwise_for(enum kz_cpu_level level)
{
#if defined(__x86_64__)
    if (level >= KZ_CPU_AVX512)
        return &kz_pointwise_avx512;
    if (level >= KZ_CPU_AVX2)
        return &kz_pointwise_avx2;
#endif
    (void)level;
    return &kz_pointwise_baseline;
}

/* oneDNN has one level per process, fixed by its first use; so a lower one can be asked for only
 * before that. */
static int limit_library(enum kz_cpu_level level, kz_log *log)
{
#if defined(__x86_64__)
    static const dnnl_cpu_isa_t isa[] = {dnnl_cpu_isa_sse41, dnnl_cpu_isa_avx2,
                                         dnnl_cpu_isa_avx512_core, dnnl_cpu_isa_avx512_core_bf16,
                                         dnnl_cpu_isa_all};
    if (level == kz_cpu_detect())
        return 0;
    dnnl_set_max_cpu_isa(isa[level]);
    if ((dnnl_get_effective_cpu_isa() & ~isa[level]) == 0)
        return 0;
    return kz_fail(log, KZ_ERROR_FAILED, "oneDNN already runs above CPU level %s in this process",
                   kz_cpu_level_name(level));
#else
    (void)level;
    (void)log;
    return 0;
#endif
}

static int cpu_open(kz_device **device, const kz_device_params *params, kz_log *log)
{
    enum kz_cpu_level most = kz_cpu_detect();
    enum kz_cpu_level level = params->level < most ? params->level : most;
    char *what = kz_asprintf("CPU, level %s", kz_cpu_level_name(level));
    kz_host_params host = {.ops = &kz_cpu_net_ops,
                           .level = level,
                           .marches = true,
                           .start = start_worker,
                           .what = what};
    int error = what ? limit_library(level, log) : kz_fail_memory(log, "the device");
    if (!error)
        error = kz_host_open(device, params, &host, log);
    kz_free(what);
    return error;
}

const kz_backend kz_backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = kz_host_close,
    .describe = kz_host_describe,
    .threads = kz_host_threads,
    .room = kz_host_room,
    .level = kz_host_level,
    .compile = kz_host_compile,
    .close_plan = kz_host_close_plan,
    .info = kz_host_info,
    .need = kz_host_need,
    .run = kz_host_run,
    .layers = kz_host_layers,
    .peak = kz_host_peak,
    .bandwidth = kz_host_bandwidth,
    .each = kz_host_each,
    .scale = kz_host_scale,
    .open_canvas = kz_host_open_canvas,
    .close_canvas = kz_host_close_canvas,
    .scale_canvas = kz_host_scale_canvas,
};
