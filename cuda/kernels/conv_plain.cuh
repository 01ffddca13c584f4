/* Convolutions without tensor cores, in fp32: any shape, and the last one, which makes one channel
 * of many. */
#ifndef KZ_CUDA_KERNELS_CONV_PLAIN_CUH
#define KZ_CUDA_KERNELS_CONV_PLAIN_CUH

#include "cuda/kernels/batch.cuh"
#include "cuda/kernels/element.cuh"

namespace conv_plain
{
enum { THREADS = 128, OUTPUTS = 8 };

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

/* `pixel` is the output's number. */
KZ_DEVICE void finish(const kz_conv_task &p, size_t pixel, int channel, float sum)
{
    float value = kz_activate(p.slopes, channel, sum + p.bias[channel]);
    for (int r = 0; r < p.n_residuals; r++)
        value +=
            p.coefs[r] * kz_read(p.residuals[r], kz_element_of(p.residuals[r], pixel, channel));
    kz_write(p.out, kz_element_of(p.out, pixel, channel), value);
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

/* One channel out: a block makes 32 × ROWS pixels. Eight channels of its pixels, halo included, are
 * in shared memory at a time, as in conv_tensor.cuh: read there nine times, and once from L2. */
namespace conv_last
{
enum { COLUMNS = 32, ROWS = 8, ACROSS = COLUMNS + 2, DOWN = ROWS + 2 };

struct place {
    int x, y;          /* the block's first pixel in its tile */
    int width, height; /* of the tile */
    size_t before;     /* pixels before the tile */
};

KZ_DEVICE place find_place(const kz_conv_task &p, const kz_blocks &blocks)
{
    const kz_block_tile &tile = blocks.tiles[kz_block_find(blocks)];
    const kz_corner corner = kz_block_corner(tile, COLUMNS, ROWS);
    return {corner.x, corner.y, tile.width, tile.height, kz_pixels_before(p.in, tile)};
}

KZ_DEVICE size_t pixel_at(const place &at, int x, int y)
{
    return at.before + (size_t)y * (size_t)at.width + (size_t)x;
}

KZ_DEVICE void fetch(const kz_conv_task &p, const place *there, int channel, uint4 *to)
{
    const place at = *there;
    const int thread = (int)(threadIdx.y * COLUMNS + threadIdx.x);
    for (int i = thread; i < ACROSS * DOWN; i += COLUMNS * ROWS) {
        const int x = at.x + i % ACROSS - 1, y = at.y + i / ACROSS - 1;
        const bool inside = x >= 0 && x < at.width && y >= 0 && y < at.height;
        const kz_fp16 *in = (const kz_fp16 *)p.in.data;
        uint4 zero = {0, 0, 0, 0};
        to[i] =
            inside ? *(const uint4 *)(in + kz_element_of(p.in, pixel_at(at, x, y), channel)) : zero;
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

template <class T>
KZ_KERNEL void __launch_bounds__(COLUMNS *ROWS)
    run(const KZ_PARAMETER kz_conv_task p, const KZ_PARAMETER kz_blocks blocks)
{
    KZ_SHARED(shared);
    uint4 *const pixels = (uint4 *)shared;
    place *const there = (place *)(pixels + ACROSS * DOWN);
    float sum = 0;
    if (threadIdx.x == 0 && threadIdx.y == 0)
        *there = find_place(p, blocks);
    __syncthreads();
    for (int channel = 0; channel < p.in.channels; channel += 8) {
        fetch(p, there, channel, pixels);
        __syncthreads();
        sum = add_products<T>(p, channel, pixels, sum);
        __syncthreads();
    }
    const place at = *there;
    const int x = at.x + (int)threadIdx.x, y = at.y + (int)threadIdx.y;
    if (x < at.width && y < at.height)
        conv_plain::finish(p, pixel_at(at, x, y), 0, sum);
}
} // namespace conv_last

#endif
