/* Convolution on tensor cores, for every device from 7.5 on.
 *
 * A block of 8 warps makes TILE_ROWS × TILE_COLUMNS pixels of up to 64 output channels. It walks
 * over the input's channels in chunks of 32 bytes, 16 channels or in TF32 8: while a chunk is
 * multiplied, the next one's pixels, halo included, and its weights are on their way to shared
 * memory. All taps read the same copy, so
 * that an input pixel comes from L2 once for each block and not once for each tap: fetching it nine
 * times is what limits an implicit matrix product with as few outputs as these layers have.
 *
 * Shared memory holds 16 bytes of neighbouring pixels' channels one after the other: a fragment's
 * eight rows are 128 bytes in a row wherever a tap begins, free of bank conflicts. A
 * warp makes two rows of 32 pixels: a row of the input that is loaded as fragments serves both of
 * them, and the weights' fragments of a column of taps serve all four groups of 16 pixels.
 *
 * Multiply-accumulates for each 16 bytes of fragments, 64 output channels and 3×3 taps, of a chunk
 * and a warp: 9 × 4 × 8 products of 2048, for 24 + 36 fragments of four matrices: 2.4 products a
 * fragment, where one of each operand would be needed for every two products otherwise. */
#ifndef KZ_CUDA_KERNELS_CONV_TENSOR_CUH
#define KZ_CUDA_KERNELS_CONV_TENSOR_CUH

#include "cuda/kernels/batch.cuh"
#include "cuda/kernels/element.cuh"
#include "cuda/kernels/tensor.cuh"

