/* Sums of values, seen through nearest-neighbour enlargement or pixel shuffle, and activated: what
 * lies between convolutions. */
#ifndef KZ_CUDA_KERNELS_SUM_CUH
#define KZ_CUDA_KERNELS_SUM_CUH

#include "cuda/kernels/batch.cuh"
#include "cuda/kernels/element.cuh"

namespace sum
{
enum { THREADS = 256 };

KZ_DEVICE float term_at(const kz_term &t, const kz_block_tile &tile, int x, int y, int channel)
{
    const int f = t.factor;
    const int from = t.shuffled ? (channel * f + y % f) * f + x % f : channel;
    const size_t pixel = kz_pixels_before(t.view, tile) +
                         (size_t)(y / f) * (size_t)(tile.width / f) + (size_t)(x / f);
    return t.coef * kz_read(t.view, kz_element_of(t.view, pixel, from));
}

/* Neighbouring threads have neighbouring channels. */
KZ_KERNEL void __launch_bounds__(THREADS)
    run(const KZ_PARAMETER kz_sum_task p, const KZ_PARAMETER kz_blocks blocks)
{
    const kz_block_tile &tile = blocks.tiles[kz_block_find(blocks)];
    const size_t i = (size_t)(blockIdx.x - tile.begin) * THREADS + threadIdx.x;
    const size_t pixel = i / (size_t)p.out.channels;
    const int channel = (int)(i % (size_t)p.out.channels);
    const int x = (int)(pixel % (size_t)tile.width), y = (int)(pixel / (size_t)tile.width);
    float value = 0;
    if (y >= tile.height)
        return;
    for (int t = 0; t < p.n_terms; t++)
        value += term_at(p.terms[t], tile, x, y, channel);
    kz_write(p.out, kz_element_of(p.out, kz_pixels_before(p.out, tile) + pixel, channel),
             kz_activate(p.slopes, channel, value));
}
} // namespace sum

#endif
