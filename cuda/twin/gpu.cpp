/* A device in host memory. $KIZUNA_TWIN_MEMORY says how many KiB it has (2 GiB), $KIZUNA_TWIN_TAKEN
 * how many of them somebody takes as soon as they are counted; $KIZUNA_TWIN_HOPPER makes it one of
 * 9.0, $KIZUNA_TWIN_TURING one of 7.5. Device memory is apart from the host's only by being
 * malloc's: the sanitizers see what lies outside.
 *
 * What is asked for waits in its queue until somebody waits for it, as it may on a real device;
 * only one queue, which changes by chance, is ahead meanwhile, as far as what it has to wait for
 * lets it, or with that. So what isn't waited for, on the host or between queues, is missing, or
 * there too early, and shows. $KIZUNA_TWIN_ORDER (1) draws another order; 0: everything is done at
 * once.
 *
 * A graph is the work that a queue would have got, parameters included; a replay queues it as it
 * was then. $KIZUNA_TWIN_CAPTURES and $KIZUNA_TWIN_REPLAYS say how many of them succeed (all). */
#include "cuda/gpu.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <new>
#include <random>
#include <utility>
#include <vector>

#include "cuda/twin/twin.hpp"

extern "C" {
#include "base/mem.h"
#include "base/thread.h"
}

enum { IN, OUT, SIDES, QUEUES = SIDES + KZ_SIDES };

/* So much of a queue's work. */
struct place {
    int queue;
    size_t count;
};

struct work {
    std::function<void()> run;
    place after; /* that this must be done */
};

struct queue {
    std::deque<work> waiting;
    size_t asked, done;
};

struct lane {
    place worked, copied;
};

struct kz_gpu_graph {
    std::vector<std::function<void()>> work;
};

struct kz_gpu {
    queue queues[QUEUES];
    int side;
    lane lanes[KZ_GPU_LANES];
    size_t ends[2][QUEUES]; /* of the last two batches */
    int batch;              /* of the two, the next to end */
    int pinned;             /* blocks */
    int graphs;             /* that there are */
    kz_gpu_graph *captured; /* what is captured now, or nullptr */
    bool spoilt;
    size_t captures, replays; /* that will succeed */
    size_t launches;
    kz_gpu_info info;
    size_t left, taken; /* bytes; what is taken isn't left, and counts as free */
    double marks[KZ_GPU_MARKS];
    std::mt19937 random;
    bool at_once;
    int ahead;  /* a queue; QUEUES: none */
    bool pulls; /* what that one has to wait for */
};

/* ---- queues ---- */

static void run_first(kz_gpu *gpu, int number)
{
    queue *q = &gpu->queues[number];
    const work first = std::move(q->waiting.front());
    q->waiting.pop_front();
    first.run();
    q->done++;
}

static bool is_done(const kz_gpu *gpu, place p)
{
    return gpu->queues[p.queue].done >= p.count;
}

/* What is needed for that, and nothing else. */
static void reach(kz_gpu *gpu, place p)
{
    while (!is_done(gpu, p)) {
        const place after = gpu->queues[p.queue].waiting.front().after;
        if (is_done(gpu, after))
            run_first(gpu, p.queue);
        else
            reach(gpu, after);
    }
}

static void run_ahead(kz_gpu *gpu)
{
    enum { SELDOM = 8 };
    if (gpu->random() % SELDOM == 0) {
        gpu->ahead = (int)(gpu->random() % (QUEUES + 1));
        gpu->pulls = gpu->random() % 2;
    }
    if (gpu->ahead == QUEUES)
        return;
    const queue *q = &gpu->queues[gpu->ahead];
    while (!q->waiting.empty() && (gpu->pulls || is_done(gpu, q->waiting.front().after))) {
        reach(gpu, q->waiting.front().after);
        run_first(gpu, gpu->ahead);
    }
}

static place end_of(const kz_gpu *gpu, int number)
{
    return {number, gpu->queues[number].asked};
}

static void ask_after(kz_gpu *gpu, int number, place after, std::function<void()> run)
{
    gpu->queues[number].waiting.push_back({std::move(run), after});
    gpu->queues[number].asked++;
    if (gpu->at_once)
        reach(gpu, end_of(gpu, number));
    else
        run_ahead(gpu);
}

static int work_of(const kz_gpu *gpu)
{
    return SIDES + gpu->side;
}

static void ask(kz_gpu *gpu, int number, std::function<void()> run)
{
    if (number >= SIDES && gpu->captured)
        gpu->captured->work.push_back(std::move(run));
    else
        ask_after(gpu, number, {number, 0}, std::move(run));
}

/* None may leave or enter what is captured. */
static void await(kz_gpu *gpu, int number, place after)
{
    if (number >= SIDES && kz_gpu_spoil_capture(gpu))
        return;
    ask_after(gpu, number, after, [] {});
}

void twin::launch(kz_gpu *gpu, std::function<void()> kernel)
{
    ask(gpu, work_of(gpu), std::move(kernel));
}