namespace conv_tensor
{
enum {
    WARPS = 8,
    THREADS = 32 * WARPS,
    WARP_ROWS = 2,
    TILE_ROWS = WARPS * WARP_ROWS,
    TILE_COLUMNS = 32,
    CHUNK_BYTES = 32
};

/* Channels in 16 bytes; a chunk is two of these. */
template <class T> struct piece {
    static constexpr int channels = 16 / (int)sizeof(T);
};

/* How a stage lies in shared memory: two planes of 16 bytes a pixel, apart by an odd number of half
 * lines so that they use different banks, and the weights. */
template <int KERNEL, int GROUP> struct stage {
    static constexpr int rows = TILE_ROWS + KERNEL - 1, columns = TILE_COLUMNS + KERNEL - 1;
    static constexpr int plane = (rows * columns * 16 + 127) / 128 * 128 + 64;
    static constexpr int weights = KERNEL * KERNEL * 2 * GROUP * 16;
    static constexpr int bytes = (2 * plane + weights + 127) / 128 * 128;
};

/* Where a block works. It lies in shared memory, from where a few values are read again for each
 * chunk: registers are for the sums. */
struct place {
    int width, height;    /* of its tile, in the input's pixels */
    const void *in;       /* the tile's first channel */
    size_t before;        /* pixels of the output before the tile */
    int out_width;        /* of the tile there */
    int x, y;             /* its first pixel in the tile */
    int first;            /* output channel */
    int phase_x, phase_y; /* 0 without phases */
    const char *weights;
};

template <class T, int KERNEL, int GROUP>
KZ_DEVICE place find_place(const kz_conv_task &p, const kz_blocks &blocks)
{
    const kz_block_tile &tile = blocks.tiles[kz_block_find(blocks)];
    const kz_corner corner = kz_block_corner(tile, TILE_COLUMNS, TILE_ROWS);
    const int groups = (p.out.channels + GROUP - 1) / GROUP;
    const int group = (int)blockIdx.z % groups, phase = (int)blockIdx.z / groups;
    const int chunks = p.in.channels * (int)sizeof(T) / CHUNK_BYTES;
    const size_t bytes = (size_t)chunks * (size_t)stage<KERNEL, GROUP>::weights;
    place at;
    at.width = tile.width;
    at.height = tile.height;
    at.in = (const T *)p.in.data + kz_pixels_before(p.in, tile) * (size_t)p.in.pixel;
    at.before = kz_pixels_before(p.out, tile);
    at.out_width = tile.width * (p.phases ? 2 : 1);
    at.x = corner.x;
    at.y = corner.y;
    at.first = group * GROUP;
    at.phase_x = phase % 2;
    at.phase_y = phase / 2;
    at.weights = (const char *)p.weights + (size_t)blockIdx.z * bytes;
    return at;
}

template <class T, int KERNEL, int GROUP>
KZ_DEVICE void fetch(const kz_conv_task &p, const place *from, int chunk, unsigned char *to)
{
    typedef stage<KERNEL, GROUP> s;
    const place at = *from;
    const T *in = (const T *)at.in + chunk * 2 * piece<T>::channels;
    const int x0 = at.x - p.pad_left + at.phase_x, y0 = at.y - p.pad_top + at.phase_y;
#pragma unroll 2
    for (int i = (int)threadIdx.x; i < s::rows * s::columns * 2; i += THREADS) {
        const int half = i % 2, pixel = i / 2;
        const int x = x0 + pixel % s::columns, y = y0 + pixel / s::columns;
        const bool there = x >= 0 && x < at.width && y >= 0 && y < at.height;
        const unsigned at_pixel = there ? (unsigned)y * (unsigned)at.width + (unsigned)x : 0;
        kz_copy_16(to + half * s::plane + pixel * 16,
                   in + (size_t)at_pixel * (unsigned)p.in.pixel + piece<T>::channels * half, there);
    }
    const char *weights = at.weights + (size_t)chunk * (size_t)s::weights;
    for (int i = (int)threadIdx.x; i < s::weights / 16; i += THREADS)
        kz_copy_16(to + 2 * s::plane + i * 16, weights + (size_t)i * 16, true);
}

/* Fragments of 16 pixels and a chunk: rows of matrix l / 8 are pixels 8 (l / 8 % 2) and on, of the
 * first half's channels for l < 16 and the second's behind. */
template <class T, int KERNEL, int GROUP>
KZ_DEVICE void load_pixels(unsigned a[4], const unsigned char *from, int row, int column)
{
    typedef stage<KERNEL, GROUP> s;
    const int lane = (int)threadIdx.x % 32;
    kz_load_fragments(a,
                      from + lane / 16 * s::plane + (row * s::columns + column + lane % 16) * 16);
    kz_round_fragments(a, T());
}

/* Fragments of 16 output channels: two of b. */
template <int KERNEL, int GROUP>
KZ_DEVICE void load_weights(unsigned b[4], const unsigned char *from, int tap, int channel)
{
    typedef stage<KERNEL, GROUP> s;
    const int lane = (int)threadIdx.x % 32;
    kz_load_fragments(
        b, from + 2 * s::plane +
               ((tap * 2 + lane / 8 % 2) * GROUP + channel + lane / 16 * 8 + lane % 8) * 16);
}

/* c[row][half of the columns][eight output channels][4] */
template <class T, int KERNEL, int GROUP>
KZ_DEVICE void multiply(float c[WARP_ROWS][2][GROUP / 8][4], const unsigned char *from)
{
    const int first_row = (int)threadIdx.x / 32 * WARP_ROWS;
#pragma unroll
    for (int kx = 0; kx < KERNEL; kx++) {
        unsigned b[KERNEL][GROUP / 16][4];
#pragma unroll
        for (int ky = 0; ky < KERNEL; ky++)
#pragma unroll
            for (int n = 0; n < GROUP / 16; n++)
                load_weights<KERNEL, GROUP>(b[ky][n], from, ky * KERNEL + kx, 16 * n);
#pragma unroll
        for (int row = 0; row < WARP_ROWS + KERNEL - 1; row++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                unsigned a[4];
                load_pixels<T, KERNEL, GROUP>(a, from, first_row + row, 16 * half + kx);
#pragma unroll
                for (int to = 0; to < WARP_ROWS; to++) {
                    const int ky = row - to;
                    if (ky < 0 || ky >= KERNEL)
                        continue;
#pragma unroll
                    for (int n = 0; n < GROUP / 8; n++)
                        kz_multiply(c[to][half][n], a, b[ky][n / 2] + n % 2 * 2, T());
                }
            }
    }
}

/* ---- what comes out ---- */

/* Whether eight channels are read and written one by one: those of 16 bits are aligned. */
template <class T> KZ_DEVICE bool goes_singly(const kz_view &v, int count)
{
    const bool aligned = count == 8 && (size_t)v.data % 16 == 0 && v.pixel % 4 == 0;
    return v.element == KZ_ELEMENT_FP32 && (sizeof(T) != sizeof(float) || !aligned);
}

template <class T> union eight {
    uint4 pieces[8 / piece<T>::channels];
    T each[8];
};

/* Eight channels of a pixel as numbers: of fp32, or of T. */
template <class T> KZ_DEVICE void read_8(float to[8], const kz_view &v, size_t offset, int count)
{
    if (goes_singly<T>(v, count)) {
        for (int i = 0; i < count; i++)
            to[i] = ((const float *)v.data)[offset + (size_t)i];
        return;
    }
    eight<T> u;
#pragma unroll
    for (int i = 0; i < 8 / piece<T>::channels; i++)
        u.pieces[i] = ((const uint4 *)((const T *)v.data + offset))[i];
#pragma unroll
    for (int i = 0; i < 8; i++)
        to[i] = kz_float(u.each[i]);
}

template <class T>
KZ_DEVICE void write_8(const float from[8], const kz_view &v, size_t offset, int count)
{
    if (goes_singly<T>(v, count)) {
        for (int i = 0; i < count; i++)
            ((float *)v.data)[offset + (size_t)i] = from[i];
        return;
    }
    eight<T> u;
#pragma unroll
    for (int i = 0; i < 8; i++)
        kz_set(&u.each[i], from[i]);
#pragma unroll
    for (int i = 0; i < 8 / piece<T>::channels; i++)
        ((uint4 *)((T *)v.data + offset))[i] = u.pieces[i];
}

/* Whether the input's (x, y) is in the tile, and an output's or a residual's pixel. A kernel for
 * one tile has its own. */
KZ_DEVICE bool is_inside(const kz_conv_task &, const place &at, int x, int y)
{
    return x < at.width && y < at.height;
}

KZ_DEVICE size_t pixel_of(const kz_view &, const place &at, int x, int y)
{
    return at.before + (size_t)y * (size_t)at.out_width + (size_t)x;
}

/* Residuals are added, and eight channels of a pixel are stored; at (x, y) of the output. */
template <class T, class PLACE>
KZ_DEVICE void add_and_store(const kz_conv_task &p, const PLACE &at, float sums[8], int x, int y,
                             int channel)
{
    const int left = p.out.channels - channel, count = left < 8 ? left : 8;
    for (int r = 0; r < p.n_residuals; r++) {
        float more[8] = {0};
        const kz_view &v = p.residuals[r];
        read_8<T>(more, v, kz_element_of(v, pixel_of(v, at, x, y), channel), count);
#pragma unroll
        for (int i = 0; i < 8; i++)
            sums[i] += p.coefs[r] * more[i];
    }
    write_8<T>(sums, p.out, kz_element_of(p.out, pixel_of(p.out, at, x, y), channel), count);
}

/* The same after bias and activation. */
template <class T, class PLACE>
KZ_DEVICE void finish(const kz_conv_task &p, const PLACE &at, float sums[8], int x, int y,
                      int channel)
{
#pragma unroll
    for (int i = 0; i < 8; i++) {
        sums[i] += p.bias[channel + i];
        if (p.slopes && sums[i] < 0)
            sums[i] *= p.slopes[channel + i];
    }
    add_and_store<T>(p, at, sums, x, y, channel);
}

/* The fragments of 16 pixels go through shared memory, so that a lane has eight channels of one
 * pixel in a row. Every warp has a place of its own: `to`, of floats. */
template <class T, int GROUP, class PLACE>
KZ_DEVICE void store_pixels(const kz_conv_task &p, const PLACE &from, float c[GROUP / 8][4],
                            float *to, int x, int y)
{
    const PLACE at = from;
    enum { ROW = GROUP + 4 };
    const int lane = (int)threadIdx.x % 32, steps = p.phases ? 2 : 1;
#pragma unroll
    for (int n = 0; n < GROUP / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            to[(lane / 4 + i / 2 * 8) * ROW + n * 8 + lane % 4 * 2 + i % 2] = c[n][i];
    __syncwarp();
    for (int i = lane; i < 16 * GROUP / 8; i += 32) {
        const int pixel = i / (GROUP / 8), channel = i % (GROUP / 8) * 8;
        float sums[8];
        if (!is_inside(p, at, x + pixel, y) || at.first + channel >= p.out.channels)
            continue;
#pragma unroll
        for (int j = 0; j < 8; j++)
            sums[j] = to[pixel * ROW + channel + j];
        finish<T>(p, at, sums, (x + pixel) * steps + at.phase_x, y * steps + at.phase_y,
                  at.first + channel);
    }
    __syncwarp();
}

/* Shared memory: two stages, at the end what the warps' outputs pass through; then the place. */
template <int KERNEL, int GROUP> struct room {
    static constexpr int passage = 16 * (GROUP + 4); /* floats, for a warp */
    static constexpr int stages = 2 * stage<KERNEL, GROUP>::bytes;
    static constexpr int place = stages > WARPS *passage * 4 ? stages : WARPS *passage * 4;
    static constexpr int bytes = place + (int)sizeof(struct place);
};

template <class T, int KERNEL, int GROUP>
KZ_KERNEL void __launch_bounds__(THREADS)
    run(const KZ_PARAMETER kz_conv_task p, const KZ_PARAMETER kz_blocks blocks)
{
    KZ_SHARED(shared);
    typedef stage<KERNEL, GROUP> s;
    place *const there = (place *)(shared + room<KERNEL, GROUP>::place);
    const int chunks = p.in.channels * (int)sizeof(T) / CHUNK_BYTES, warp = (int)threadIdx.x / 32;
    float c[WARP_ROWS][2][GROUP / 8][4] = {};
    if (threadIdx.x == 0)
        *there = find_place<T, KERNEL, GROUP>(p, blocks);
    __syncthreads();
    fetch<T, KERNEL, GROUP>(p, there, 0, shared);
    for (int chunk = 0; chunk < chunks; chunk++) {
        kz_copies_wait();
        __syncthreads(); /* this chunk is there, and nobody reads the one before any more */
        if (chunk + 1 < chunks)
            fetch<T, KERNEL, GROUP>(p, there, chunk + 1, shared + (chunk + 1) % 2 * s::bytes);
        multiply<T, KERNEL, GROUP>(c, shared + chunk % 2 * s::bytes);
    }
    __syncthreads();
    float *to = (float *)shared + warp * room<KERNEL, GROUP>::passage;
#pragma unroll
    for (int row = 0; row < WARP_ROWS; row++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            store_pixels<T, GROUP>(p, *there, c[row][half], to, there->x + 16 * half,
                                   there->y + warp * WARP_ROWS + row);
}
} // namespace conv_tensor

#endif
