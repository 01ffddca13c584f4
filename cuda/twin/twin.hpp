/* The GPU's side of a kernel on the host, for tests: one fiber per CUDA thread, in warps, so that
 * barriers and what the lanes of a warp do together are real, and the sanitizers see every access.
 * The order of warps and lanes changes at each barrier; shared memory begins as NaN and ends where
 * it ends. What is asynchronous a thread does at once or when it is waited for, by chance. A
 * barrier that not all threads reach ends the program. Not thread-safe. */
#ifndef KZ_CUDA_TWIN_TWIN_HPP
#define KZ_CUDA_TWIN_TWIN_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "cuda/gpu.h"

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

struct uint4 {
    unsigned x, y, z, w;
};

namespace twin
{
enum { LANES = 32, SLOT_BYTES = 64 };

struct thread_state {
    dim3 grid, block, block_index, index;
    void *shared;
};

/* Of the running fiber. */
const thread_state &self();

void block_barrier();
void warp_barrier();

/* What the lanes of this warp hand each other: SLOT_BYTES for each. */
void *slot(unsigned lane);

/* What a thread asks for and goes on: groups are done in order. Until then nothing else may be
 * asked for that changes a part of `changes` (none: 0 bytes), but what changes just the same. */
enum queue { COPIES, PRODUCTS, QUEUES };
struct span {
    const void *begin;
    size_t bytes;
};
void later(enum queue queue, span changes, std::function<void()> what);
void close_group(enum queue queue);
void wait_groups(enum queue queue, size_t left);
void wait_all(enum queue queue); /* with what is in no group yet */

[[noreturn]] void fail(const char *what);

/* Runs the kernel after what was asked for on the device's stream. */
void launch(kz_gpu *gpu, std::function<void()> kernel);

/* Runs the body for every thread of the grid. */
void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body);
} // namespace twin

#define blockIdx (twin::self().block_index)
#define threadIdx (twin::self().index)
#define blockDim (twin::self().block)
#define gridDim (twin::self().grid)
#define __syncthreads twin::block_barrier
#define __syncwarp twin::warp_barrier
#define __launch_bounds__(...)

#endif
