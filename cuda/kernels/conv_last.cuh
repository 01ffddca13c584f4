/* The last convolution: one channel out of many, in fp32. A block makes 32 × ROWS pixels. A piece
 * of its pixels, 16 bytes of channels, halo included, is in shared memory at a time, as in
 * conv_tensor.cuh: read there, and once from L2. A thread makes DEEP pixels, one above the other: a
 * weight that it reads serves all of them, and a pixel up to three. With a pixel a thread there is
 * a read for each product, three times as many cycles of shared memory and L1 as the products take.
 */
#ifndef KZ_CUDA_KERNELS_CONV_LAST_CUH
#define KZ_CUDA_KERNELS_CONV_LAST_CUH

#include "cuda/kernels/batch.cuh"
#include "cuda/kernels/element.cuh"

namespace conv_last
{
enum {
    COLUMNS = 32,
    DEEP = 4,
    THREAD_ROWS = 8,
    ROWS = THREAD_ROWS * DEEP,
    ACROSS = COLUMNS + 2,
    DOWN = ROWS + 2,
    OUTPUTS = 8 /* that packed weights have room for: conv_plain.cuh's */
};

template <class T> struct piece {
    static constexpr int channels = 16 / (int)sizeof(T);
    static constexpr int weights = 9 * channels;
};

/* `pixel` is the output's number. */
KZ_DEVICE void finish(const kz_conv_task &p, size_t pixel, int channel, float sum)
{
    float value = kz_activate(p.slopes, channel, sum + p.bias[channel]);
    for (int r = 0; r < p.n_residuals; r++)
        value +=
            p.coefs[r] * kz_read(p.residuals[r], kz_element_of(p.residuals[r], pixel, channel));
    kz_write(p.out, kz_element_of(p.out, pixel, channel), value);
}

struct place {
    int x, y;          /* the block's first pixel in its tile */
    int width, height; /* of the tile */
    size_t before;     /* pixels before the tile */
};

struct alignas(16) four {
    float each[4];
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

template <class T>
KZ_DEVICE void fetch(const kz_conv_task &p, const place *there, int channel, uint4 *to)
{
    const place at = *there;
    const int thread = (int)(threadIdx.y * COLUMNS + threadIdx.x);
    for (int i = thread; i < ACROSS * DOWN; i += COLUMNS * THREAD_ROWS) {
        const int x = at.x + i % ACROSS - 1, y = at.y + i / ACROSS - 1;
        const bool inside = x >= 0 && x < at.width && y >= 0 && y < at.height;
        const T *in = (const T *)p.in.data;
        uint4 zero = {0, 0, 0, 0};
        to[i] =
            inside ? *(const uint4 *)(in + kz_element_of(p.in, pixel_at(at, x, y), channel)) : zero;
    }
}

/* Packed weights of `count` channels, [tap][in channel][OUTPUTS], of which the first is used, to
 * [piece][tap][channel]. */
template <class T>
KZ_DEVICE void load_weights(const kz_conv_task &p, int channel, int count, float *to, int thread,
                            int threads)
{
    const float *from = (const float *)p.weights;
    for (int i = thread; i < count * 9; i += threads) {
        enum { CHANNELS = piece<T>::channels };
        const int tap = i / CHANNELS % 9;
        const int in = channel + i / (9 * CHANNELS) * CHANNELS + i % CHANNELS;
        to[i] = from[(tap * p.in.channels + in) * OUTPUTS];
    }
}

/* A piece's products for N pixels, one above the other: `from` is the one above and left of
 * the first, rows are `pitch` apart. Each sum is over taps in their order. */
template <class T, int N>
KZ_DEVICE void add_rows(const float *weights, const uint4 *from, int pitch, float sums[N])
{
#pragma unroll
    for (int i = 0; i < (N + 2) * 3; i++) {
        enum { CHANNELS = piece<T>::channels };
        const int row = i / 3, kx = i % 3;
        union {
            uint4 all;
            T each[CHANNELS];
        } u;
        u.all = from[row * pitch + kx];
#pragma unroll
        for (int to = 0; to < N; to++) {
            const int ky = row - to;
            if (ky < 0 || ky >= 3)
                continue;
            const four *w = (const four *)(weights + (ky * 3 + kx) * CHANNELS);
#pragma unroll
            for (int c = 0; c < CHANNELS; c++)
                sums[to] += w[c / 4].each[c % 4] * kz_float(u.each[c]);
        }
    }
}

template <class T>
KZ_KERNEL void __launch_bounds__(COLUMNS *THREAD_ROWS)
    run(const KZ_PARAMETER kz_conv_task p, const KZ_PARAMETER kz_blocks blocks)
{
    KZ_SHARED(shared);
    uint4 *const pixels = (uint4 *)shared;
    float *const weights = (float *)(pixels + ACROSS * DOWN);
    place *const there = (place *)(weights + piece<T>::weights);
    const int row = (int)threadIdx.y * DEEP, thread = (int)(threadIdx.y * COLUMNS + threadIdx.x);
    float sums[DEEP] = {};
    if (thread == 0)
        *there = find_place(p, blocks);
    __syncthreads();
    for (int channel = 0; channel < p.in.channels; channel += piece<T>::channels) {
        fetch<T>(p, there, channel, pixels);
        load_weights<T>(p, channel, piece<T>::channels, weights, thread, COLUMNS * THREAD_ROWS);
        __syncthreads();
        add_rows<T, DEEP>(weights, pixels + row * ACROSS + threadIdx.x, ACROSS, sums);
        __syncthreads();
    }
    const place at = *there;
    const int x = at.x + (int)threadIdx.x, y = at.y + row;
#pragma unroll
    for (int i = 0; i < DEEP; i++)
        if (x < at.width && y + i < at.height)
            finish(p, pixel_at(at, x, y + i), 0, sums[i]);
}
} // namespace conv_last

#endif
