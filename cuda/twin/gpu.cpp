/* A device in host memory. $KIZUNA_TWIN_MEMORY says how many KiB it has (2 GiB), $KIZUNA_TWIN_TAKEN
 * how many of them somebody takes as soon as they are counted; $KIZUNA_TWIN_HOPPER makes it one of
 * 9.0. What is asked for is done at once,
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
    int batch;
    void *host;
    ptrdiff_t host_pitch;
    const void *device;
    size_t device_pitch, bytes;
    int rows;
};

/* A copy to the host that hasn't arrived, with what the device had when it was asked for. */
struct late {
    struct late *next;
    int batch;
    char *rows_of; /* side by side */
    void *host;
    ptrdiff_t host_pitch;
    size_t bytes;
    int rows;
};

struct kz_gpu {
    struct lane lanes[KZ_GPU_LANES];
    struct late *first, **last; /* in order */
    int batch;                  /* under way */
    int pinned;                 /* blocks */
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
    const bool hopper = std::getenv("KIZUNA_TWIN_HOPPER") != nullptr;
    g->info.major = hopper ? 9 : 8;
    g->info.processors = 4;
    g->info.shared_bytes = hopper ? 227 << 10 : 99 << 10;
    g->info.memory = kilobytes("KIZUNA_TWIN_MEMORY", 2 << 20);
    g->left = g->info.memory - kilobytes("KIZUNA_TWIN_TAKEN", 0);
    g->last = &g->first;
    return 0;
}

static void arrive(kz_gpu *gpu, int batch);

void kz_gpu_close(kz_gpu **gpu)
{
    if (*gpu)
        arrive(*gpu, (*gpu)->batch + 1);
    if (*gpu && (*gpu)->pinned)
        std::fprintf(stderr, "twin: %d blocks are still pinned\n", (*gpu)->pinned);
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

void kz_gpu_pin(kz_gpu *gpu, void *, size_t)
{
    __sync_fetch_and_add(&gpu->pinned, 1);
}

void kz_gpu_unpin(kz_gpu *gpu, void *)
{
    __sync_fetch_and_sub(&gpu->pinned, 1);
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

static void copy_rows(void *to, ptrdiff_t to_pitch, const void *from, ptrdiff_t from_pitch,
                      size_t bytes, int rows)
{
    for (int y = 0; y < rows; y++)
        std::memcpy((char *)to + y * to_pitch, (const char *)from + y * from_pitch, bytes);
}

/* What comes to the host is there when somebody has waited, and not before: who doesn't wait shows.
 */
void kz_gpu_copy_out(kz_gpu *gpu, void *host, ptrdiff_t host_pitch, const void *device,
                     size_t device_pitch, size_t bytes, int rows)
{
    struct late *l = (struct late *)kz_alloc(1, sizeof(*l));
    char *copy = (char *)kz_alloc_raw((size_t)rows, bytes);
    if (!l || !copy)
        std::abort();
    copy_rows(copy, (ptrdiff_t)bytes, device, (ptrdiff_t)device_pitch, bytes, rows);
    *l = {nullptr, gpu->batch, copy, host, host_pitch, bytes, rows};
    *gpu->last = l;
    gpu->last = &l->next;
}

/* Those of batches before this one. */
static void arrive(kz_gpu *gpu, int batch)
{
    while (gpu->first && gpu->first->batch < batch) {
        struct late *l = gpu->first;
        copy_rows(l->host, l->host_pitch, l->rows_of, (ptrdiff_t)l->bytes, l->bytes, l->rows);
        gpu->first = l->next;
        kz_free(l->rows_of);
        kz_free(l);
    }
    if (!gpu->first)
        gpu->last = &gpu->first;
}

static void lane_flush(kz_gpu *gpu, int lane)
{
    const struct lane *l = &gpu->lanes[lane];
    if (l->waits)
        copy_rows(l->host, l->host_pitch, l->device, (ptrdiff_t)l->device_pitch, l->bytes, l->rows);
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
    gpu->lanes[lane] = {true, gpu->batch, host, host_pitch, device, device_pitch, bytes, rows};
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
    arrive(gpu, gpu->batch + 1);
    return 0;
}

void kz_gpu_end_batch(kz_gpu *gpu)
{
    gpu->batch++;
}

int kz_gpu_wait_batch(kz_gpu *gpu)
{
    const int last = gpu->batch - 1;
    for (int i = 0; i < KZ_GPU_LANES; i++)
        if (gpu->lanes[i].batch < last)
            lane_flush(gpu, i);
    arrive(gpu, last);
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