/* ---- the device ---- */

int kz_gpu_check(int index, char *why, size_t size)
{
    if (index == 0)
        return 0;
    std::snprintf(why, size, "there is no CUDA device %d: this machine has 1", index);
    return KZ_ERROR_FAILED;
}

static size_t number_of(const char *variable, size_t otherwise)
{
    const char *text = std::getenv(variable);
    return text ? (size_t)std::atol(text) : otherwise;
}

int kz_gpu_open(kz_gpu **gpu, int index, kz_log *log)
{
    char why[256];
    *gpu = nullptr;
    if (kz_gpu_check(index, why, sizeof(why)))
        return kz_fail(log, KZ_ERROR_FAILED, "cuda: %s", why);
    kz_gpu *g = *gpu = new (std::nothrow) kz_gpu();
    if (!g)
        return kz_fail_memory(log, "the device");
    std::snprintf(g->info.name, sizeof(g->info.name), "a twin in host memory");
    const bool hopper = std::getenv("KIZUNA_TWIN_HOPPER") != nullptr;
    const bool turing = std::getenv("KIZUNA_TWIN_TURING") != nullptr;
    g->info.major = hopper ? 9 : turing ? 7 : 8;
    g->info.minor = turing ? 5 : 0;
    g->info.processors = 4;
    g->info.shared_bytes = hopper ? 227 << 10 : turing ? 64 << 10 : 99 << 10;
    g->info.memory = number_of("KIZUNA_TWIN_MEMORY", 2 << 20) << 10;
    g->taken = number_of("KIZUNA_TWIN_TAKEN", 0) << 10;
    g->left = g->info.memory - g->taken;
    const size_t order = number_of("KIZUNA_TWIN_ORDER", 1);
    g->random.seed((unsigned)order);
    g->at_once = order == 0;
    g->ahead = QUEUES;
    g->captures = number_of("KIZUNA_TWIN_CAPTURES", SIZE_MAX);
    g->replays = number_of("KIZUNA_TWIN_REPLAYS", SIZE_MAX);
    return 0;
}

void kz_gpu_close(kz_gpu **gpu)
{
    if (*gpu)
        kz_gpu_wait(*gpu);
    if (*gpu && (*gpu)->pinned)
        std::fprintf(stderr, "twin: %d blocks are still pinned\n", (*gpu)->pinned);
    if (*gpu && (*gpu)->graphs)
        std::fprintf(stderr, "twin: %d graphs are still there\n", (*gpu)->graphs);
    delete *gpu;
    *gpu = nullptr;
}

const kz_gpu_info *kz_gpu_get_info(const kz_gpu *gpu)
{
    return &gpu->info;
}

size_t kz_gpu_free_bytes(kz_gpu *gpu)
{
    return gpu->left + gpu->taken;
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
    kz_gpu_wait(gpu);
    std::memcpy(&bytes, (char *)block - HEAD, sizeof(bytes));
    gpu->left += bytes;
    kz_free((char *)block - HEAD);
}

void *kz_gpu_alloc_host(kz_gpu *, size_t bytes)
{
    return kz_alloc_raw(1, bytes);
}

