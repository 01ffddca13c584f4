/* One CUDA device: memory, two streams of work, of which one at a time is asked, and two more on
 * which pictures come and go meanwhile. Two implementations: gpu.cu on the CUDA runtime,
 * twin/gpu.cpp in host memory for tests. Thread-safe as kz_device is: one caller at a time. */
#ifndef KZ_CUDA_GPU_H
#define KZ_CUDA_GPU_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"

typedef struct kz_gpu kz_gpu;

typedef struct kz_gpu_info {
    char name[256];
    int major, minor;    /* compute capability */
    int processors;      /* streaming multiprocessors */
    int shared_bytes;    /* that a block may have at most */
    int driver, runtime; /* versions as CUDA writes them: 13020 is 13.2 */
    size_t memory;       /* bytes in all */
} kz_gpu_info;

/* Whether device `index` can be used: 0, or KZ_ERROR_FAILED with a few words why not. */
int kz_gpu_check(int index, char *why, size_t size);

/* 0, KZ_ERROR_MEMORY or KZ_ERROR_FAILED (reported). */
int kz_gpu_open(kz_gpu **gpu, int index, kz_log *log);
void kz_gpu_close(kz_gpu **gpu); /* NULL is legal */
const kz_gpu_info *kz_gpu_get_info(const kz_gpu *gpu);

/* Bytes of the device's memory that are free now. */
size_t kz_gpu_free_bytes(kz_gpu *gpu);

enum { KZ_GPU_ALIGNMENT = 256 }; /* bytes */

/* What lies behind so many begins as kz_gpu_alloc()'s blocks do. */
static inline size_t kz_gpu_aligned(size_t bytes)
{
    return (bytes + KZ_GPU_ALIGNMENT - 1) / KZ_GPU_ALIGNMENT * KZ_GPU_ALIGNMENT;
}

/* Device memory, aligned, not cleared; NULL when it is short. */
void *kz_gpu_alloc(kz_gpu *gpu, size_t bytes);
void kz_gpu_free(kz_gpu *gpu, void *block); /* NULL is legal; waits as kz_gpu_wait() */

/* Host memory that the device copies from and to at full speed, and that kernels reach, too; NULL
 * when it is short. */
void *kz_gpu_alloc_host(kz_gpu *gpu, size_t bytes);
void kz_gpu_free_host(kz_gpu *gpu, void *block);

/* Makes memory of the host's such memory, and that undone: where it can't be, it stays ordinary.
 * kz_gpu_unpin() is thread-safe. */
void kz_gpu_pin(kz_gpu *gpu, void *block, size_t bytes);
void kz_gpu_unpin(kz_gpu *gpu, void *block);

/* "The stream" is that of the side taken last, at first 0. Each does its work in order; what one
 * does nothing orders beside the other's but kz_gpu_join(), lanes and waiting. */
enum { KZ_SIDES = 2 };
void kz_gpu_take_side(kz_gpu *gpu, int side);
int kz_gpu_side(const kz_gpu *gpu);

/* What the other side was asked for so far is done before what this one is asked for from here
 * on. */
void kz_gpu_join(kz_gpu *gpu);

/* The stream, a cudaStream_t, that kernels are launched on. */
void *kz_gpu_stream(kz_gpu *gpu);

/* What the host has launched so far: kernels of ours, which kz_launch() counts, but for those that
 * are captured, and graphs, of which each replay is one launch. */
size_t kz_gpu_launches(const kz_gpu *gpu);
void kz_gpu_count_launch(kz_gpu *gpu);

/* The device's primary context, a CUcontext; NULL: the driver doesn't give it. */
void *kz_gpu_context(kz_gpu *gpu);

/* On the stream, in order with kernels: `rows` rows of `bytes`, which lie `pitch` apart. Host
 * memory must stay as it is until kz_gpu_wait(). */
void kz_gpu_copy_in(kz_gpu *gpu, void *device, size_t device_pitch, const void *host,
                    ptrdiff_t host_pitch, size_t bytes, int rows);
