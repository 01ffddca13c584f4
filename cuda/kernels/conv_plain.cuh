/* Convolutions of any shape without tensor cores, in fp32. */
#ifndef KZ_CUDA_KERNELS_CONV_PLAIN_CUH
#define KZ_CUDA_KERNELS_CONV_PLAIN_CUH

#include "cuda/kernels/conv_last.cuh"

namespace conv_plain
{
using conv_last::finish;
using conv_last::OUTPUTS;

enum { THREADS = 128 };

/* What a thread makes: OUTPUTS channels of one pixel of the input's size. */
struct place {
    int width, height; /* of its tile, in the input's pixels */
    size_t before;     /* pixels of the input before the tile */
    int x, y, channel, phase_x, phase_y;
};

KZ_DEVICE bool find_place(const kz_conv_task &p, const kz_blocks &blocks, place *at)
{
    const kz_block_tile &tile = blocks.tiles[kz_block_find(blocks)];
    const int groups = (p.out.channels + OUTPUTS - 1) / OUTPUTS;
    const size_t i = (size_t)(blockIdx.x - tile.begin) * THREADS + threadIdx.x;
    const size_t pixel = i / (size_t)groups;
    at->width = tile.width;
    at->height = tile.height;
    at->before = kz_pixels_before(p.in, tile);
    at->channel = (int)(i % (size_t)groups) * OUTPUTS;
    at->x = (int)(pixel % (size_t)tile.width);
    at->y = (int)(pixel / (size_t)tile.width);
    at->phase_x = (int)blockIdx.z % 2;
    at->phase_y = (int)blockIdx.z / 2;
    return at->y < tile.height;
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
        if (x < 0 || x >= at.width || y < 0 || y >= at.height) {
            w += (size_t)p.in.channels * (size_t)width;
            continue;
        }
        const size_t pixel = at.before + (size_t)y * (size_t)at.width + (size_t)x;
        const size_t from = kz_element_of(p.in, pixel, 0);
        for (int c = 0; c < p.in.channels; c++, w += width) {
            const float value = kz_read(p.in, from + (size_t)c);
#pragma unroll
            for (int i = 0; i < OUTPUTS; i++)
                sums[i] += w[i] * value;
        }
    }
}

KZ_KERNEL void __launch_bounds__(THREADS)
    run(const KZ_PARAMETER kz_conv_task p, const KZ_PARAMETER kz_blocks blocks)
{
    const int steps = p.phases ? 2 : 1;
    float sums[OUTPUTS] = {0};
    place at;
    if (!find_place(p, blocks, &at))
        return;
    add_products(p, at, sums);
    const size_t pixel = at.before * (size_t)(steps * steps) +
                         (size_t)(at.y * steps + at.phase_y) * (size_t)(at.width * steps) +
                         (size_t)(at.x * steps + at.phase_x);
    for (int i = 0; i < OUTPUTS && at.channel + i < p.out.channels; i++)
        finish(p, pixel, at.channel + i, sums[i]);
}
} // namespace conv_plain

#endif
