/* Sums of values, seen through nearest-neighbour enlargement or pixel shuffle, and activated: what
 * lies between convolutions. */
#ifndef KZ_CUDA_KERNELS_SUM_CUH
#define KZ_CUDA_KERNELS_SUM_CUH

#include "cuda/kernels/element.cuh"

namespace sum
{
enum { THREADS = 256 };

KZ_DEVICE float term_at(const kz_term &t, int x, int y, int channel)
{
    const int f = t.factor;
    const int from = t.shuffled ? (channel * f + y % f) * f + x % f : channel;
    return t.coef * kz_read(t.view, kz_element_at(t.view, x / f, y / f, from));
}

/* Neighbouring threads have neighbouring channels. */
KZ_KERNEL void __launch_bounds__(THREADS) run(const kz_sum_task p)
{
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    const size_t pixel = i / (size_t)p.out.channels;
    const int channel = (int)(i % (size_t)p.out.channels);
    const int x = (int)(pixel % (size_t)p.out.width), y = (int)(pixel / (size_t)p.out.width);
    float value = 0;
    if (y >= p.out.height)
        return;
    for (int t = 0; t < p.n_terms; t++)
        value += term_at(p.terms[t], x, y, channel);
    kz_write(p.out, kz_element_at(p.out, x, y, channel), kz_activate(p.slopes, channel, value));
}
} // namespace sum

#endif
