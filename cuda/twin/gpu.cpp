/* A device in host memory. $KIZUNA_TWIN_MEMORY says how many KiB it has (2 GiB), $KIZUNA_TWIN_TAKEN
 * how many of them somebody takes as soon as they are counted. What is asked for is done at once,
 * in order. Device memory is apart from the host's only by being malloc's: the sanitizers see what
 * lies outside. */
#include "cuda/gpu.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
#include "base/mem.h"
#include "base/thread.h"
}

struct lane {
    bool waits;
    void *host;
    ptrdiff_t host_pitch;
    const void *device;
    size_t device_pitch, bytes;
    int rows;
};

struct kz_gpu {
    struct lane lanes[KZ_GPU_LANES];
    kz_gpu_info info;
    size_t left; /* bytes */
    double marks[KZ_GPU_MARKS];
};

int kz_gpu_check(int index, char *why, size_t size)
{
    if (index == 0)
        return 0;
    std::snprintf(why, size, "there is no CUDA device %d: this machine has 1", index);
    return KZ_ERROR_FAILED;
}

static size_t kilobytes(const char *variable, size_t otherwise)
{
    const char *text = std::getenv(variable);
    return (text ? (size_t)std::atol(text) : otherwise) << 10;
}

int kz_gpu_open(kz_gpu **gpu, int index, kz_log *log)
{
    char why[256];
    *gpu = nullptr;
    if (kz_gpu_check(index, why, sizeof(why)))
        return kz_fail(log, KZ_ERROR_FAILED, "cuda: %s", why);
    kz_gpu *g = *gpu = (kz_gpu *)kz_alloc(1, sizeof(*g));
    if (!g)
        return kz_fail_memory(log, "the device");
    std::snprintf(g->info.name, sizeof(g->info.name), "a twin in host memory");
    g->info.major = 8;
    g->info.processors = 4;
    g->info.shared_bytes = 99 << 10;
    g->info.memory = kilobytes("KIZUNA_TWIN_MEMORY", 2 << 20);
    g->left = g->info.memory - kilobytes("KIZUNA_TWIN_TAKEN", 0);
    return 0;
}

void kz_gpu_close(kz_gpu **gpu)
{
    kz_free(*gpu);
    *gpu = nullptr;
}

const kz_gpu_info *kz_gpu_get_info(const kz_gpu *gpu)
{
    return &gpu->info;
}

size_t kz_gpu_free_bytes(kz_gpu *gpu)
{
    return gpu->info.memory;
}

/* The size lies before the block, at its alignment's distance. */
enum { HEAD = 256 };

void *kz_gpu_alloc(kz_gpu *gpu, size_t bytes)
{
    char *block = bytes <= gpu->left ? (char *)kz_alloc_raw(1, bytes + HEAD) : nullptr;
    if (!block)
        return nullptr;
    gpu->left -= bytes;
    std::memcpy(block, &bytes, sizeof(bytes));
    std::memset(block + HEAD, 0xff, bytes); /* NaN: what is read before it is written shows */
    return block + HEAD;
}

void kz_gpu_free(kz_gpu *gpu, void *block)
{
    size_t bytes;
    if (!block)
        return;
    std::memcpy(&bytes, (char *)block - HEAD, sizeof(bytes));
    gpu->left += bytes;
    kz_free((char *)block - HEAD);
}

void *kz_gpu_alloc_host(kz_gpu *, size_t bytes)
{
    return kz_alloc_raw(1, bytes);
}

void kz_gpu_free_host(kz_gpu *, void *block)
{
    kz_free(block);
}

void *kz_gpu_stream(kz_gpu *)
{
    return nullptr;
}

/* Something to tell one by: pretended drivers take anything. */
void *kz_gpu_context(kz_gpu *gpu)
{
    return gpu;
}

void kz_gpu_copy_in(kz_gpu *, void *device, size_t device_pitch, const void *host,
                    ptrdiff_t host_pitch, size_t bytes, int rows)
{
    for (int y = 0; y < rows; y++)
        std::memcpy((char *)device + (size_t)y * device_pitch, (const char *)host + y * host_pitch,
                    bytes);
}

void kz_gpu_copy_out(kz_gpu *, void *host, ptrdiff_t host_pitch, const void *device,
                     size_t device_pitch, size_t bytes, int rows)
{
    for (int y = 0; y < rows; y++)
        std::memcpy((char *)host + y * host_pitch, (const char *)device + (size_t)y * device_pitch,
                    bytes);
}

static void lane_flush(kz_gpu *gpu, int lane)
{
    const struct lane *l = &gpu->lanes[lane];
    if (l->waits)
        kz_gpu_copy_out(gpu, l->host, l->host_pitch, l->device, l->device_pitch, l->bytes, l->rows);
    gpu->lanes[lane].waits = false;
}

/* A lane's block is as it was left until it is opened again: copying is put off until then, or
 * until somebody waits, so that a block that is written too early shows. */
void kz_gpu_lane_open(kz_gpu *gpu, int lane)
{
    lane_flush(gpu, lane);
}

void kz_gpu_lane_close(kz_gpu *, int)
{
}

void kz_gpu_lane_copy_out(kz_gpu *gpu, int lane, void *host, ptrdiff_t host_pitch,
                          const void *device, size_t device_pitch, size_t bytes, int rows)
{
    gpu->lanes[lane] = {true, host, host_pitch, device, device_pitch, bytes, rows};
}

void kz_gpu_copy(kz_gpu *, void *to, const void *from, size_t bytes)
{
    std::memcpy(to, from, bytes);
}

void kz_gpu_clear(kz_gpu *, void *device, size_t bytes)
{
    std::memset(device, 0, bytes);
}

int kz_gpu_wait(kz_gpu *gpu)
{
    for (int i = 0; i < KZ_GPU_LANES; i++)
        lane_flush(gpu, i);
    return 0;
}

const char *kz_gpu_error(const kz_gpu *)
{
    return "";
}

void kz_gpu_mark(kz_gpu *gpu, int mark)
{
    gpu->marks[mark] = kz_now();
}

double kz_gpu_between(kz_gpu *gpu)
{
    return gpu->marks[1] - gpu->marks[0];
}
