/* Convolutions without tensor cores, in fp32: any shape, and the last one, which makes one channel
 * of many. */
#ifndef KZ_CUDA_KERNELS_CONV_PLAIN_CUH
#define KZ_CUDA_KERNELS_CONV_PLAIN_CUH

#include "cuda/kernels/element.cuh"

namespace conv_plain
{
enum { THREADS = 128, OUTPUTS = 8 };

/* What a thread makes: OUTPUTS channels of one pixel of the input's size. */
struct place {
    int x, y, channel, phase_x, phase_y;
};

KZ_DEVICE bool find_place(const kz_conv_task &p, place *at)
{
    const int groups = (p.out.channels + OUTPUTS - 1) / OUTPUTS;
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    const size_t pixel = i / (size_t)groups;
    at->channel = (int)(i % (size_t)groups) * OUTPUTS;
    at->x = (int)(pixel % (size_t)p.in.width);
    at->y = (int)(pixel / (size_t)p.in.width);
    at->phase_x = (int)blockIdx.z % 2;
    at->phase_y = (int)blockIdx.z / 2;
    return at->y < p.in.height;
}

/* Packed weights: [phase][tap][in channel][out channel, rounded up to OUTPUTS]. */
KZ_DEVICE void add_products(const kz_conv_task &p, const place &at, float sums[OUTPUTS])
{
    const int width = (p.out.channels + OUTPUTS - 1) / OUTPUTS * OUTPUTS;
    const float *w = (const float *)p.weights + at.channel +
                     (size_t)blockIdx.z * (size_t)(p.kernel * p.kernel * p.in.channels * width);
    for (int tap = 0; tap < p.kernel * p.kernel; tap++) {
        const int x = at.x + tap % p.kernel - p.pad_left + at.phase_x;
        const int y = at.y + tap / p.kernel - p.pad_top + at.phase_y;
        if (x < 0 || x >= p.in.width || y < 0 || y >= p.in.height) {
            w += (size_t)p.in.channels * (size_t)width;
            continue;
        }
        const size_t from = kz_element_at(p.in, x, y, 0);
        for (int c = 0; c < p.in.channels; c++, w += width) {
            const float value = kz_read(p.in, from + (size_t)c);
#pragma unroll
            for (int i = 0; i < OUTPUTS; i++)
                sums[i] += w[i] * value;
        }
    }
}

KZ_DEVICE void finish(const kz_conv_task &p, int x, int y, int channel, float sum)
{
    float value = kz_activate(p.slopes, channel, sum + p.bias[channel]);
    for (int r = 0; r < p.n_residuals; r++)
        value += p.coefs[r] * kz_read(p.residuals[r], kz_element_at(p.residuals[r], x, y, channel));
    kz_write(p.out, kz_element_at(p.out, x, y, channel), value);
}

KZ_KERNEL void __launch_bounds__(THREADS) run(const kz_conv_task p)
{
    const int steps = p.phases ? 2 : 1;
    float sums[OUTPUTS] = {0};
    place at;
    if (!find_place(p, &at))
        return;
    add_products(p, at, sums);
    for (int i = 0; i < OUTPUTS && at.channel + i < p.out.channels; i++)
        finish(p, at.x * steps + at.phase_x, at.y * steps + at.phase_y, at.channel + i, sums[i]);
}
} // namespace conv_plain

/* One channel out: a block makes 32 × ROWS pixels. Eight channels of its pixels, halo included, are
 * in shared memory at a time, as in conv_tensor.cuh: read there nine times, and once from L2. */
namespace conv_last
{
enum { COLUMNS = 32, ROWS = 8, ACROSS = COLUMNS + 2, DOWN = ROWS + 2 };

KZ_DEVICE void fetch(const kz_conv_task &p, int x0, int y0, int channel, uint4 *to)
{
    const int thread = (int)(threadIdx.y * COLUMNS + threadIdx.x);
    for (int i = thread; i < ACROSS * DOWN; i += COLUMNS * ROWS) {
        const int x = x0 + i % ACROSS - 1, y = y0 + i / ACROSS - 1;
        const bool there = x >= 0 && x < p.in.width && y >= 0 && y < p.in.height;
        uint4 zero = {0, 0, 0, 0};
        to[i] =
            there
                ? *(const uint4 *)((const kz_fp16 *)p.in.data + kz_element_at(p.in, x, y, channel))
                : zero;
    }
}

/* Packed weights: [tap][in channel][8], of which the first is used. */
template <class T>
KZ_DEVICE float add_products(const kz_conv_task &p, int channel, const uint4 *from, float sum)
{
    for (int tap = 0; tap < 9; tap++) {
        union {
            uint4 all;
            T each[8];
        } u;
        u.all = from[((int)threadIdx.y + tap / 3) * ACROSS + (int)threadIdx.x + tap % 3];
        const float *w = (const float *)p.weights +
                         (size_t)(tap * p.in.channels + channel) * conv_plain::OUTPUTS;
#pragma unroll
        for (int c = 0; c < 8; c++)
            sum += w[c * conv_plain::OUTPUTS] * kz_float(u.each[c]);
    }
    return sum;
}

template <class T> KZ_KERNEL void __launch_bounds__(COLUMNS *ROWS) run(const kz_conv_task p)
{
    KZ_SHARED(shared);
    uint4 *const pixels = (uint4 *)shared;
    const int x0 = (int)blockIdx.x * COLUMNS, y0 = (int)blockIdx.y * ROWS;
    const int x = x0 + (int)threadIdx.x, y = y0 + (int)threadIdx.y;
    float sum = 0;
    for (int channel = 0; channel < p.in.channels; channel += 8) {
        fetch(p, x0, y0, channel, pixels);
        __syncthreads();
        sum = add_products<T>(p, channel, pixels, sum);
        __syncthreads();
    }
    if (x < p.in.width && y < p.in.height)
        conv_plain::finish(p, x, y, 0, sum);
}
} // namespace conv_last

#endif
