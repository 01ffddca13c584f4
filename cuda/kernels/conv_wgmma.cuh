/* Convolution for Hopper (9.0): 3×3 or phases, 16 bits, 32 or 64 outputs at a time.
 *
 * A block of two warpgroups makes TILE_ROWS × TILE_COLUMNS pixels; each warpgroup has four rows of
 * 64 pixels. As in conv_tensor.cuh, whose weights these are, it walks over the input's channels in
 * chunks of 16 that lie in shared memory with their halo: eight channels of a pixel are 16 bytes,
 * those of the next pixel follow. To wgmma 64 pixels anywhere in a row are a matrix, so that a tap
 * is an offset, and nothing is loaded into registers.
 *
 * A product of 64 pixels and 32 outputs computes for 16 cycles, and reads shared memory for 24 (128
 * bytes a cycle). There are two ways:
 *
 * One tap at a time: products of one shape, in order by themselves; a chunk's are waited for when
 * the next one's have been asked for.
 *
 * PAIRS: a row of the input is multiplied for two rows of the output at once, since their weights
 * of a column of taps lie one after the other, the last row of taps first, and their sums do: of
 * 3×3 taps that reads 112 cycles for each 96 that are computed. Input row r of a pair: r = 1: taps
 * 1 and 0, r = 2: taps 2 and 1, both for both rows; then, when these are done, r = 0: tap 0 for the
 * first row alone, r = 3: tap 2 for the second. (A phase has two rows of taps.) The order of
 * products of different shapes is known by waiting only; other warpgroups compute meanwhile. */
#ifndef KZ_CUDA_KERNELS_CONV_WGMMA_CUH
#define KZ_CUDA_KERNELS_CONV_WGMMA_CUH

#include "cuda/kernels/conv_tensor.cuh"
#include "cuda/kernels/wgmma.cuh"