void kz_gpu_free_host(kz_gpu *gpu, void *block)
{
    kz_gpu_wait(gpu);
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

void kz_gpu_take_side(kz_gpu *gpu, int side)
{
    gpu->side = side;
}

int kz_gpu_side(const kz_gpu *gpu)
{
    return gpu->side;
}

void kz_gpu_join(kz_gpu *gpu)
{
    await(gpu, work_of(gpu), end_of(gpu, SIDES + !gpu->side));
}

void *kz_gpu_stream(kz_gpu *)
{
    return nullptr;
}

size_t kz_gpu_launches(const kz_gpu *gpu)
{
    return gpu->launches;
}

void kz_gpu_count_launch(kz_gpu *gpu)
{
    gpu->launches += !gpu->captured;
}

/* Something to tell one by: pretended drivers take anything. */
void *kz_gpu_context(kz_gpu *gpu)
{
    return gpu;
}

/* ---- copies ---- */

static void copy_rows(kz_gpu *gpu, int number, void *to, ptrdiff_t to_pitch, const void *from,
                      ptrdiff_t from_pitch, size_t bytes, int rows)
{
    ask(gpu, number, [=] {
        for (int y = 0; y < rows; y++)
            std::memcpy((char *)to + y * to_pitch, (const char *)from + y * from_pitch, bytes);
    });
}

void kz_gpu_copy_in(kz_gpu *gpu, void *device, size_t device_pitch, const void *host,
                    ptrdiff_t host_pitch, size_t bytes, int rows)
{
    kz_gpu_spoil_capture(gpu);
    copy_rows(gpu, work_of(gpu), device, (ptrdiff_t)device_pitch, host, host_pitch, bytes, rows);
}

void kz_gpu_copy_out(kz_gpu *gpu, void *host, ptrdiff_t host_pitch, const void *device,
                     size_t device_pitch, size_t bytes, int rows)
{
    kz_gpu_spoil_capture(gpu);
    copy_rows(gpu, work_of(gpu), host, host_pitch, device, (ptrdiff_t)device_pitch, bytes, rows);
}

void kz_gpu_lane_open(kz_gpu *gpu, int lane)
{
    await(gpu, work_of(gpu), gpu->lanes[lane].copied);
}

void kz_gpu_lane_close(kz_gpu *gpu, int lane)
{
    kz_gpu_spoil_capture(gpu);
    gpu->lanes[lane].worked = end_of(gpu, work_of(gpu));
}

static void copy_lane(kz_gpu *gpu, int number, int lane, void *to, ptrdiff_t to_pitch,
                      const void *from, ptrdiff_t from_pitch, size_t bytes, int rows)
{
    await(gpu, number, gpu->lanes[lane].worked);
    await(gpu, number, gpu->lanes[lane].copied);
    copy_rows(gpu, number, to, to_pitch, from, from_pitch, bytes, rows);
    gpu->lanes[lane].copied = end_of(gpu, number);
}

void kz_gpu_lane_copy_in(kz_gpu *gpu, int lane, void *device, size_t device_pitch, const void *host,
                         ptrdiff_t host_pitch, size_t bytes, int rows)
{
    copy_lane(gpu, IN, lane, device, (ptrdiff_t)device_pitch, host, host_pitch, bytes, rows);
}

void kz_gpu_lane_copy_out(kz_gpu *gpu, int lane, void *host, ptrdiff_t host_pitch,
                          const void *device, size_t device_pitch, size_t bytes, int rows)
{
    copy_lane(gpu, OUT, lane, host, host_pitch, device, (ptrdiff_t)device_pitch, bytes, rows);
}

void kz_gpu_copy(kz_gpu *gpu, void *to, const void *from, size_t bytes)
{
    ask(gpu, work_of(gpu), [=] { std::memcpy(to, from, bytes); });
}

void kz_gpu_clear(kz_gpu *gpu, void *device, size_t bytes)
{
    ask(gpu, work_of(gpu), [=] { std::memset(device, 0, bytes); });
}

/* ---- waiting ---- */

int kz_gpu_wait(kz_gpu *gpu)
{
    if (kz_gpu_spoil_capture(gpu))
        return KZ_ERROR_FAILED;
    for (int i = 0; i < QUEUES; i++)
        reach(gpu, end_of(gpu, i));
    return 0;
}

void kz_gpu_end_batch(kz_gpu *gpu)
{
    kz_gpu_spoil_capture(gpu);
    for (int i = 0; i < QUEUES; i++)
        gpu->ends[gpu->batch][i] = gpu->queues[i].asked;
    gpu->batch ^= 1;
}

int kz_gpu_wait_batch(kz_gpu *gpu)
{
    if (kz_gpu_spoil_capture(gpu))
        return KZ_ERROR_FAILED;
    for (int i = 0; i < QUEUES; i++)
        reach(gpu, {i, gpu->ends[gpu->batch][i]});
    return 0;
}

const char *kz_gpu_error(const kz_gpu *)
{
    return "";
}

/* ---- graphs ---- */

int kz_gpu_begin_capture(kz_gpu *gpu)
{
    gpu->spoilt = false;
    gpu->captured = new (std::nothrow) kz_gpu_graph();
    gpu->graphs += gpu->captured != nullptr;
    return gpu->captured ? 0 : KZ_ERROR_FAILED;
}

static bool succeeds(size_t *left)
{
    if (*left == 0)
        return false;
    --*left;
    return true;
}

kz_gpu_graph *kz_gpu_end_capture(kz_gpu *gpu)
{
    kz_gpu_graph *graph = std::exchange(gpu->captured, nullptr);
    if (gpu->spoilt || !succeeds(&gpu->captures))
        kz_gpu_close_graph(gpu, &graph);
    return graph;
}

bool kz_gpu_spoil_capture(kz_gpu *gpu)
{
    gpu->spoilt = true;
    return gpu->captured != nullptr;
}

int kz_gpu_replay(kz_gpu *gpu, kz_gpu_graph *graph)
{
    if (!succeeds(&gpu->replays))
        return KZ_ERROR_FAILED;
    for (const auto &one : graph->work)
        ask(gpu, work_of(gpu), one);
    gpu->launches++;
    return 0;
}

void kz_gpu_close_graph(kz_gpu *gpu, kz_gpu_graph **graph)
{
    if (!*graph)
        return;
    kz_gpu_wait(gpu);
    gpu->graphs--;
    delete *graph;
    *graph = nullptr;
}

/* ---- time ---- */

void kz_gpu_mark(kz_gpu *gpu, int mark)
{
    kz_gpu_spoil_capture(gpu);
    ask(gpu, work_of(gpu), [=] { gpu->marks[mark] = kz_now(); });
}

double kz_gpu_between(kz_gpu *gpu)
{
    return gpu->marks[1] - gpu->marks[0];
}