void kz_gpu_copy_out(kz_gpu *gpu, void *host, ptrdiff_t host_pitch, const void *device,
                     size_t device_pitch, size_t bytes, int rows);
/* Within the device. */
void kz_gpu_copy(kz_gpu *gpu, void *to, const void *from, size_t bytes);
void kz_gpu_clear(kz_gpu *gpu, void *device, size_t bytes);

/* A lane is a block of device memory that kernels and copies beside the stream use in turns: of
 * two, the one is copied while the stream works on the other. What a picture begins with has lanes
 * of its side's own: it would wait for the picture before. */
enum {
    KZ_LANES = 2,
    KZ_LANES_OF_SIDES = KZ_LANES * KZ_SIDES,
    KZ_LANE_TILES_IN = 0,                                     /* the first of KZ_LANES_OF_SIDES */
    KZ_LANE_TILES_OUT = KZ_LANE_TILES_IN + KZ_LANES_OF_SIDES, /* of KZ_LANES */
    KZ_LANE_SCALING = KZ_LANE_TILES_OUT + KZ_LANES,           /* of KZ_LANES_OF_SIDES */
    KZ_GPU_LANES = KZ_LANE_SCALING + KZ_LANES_OF_SIDES
};

/* From here on the stream may read and write the block: what was copied before is done. */
void kz_gpu_lane_open(kz_gpu *gpu, int lane);
/* What the stream has got so far is done before the block is copied again. */
void kz_gpu_lane_close(kz_gpu *gpu, int lane);

/* As kz_gpu_copy_in() and _out(), beside the stream, while the lane isn't open: after what it was
 * closed with and what was copied before. */
void kz_gpu_lane_copy_in(kz_gpu *gpu, int lane, void *device, size_t device_pitch, const void *host,
                         ptrdiff_t host_pitch, size_t bytes, int rows);
void kz_gpu_lane_copy_out(kz_gpu *gpu, int lane, void *host, ptrdiff_t host_pitch,
                          const void *device, size_t device_pitch, size_t bytes, int rows);

/* Waits until all that was asked for is done. 0, or KZ_ERROR_FAILED when any of it failed, now and
 * ever after (kz_gpu_error() says why). */
int kz_gpu_wait(kz_gpu *gpu);

/* What was asked for so far makes a batch; waits as kz_gpu_wait() does, for all batches but the
 * last. */
void kz_gpu_end_batch(kz_gpu *gpu);
int kz_gpu_wait_batch(kz_gpu *gpu);

/* A CUDA graph: what the stream was asked for once, to be asked for again in one launch. */
typedef struct kz_gpu_graph kz_gpu_graph;

/* From here to kz_gpu_end_capture(), by the same thread, kernels, kz_gpu_copy() and kz_gpu_clear()
 * are written down with their parameters, and not run. Nothing else may be asked for. 0, or
 * KZ_ERROR_FAILED: nothing has begun (not reported). */
int kz_gpu_begin_capture(kz_gpu *gpu);
/* NULL: what was asked for can't be replayed (not reported). None of it was run, and the device
 * goes on as if it had not been asked for. */
kz_gpu_graph *kz_gpu_end_capture(kz_gpu *gpu);
/* What is being captured won't be replayed, as after kz_gpu_wait(), which fails meanwhile. False:
 * nothing is being captured. */
bool kz_gpu_spoil_capture(kz_gpu *gpu);
/* On the stream. 0, or KZ_ERROR_FAILED: it can't be launched (not reported). */
int kz_gpu_replay(kz_gpu *gpu, kz_gpu_graph *graph);
/* Waits as kz_gpu_free() does; NULL is legal. */
void kz_gpu_close_graph(kz_gpu *gpu, kz_gpu_graph **graph);

/* The first failure in CUDA's words; "" where there was none. */
const char *kz_gpu_error(const kz_gpu *gpu);

/* Seconds that the stream has worked between two marks; kz_gpu_wait() first. */
enum { KZ_GPU_MARKS = 2 };
void kz_gpu_mark(kz_gpu *gpu, int mark);
double kz_gpu_between(kz_gpu *gpu);

#ifdef __cplusplus
}
#endif

#endif