namespace conv_wgmma
{
enum {
    WARPGROUP = 128,
    WARPGROUPS = 2,
    THREADS = WARPGROUPS * WARPGROUP,
    ROWS = 4, /* of a warpgroup */
    TILE_ROWS = WARPGROUPS * ROWS,
    TILE_COLUMNS = 64,
    CHUNK = 16,
    UNIT = KZ_MATRIX_UNIT
};

/* A chunk in shared memory: two planes of eight channels, apart by an odd number of half lines, so
 * that copies to them use different banks, and the weights: [column of taps][half of the
 * chunk][row of taps, the last first][output channel][8]. */
template <int KERNEL, int GROUP> struct stage {
    static constexpr int rows = TILE_ROWS + KERNEL - 1, columns = TILE_COLUMNS + KERNEL - 1;
    static constexpr int plane = (rows * columns * UNIT + 127) / 128 * 128 + 64;
    static constexpr int weights = KERNEL * KERNEL * 2 * GROUP * UNIT;
    static constexpr int bytes = 2 * plane + weights;
    /* Two blocks share a multiprocessor with 32 outputs: 180 of its 228 KiB; 156 KiB with 64. */
    static constexpr int blocks = GROUP == 32 ? 2 : 1, count = GROUP == 32 ? 3 : 4;
};

template <int KERNEL, int GROUP> struct room {
    static constexpr int passage = 16 * (GROUP + 4); /* floats, for a warp: store_pixels()'s */
    static constexpr int bytes = stage<KERNEL, GROUP>::count * stage<KERNEL, GROUP>::bytes;
    static_assert(bytes >= THREADS / 32 * passage * 4, "what leaves passes where stages were");
};

/* Where a block works, as conv_tensor's; there is one tile. */
struct place {
    int x, y, first, phase_x, phase_y;
    const char *weights;
};

KZ_DEVICE bool is_inside(const kz_conv_task &p, const place &, int x, int y)
{
    return x < p.in.width && y < p.in.height;
}

KZ_DEVICE size_t pixel_of(const kz_view &v, const place &, int x, int y)
{
    return (size_t)y * (size_t)v.width + (size_t)x;
}

/* A phase has one group of outputs. */
template <int KERNEL, int GROUP> KZ_DEVICE place find_place(const kz_conv_task &p)
{
    const int phase = KERNEL == 2 ? (int)blockIdx.z % 4 : 0;
    place at = {};
    at.x = (int)blockIdx.x * TILE_COLUMNS;
    at.y = (int)blockIdx.y * TILE_ROWS;
    at.first = KERNEL == 2 ? 0 : (int)blockIdx.z * GROUP;
    at.phase_x = phase % 2;
    at.phase_y = phase / 2;
    at.weights = (const char *)p.weights + (size_t)blockIdx.z * (size_t)(p.in.channels / CHUNK) *
                                               (size_t)(KERNEL * KERNEL * 2 * GROUP * UNIT);
    return at;
}

/* A chunk's weights, by all threads of the block. */
template <int KERNEL, int GROUP>
KZ_DEVICE void fetch_weights(const char *weights, unsigned char *to)
{
    enum { COUNT = stage<KERNEL, GROUP>::weights / UNIT };
#pragma unroll
    for (int first = 0; first < COUNT; first += THREADS) {
        const int i = first + (int)threadIdx.x;
        if (i >= COUNT)
            break;
        const int out = i % GROUP, half = i / GROUP % 2, tap = i / (2 * GROUP);
        const int row = (tap % KERNEL * 2 + half) * KERNEL + KERNEL - 1 - tap / KERNEL;
        kz_copy_16(to + (row * GROUP + out) * UNIT, weights + (size_t)i * UNIT, true);
    }
}

template <class T, int KERNEL, int GROUP>
KZ_DEVICE void fetch_chunk(const kz_conv_task &p, const place &at, int chunk, unsigned char *to)
{
    typedef stage<KERNEL, GROUP> s;
    const T *in = (const T *)p.in.data + chunk * CHUNK;
    const int x0 = at.x - 1 + at.phase_x, y0 = at.y - 1 + at.phase_y;
    enum { PIXELS = s::rows * s::columns * 2 };
#pragma unroll
    for (int first = 0; first < PIXELS; first += THREADS) {
        const int i = first + (int)threadIdx.x;
        if (i >= PIXELS)
            break;
        const int half = i % 2, pixel = i / 2;
        const int x = x0 + pixel % s::columns, y = y0 + pixel / s::columns;
        const bool there = x >= 0 && x < p.in.width && y >= 0 && y < p.in.height;
        const size_t offset =
            there ? ((size_t)y * (size_t)p.in.width + (size_t)x) * (size_t)p.in.pixel +
                        (size_t)(8 * half)
                  : 0;
        kz_copy_16(to + half * s::plane + pixel * UNIT, in + offset, there);
    }
    fetch_weights<KERNEL, GROUP>(at.weights + (size_t)chunk * (size_t)s::weights,
                                 to + 2 * s::plane);
}

#if defined(KZ_HAS_WGMMA)

/* c[row][eight output channels][4] of a warpgroup. Its row ROW of the input and a column of taps,
 * for COUNT rows of the output from FIRST on. */
template <class T, int KERNEL, int GROUP, int ROW, int FIRST, int COUNT>
KZ_DEVICE void multiply(float c[ROWS][GROUP / 8][4], uint64_t pixels, uint64_t weights, int column)
{
    const int tap = column * 2 * KERNEL + KERNEL - 1 - (ROW - FIRST);
    kz_matrix_product<COUNT * GROUP>(
        &c[FIRST][0][0], pixels + (uint64_t)(ROW * stage<KERNEL, GROUP>::columns + column),
        weights + (uint64_t)(tap * GROUP), T());
}

/* For all rows of the output its row of taps TAP. Neighbours share no sums: none waits for the one
 * before. */
template <class T, int KERNEL, int GROUP, int TAP>
KZ_DEVICE void multiply_all(float c[ROWS][GROUP / 8][4], uint64_t pixels, uint64_t weights,
                            int column)
{
    multiply<T, KERNEL, GROUP, TAP, 0, 1>(c, pixels, weights, column);
    multiply<T, KERNEL, GROUP, TAP + 1, 1, 1>(c, pixels, weights, column);
    multiply<T, KERNEL, GROUP, TAP + 2, 2, 1>(c, pixels, weights, column);
    multiply<T, KERNEL, GROUP, TAP + 3, 3, 1>(c, pixels, weights, column);
}

/* All products of a chunk, or with PAIRS those for two rows. */
template <class T, int KERNEL, int GROUP, bool PAIRS>
KZ_DEVICE void begin_first(float c[ROWS][GROUP / 8][4], uint64_t pixels, uint64_t weights)
{
    kz_products_begin();
#pragma unroll
    for (int column = 0; column < KERNEL; column++) {
        if constexpr (PAIRS) {
            multiply<T, KERNEL, GROUP, 1, 0, 2>(c, pixels, weights, column);
            multiply<T, KERNEL, GROUP, 3, 2, 2>(c, pixels, weights, column);
        } else {
            multiply_all<T, KERNEL, GROUP, 0>(c, pixels, weights, column);
            multiply_all<T, KERNEL, GROUP, 1>(c, pixels, weights, column);
        }
        if constexpr (PAIRS && KERNEL == 3) {
            multiply<T, KERNEL, GROUP, 2, 0, 2>(c, pixels, weights, column);
            multiply<T, KERNEL, GROUP, 4, 2, 2>(c, pixels, weights, column);
        } else if constexpr (KERNEL == 3) {
            multiply_all<T, KERNEL, GROUP, 2>(c, pixels, weights, column);
        }
    }
    kz_products_close();
}

/* PAIRS: those for one. */
template <class T, int KERNEL, int GROUP>
KZ_DEVICE void begin_second(float c[ROWS][GROUP / 8][4], uint64_t pixels, uint64_t weights)
{
    kz_products_begin();
#pragma unroll
    for (int column = 0; column < KERNEL; column++) {
        multiply<T, KERNEL, GROUP, 0, 0, 1>(c, pixels, weights, column);
        multiply<T, KERNEL, GROUP, KERNEL, 1, 1>(c, pixels, weights, column);
        multiply<T, KERNEL, GROUP, 2, 2, 1>(c, pixels, weights, column);
        multiply<T, KERNEL, GROUP, KERNEL + 2, 3, 1>(c, pixels, weights, column);
    }
    kz_products_close();
}

#endif

template <class T, int KERNEL, int GROUP, bool PAIRS>
KZ_KERNEL void __launch_bounds__(THREADS, stage<KERNEL, GROUP>::blocks) run(const kz_conv_task p)
{
#if defined(KZ_HAS_WGMMA)
    typedef stage<KERNEL, GROUP> s;
    enum { AHEAD = s::count - 2 }; /* chunks that are under way beside the one that is multiplied */
    KZ_SHARED(shared);
    const place at = find_place<KERNEL, GROUP>(p);
    const int chunks = p.in.channels / CHUNK, warp = kz_uniform((int)threadIdx.x / 32);
    const int first_row = warp / (WARPGROUP / 32) * ROWS;
    for (int chunk = 0; chunk < AHEAD; chunk++) {
        if (chunk < chunks)
            fetch_chunk<T, KERNEL, GROUP>(p, at, chunk, shared + chunk * s::bytes);
        kz_copies_close();
    }
    float c[ROWS][GROUP / 8][4] = {};
    int chunk = 0;
    kz_copies_wait_for_products<AHEAD - 1>();
    __syncthreads();
    do { /* at least one: the compiler needs no other way to what is read behind */
        const unsigned char *from = shared + chunk % s::count * s::bytes;
        const uint64_t pixels = kz_matrix(from + first_row * s::columns * UNIT, s::plane, 8 * UNIT);
        const uint64_t weights = kz_matrix(from + 2 * s::plane, KERNEL * GROUP * UNIT, 8 * UNIT);
        begin_first<T, KERNEL, GROUP, PAIRS>(c, pixels, weights);
        if (chunk + AHEAD < chunks)
            fetch_chunk<T, KERNEL, GROUP>(p, at, chunk + AHEAD,
                                          shared + (chunk + AHEAD) % s::count * s::bytes);
        kz_copies_close();
        __syncwarp(); /* some lanes have copied more */
        kz_products_wait<PAIRS ? 0 : 1>();
        if constexpr (PAIRS)
            begin_second<T, KERNEL, GROUP>(c, pixels, weights);
        kz_copies_wait_for_products<AHEAD - 1>();
        __syncthreads(); /* the next chunk is there, and all are done with the one before this */
        if constexpr (PAIRS)
            kz_products_wait<0>();
    } while (++chunk < chunks);
    kz_products_wait<0>();
    kz_sums_done<ROWS * GROUP / 2>(&c[0][0][0]);
    __syncthreads();
    float *to = (float *)shared + warp * room<KERNEL, GROUP>::passage;
#pragma unroll
    for (int row = 0; row < ROWS; row++)
        conv_tensor::store_pixels<T, GROUP>(p, at, c[row], to, at.x + warp % 4 * 16,
                                            at.y + first_row + row);
#endif
}
} // namespace conv_wgmma

#endif
