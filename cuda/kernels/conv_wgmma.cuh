/* Convolution for Hopper (9.0): 3×3, 16 bits, 32 or 64 outputs at a time.
 *
 * A block of two warpgroups makes TILE_ROWS × TILE_COLUMNS pixels; each warpgroup has four rows of
 * 64 pixels. As in conv_tensor.cuh, whose weights these are, it walks over the input's channels in
 * chunks of 16 that lie in shared memory with their halo: eight channels of a pixel are 16 bytes,
 * those of the next pixel follow. To wgmma 64 pixels anywhere in a row are a matrix, so that a tap
 * is an offset, and nothing is loaded into registers.
 *
 * A chunk's products are waited for when the next one's have been asked for: tensor cores never
 * wait for a barrier. So there are two stages more than chunks on their way to shared memory. */
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
    KERNEL = 3,
    CHUNK = 16,
    UNIT = KZ_MATRIX_UNIT
};

/* A chunk in shared memory: two planes of eight channels, apart by an odd number of half lines, so
 * that copies to them use different banks, and the weights: [tap][half of the chunk][output
 * channel][8]. */
template <int GROUP> struct stage {
    static constexpr int rows = TILE_ROWS + KERNEL - 1, columns = TILE_COLUMNS + KERNEL - 1;
    static constexpr int plane = (rows * columns * UNIT + 127) / 128 * 128 + 64;
    static constexpr int weights = KERNEL * KERNEL * 2 * GROUP * UNIT;
    static constexpr int bytes = 2 * plane + weights;
    /* Two blocks share a multiprocessor with 32 outputs: 180 of its 228 KiB; 156 KiB with 64. */
    static constexpr int blocks = GROUP == 32 ? 2 : 1, count = GROUP == 32 ? 3 : 4;
};

template <int GROUP> struct room {
    static constexpr int passage = 16 * (GROUP + 4); /* floats, for a warp: store_pixels()'s */
    static constexpr int bytes = stage<GROUP>::count * stage<GROUP>::bytes;
    static_assert(bytes >= THREADS / 32 * passage * 4, "what leaves passes where stages were");
};

KZ_DEVICE conv_tensor::place find_place(const kz_conv_task &p, int group)
{
    conv_tensor::place at = {};
    at.x = (int)blockIdx.x * TILE_COLUMNS;
    at.y = (int)blockIdx.y * TILE_ROWS;
    at.first = (int)blockIdx.z * group;
    at.weights = (const char *)p.weights + (size_t)blockIdx.z * (size_t)(p.in.channels / CHUNK) *
                                               (size_t)(KERNEL * KERNEL * 2 * group * UNIT);
    return at;
}

template <class T, int GROUP>
KZ_DEVICE void fetch(const kz_conv_task &p, const conv_tensor::place &at, int chunk,
                     unsigned char *to)
{
    typedef stage<GROUP> s;
    const T *in = (const T *)p.in.data + chunk * CHUNK;
    for (int i = (int)threadIdx.x; i < s::rows * s::columns * 2; i += THREADS) {
        const int half = i % 2, pixel = i / 2;
        const int x = at.x - 1 + pixel % s::columns, y = at.y - 1 + pixel / s::columns;
        const bool there = x >= 0 && x < p.in.width && y >= 0 && y < p.in.height;
        const size_t offset =
            there ? ((size_t)y * (size_t)p.in.width + (size_t)x) * (size_t)p.in.pixel +
                        (size_t)(8 * half)
                  : 0;
        kz_copy_16(to + half * s::plane + pixel * UNIT, in + offset, there);
    }
    const char *weights = at.weights + (size_t)chunk * (size_t)s::weights;
    for (int i = (int)threadIdx.x; i < s::weights / UNIT; i += THREADS)
        kz_copy_16(to + 2 * s::plane + i * UNIT, weights + (size_t)i * UNIT, true);
}

#if defined(KZ_HAS_WGMMA)

/* c[row][eight output channels][4], of the warpgroup's rows from `first` on. */
template <class T, int GROUP>
KZ_DEVICE void multiply(float c[ROWS][GROUP / 8][4], const unsigned char *from, int first)
{
    typedef stage<GROUP> s;
    const uint64_t pixels = kz_matrix(from + first * s::columns * UNIT, s::plane, 8 * UNIT);
    const uint64_t weights = kz_matrix(from + 2 * s::plane, GROUP * UNIT, 8 * UNIT);
    kz_products_begin();
#pragma unroll
    for (int tap = 0; tap < KERNEL * KERNEL; tap++)
#pragma unroll
        for (int row = 0; row < ROWS; row++)
            kz_matrix_product<GROUP>(
                &c[row][0][0],
                pixels + (uint64_t)((row + tap / KERNEL) * s::columns + tap % KERNEL),
                weights + (uint64_t)(tap * 2 * GROUP), T());
    kz_products_close();
}

#endif

template <class T, int GROUP>
KZ_KERNEL void __launch_bounds__(THREADS, stage<GROUP>::blocks) run(const kz_conv_task p)
{
#if defined(KZ_HAS_WGMMA)
    typedef stage<GROUP> s;
    enum { AHEAD = s::count - 2 }; /* chunks that are under way beside the one that is multiplied */
    KZ_SHARED(shared);
    const conv_tensor::place at = find_place(p, GROUP);
    const int chunks = p.in.channels / CHUNK, warp = kz_uniform((int)threadIdx.x / 32);
    const int first_row = warp / (WARPGROUP / 32) * ROWS;
    for (int chunk = 0; chunk < AHEAD; chunk++) {
        if (chunk < chunks)
            fetch<T, GROUP>(p, at, chunk, shared + chunk * s::bytes);
        kz_copies_close();
    }
    float c[ROWS][GROUP / 8][4] = {};
    int chunk = 0;
    do { /* at least one: the compiler needs no other way to what is read behind */
        kz_copies_wait_for_products<AHEAD - 1>();
        __syncthreads(); /* this chunk is there, and all are done with the one before the last */
        multiply<T, GROUP>(c, shared + chunk % s::count * s::bytes, first_row);
        if (chunk + AHEAD < chunks)
            fetch<T, GROUP>(p, at, chunk + AHEAD, shared + (chunk + AHEAD) % s::count * s::bytes);
        kz_copies_close();
        kz_products_wait<1>();
    } while (++chunk < chunks);
    kz_products_wait<0>();
    kz_sums_done<ROWS * GROUP / 2>(&c[0][0][0]);
    __syncthreads();
    float *to = (float *)shared + warp * room<GROUP>::passage;
#pragma unroll
    for (int row = 0; row < ROWS; row++)
        conv_tensor::store_pixels<T, GROUP>(p, at, c[row], to, at.x + warp % 4 * 16,
                                            at.y + first_row + row);
#endif
}
} // namespace conv_wgmma

#endif
