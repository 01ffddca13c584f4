/* The products of conv_tensor.cuh without its memory: what a roofline is drawn with. */
#ifndef KZ_CUDA_KERNELS_PEAK_CUH
#define KZ_CUDA_KERNELS_PEAK_CUH

#include <cstring>

#include "cuda/kernels/kernels.h"
#include "cuda/kernels/wgmma.cuh"

namespace peak
{
/* Sums that don't wait for each other: as many products are on their way at once. */
enum { SUMS = 8, THREADS = KZ_PEAK_THREADS };

/* As many elements as four bytes hold, multiples of 1/8 up to 1: every type has them, and no sum of
 * their products is rounded. They vary as real values do, since constants would take less power,
 * and so run faster.
 */
template <class T> KZ_DEVICE unsigned pair_of(unsigned seed)
{
    T pair[4 / sizeof(T)];
    unsigned bits;
    for (unsigned i = 0; i < 4 / sizeof(T); i++)
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

/* Hopper's, of 64 rows and N columns from shared memory, without swizzle as conv_wgmma.cuh has it.
 * Each warpgroup reads its own rows. */
enum { ROWS_BYTES = 64 * 16 * 2, WARPGROUPS = THREADS / 128 };

template <int N> struct room {
    /* Sums that don't wait for each other: with 96 and 192 columns one, as in conv_march.cuh. */
    static constexpr int sums = N == 96 || N == 192 ? 1 : N == 128 ? 2 : 128 / N;
    static constexpr int columns = WARPGROUPS * ROWS_BYTES;
    static constexpr int bytes = columns + N * 16 * 2;
};

template <class T, int N>
KZ_KERNEL void __launch_bounds__(THREADS) run_wgmma(int steps, float *sums)
{
#if defined(KZ_HAS_WGMMA)
    typedef room<N> r;
    KZ_SHARED(shared);
    const int thread = (int)threadIdx.x;
    for (int i = thread; i < r::bytes / 4; i += THREADS)
        ((unsigned *)shared)[i] = pair_of<T>((unsigned)i * 2);
    kz_copies_wait_for_products<0>();
    __syncthreads();
    const int warpgroup = kz_uniform(thread / 32) / 4;
    const uint64_t a = kz_matrix(shared + warpgroup * ROWS_BYTES, ROWS_BYTES / 2, 128);
    const uint64_t b = kz_matrix(shared + r::columns, N * 16, 128);
    float c[r::sums][N / 2] = {}, sum = 0;
    do {
        kz_products_begin();
#pragma unroll
        for (int i = 0; i < SUMS; i++)
            kz_matrix_product<N>(c[i % r::sums], a, b, T());
        kz_products_close();
        kz_products_wait<1>();
    } while (--steps > 0);
    kz_products_wait<0>();
    kz_sums_done<r::sums * N / 2>(c[0]);
    for (int i = 0; i < r::sums; i++)
        for (int j = 0; j < N / 2; j++)
            sum += c[i][j];
    sums[(size_t)blockIdx.x * THREADS + (size_t)thread] = sum;
#endif
}
} // namespace peak

#endif
