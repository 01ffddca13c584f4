/* The products of conv_tensor.cuh without its memory: what a roofline is drawn with. */
#ifndef KZ_CUDA_KERNELS_PEAK_CUH
#define KZ_CUDA_KERNELS_PEAK_CUH

#include <cstring>

#include "cuda/kernels/kernels.h"
#include "cuda/kernels/tensor.cuh"

namespace peak
{
/* Sums that don't wait for each other: as many products are on their way at once. */
enum { SUMS = 8, THREADS = KZ_PEAK_THREADS };

/* Two elements, multiples of 1/8 up to 1: every type has them, and no sum of their products is
 * rounded. They vary as real values do, since constants would take less power, and so run faster.
 */
template <class T> KZ_DEVICE unsigned pair_of(unsigned seed)
{
    T pair[2];
    unsigned bits;
    for (unsigned i = 0; i < 2; i++)
        kz_set(&pair[i], (float)((seed + i) * 2654435761u >> 28) / 8 - 7.0f / 8);
    memcpy(&bits, pair, sizeof(bits));
    return bits;
}

template <class T> KZ_KERNEL void __launch_bounds__(THREADS) run(int steps, float *sums)
{
    const unsigned thread = threadIdx.x;
    float c[SUMS][4] = {}, sum = 0;
    unsigned a[4], b[2];
    for (unsigned i = 0; i < 4; i++)
        a[i] = pair_of<T>(thread * 12 + i * 2);
    for (unsigned i = 0; i < 2; i++)
        b[i] = pair_of<T>(thread * 12 + 8 + i * 2);
    for (int step = 0; step < steps; step++)
#pragma unroll
        for (int i = 0; i < SUMS; i++)
            kz_multiply(c[i], a, b, T());
    for (int i = 0; i < SUMS; i++)
        sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
    sums[(size_t)blockIdx.x * THREADS + thread] = sum;
}
} // namespace peak

#endif
