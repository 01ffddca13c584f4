/* Two layers at once: 3×3 to as many channels as a block of conv_tensor.cuh makes, and 3×3 from
 * these to one channel. What lies between them is never in memory. At the fourfold size of
 * 1920×1080 that is 64 channels of 33 million pixels, 4.2 GB, written once and read once; what else
 * the two read and write is 4.2 GB and 0.13 GB.
 *
 * A block marches down a strip of the picture. In a step it makes 16 rows of 32 columns of the
 * first layer's result, chunk by chunk as conv_tensor.cuh does, lays them over the chunks, which
 * nobody reads any more, and makes 16 rows of 30 columns of the output, one row higher. The last
 * two of its rows stay for the next step. So 32 columns are made for 30, and two rows more for each
 * segment of a strip: 1.07 × (1 + 2 / rows), 1.08 where a segment has 200 rows. A tile of its own,
 * 16×32 for 14×30, would be 1.22. A strip of 64 columns in steps of eight rows would be 1.03, for
 * 1.33 times the input fetched instead of 1.28, and fit in 96 KiB; it would take another shape of
 * conv_tensor.cuh's tile.
 *
 * Shared memory for 64 channels: two stages of 37.4 KiB, over which 16 rows of 4 KiB lie; the two
 * rows that stay, 8 KiB; the second layer's weights, 2.3 KiB: 85 KiB, which every device from 8.0
 * on has. 7.5 has not, and makes 64 outputs as two groups anyway: there 32 channels fit. With 64 a
 * block has a multiprocessor's registers for itself, as in conv_tensor.cuh, so tensor cores wait
 * while the second layer is made. Rows laid elsewhere than over the stages would let it go beside
 * the next step's products, in 149 KiB: on 8.0, 9.0 and 10.0 alone.
 *
 * Sums are in the order of conv_tensor.cuh and of conv_last.cuh, and the values between are rounded
 * as if they were stored: the result has the same bits as the two layers one by one. For each pixel
 * the second one is 576 fused multiplications and additions of fp32, 384 conversions and 48 reads
 * of 16 bytes; the first one is 36864 of 16 bits, on tensor cores.
 *
 * What lies outside the picture is zero for both. Rows above a segment's first are made of what
 * happens to lie in shared memory, and never stored. */
#ifndef KZ_CUDA_KERNELS_CONV_TAIL_CUH
#define KZ_CUDA_KERNELS_CONV_TAIL_CUH

#include "cuda/kernels/conv_last.cuh"
#include "cuda/kernels/conv_tensor.cuh"

namespace conv_tail
{
using conv_tensor::stage;
using conv_tensor::THREADS;
using conv_tensor::TILE_COLUMNS;
using conv_tensor::TILE_ROWS;
using conv_tensor::WARP_ROWS;

enum { HALO = 2, OWN_COLUMNS = TILE_COLUMNS - HALO };

/* Where a block works, in the tile, and what conv_tensor.cuh wants to know of it, which changes
 * from step to step. */
struct segment {
    conv_tensor::place at; /* x, y: the first layer's first pixel of this step */
    int x1, y0, y1;        /* the output's columns end and rows */
};

/* Values: [row][eight channels][column][8], the two that stay and those over the stages. */
template <int GROUP> struct room {
    static constexpr int row = GROUP * TILE_COLUMNS * 2;
    static constexpr int stages = HALO * row;
    static constexpr int over =
        TILE_ROWS * row > 2 * stage<3, GROUP>::bytes ? TILE_ROWS *row : 2 * stage<3, GROUP>::bytes;
    static constexpr int weights = stages + over;
    static constexpr int place = weights + GROUP * 9 * (int)sizeof(float);
    static constexpr int bytes = place + (int)sizeof(segment);
};

template <class T>
KZ_DEVICE segment find_segment(const kz_conv_task &first, const kz_conv_task &last,
                               const kz_blocks &blocks, int rows)
{
    const kz_block_tile &tile = blocks.tiles[kz_block_find(blocks)];
    const kz_corner corner = kz_block_corner(tile, OWN_COLUMNS, rows);
    segment s;
    s.at.width = s.at.out_width = tile.width;
    s.at.height = tile.height;
    s.at.in = (const T *)first.in.data + kz_pixels_before(first.in, tile) * (size_t)first.in.pixel;
    s.at.before = kz_pixels_before(last.out, tile);
    s.at.x = corner.x - 1;
    s.at.y = corner.y - 1;
    s.at.first = s.at.phase_x = s.at.phase_y = 0;
    s.at.weights = (const char *)first.weights;
    s.x1 = corner.x + OWN_COLUMNS < tile.width ? corner.x + OWN_COLUMNS : tile.width;
    s.y0 = corner.y;
    s.y1 = corner.y + rows < tile.height ? corner.y + rows : tile.height;
    return s;
}

/* ---- the first layer ---- */

template <class T, int GROUP>
KZ_DEVICE void multiply_all(const kz_conv_task &p, const segment *s, unsigned char *stages,
                            float c[WARP_ROWS][2][GROUP / 8][4])
{
    enum { BYTES = stage<3, GROUP>::bytes };
    const int chunks = p.in.channels * (int)sizeof(T) / conv_tensor::CHUNK_BYTES;
    conv_tensor::fetch<T, 3, GROUP>(p, &s->at, 0, stages);
    for (int chunk = 0; chunk < chunks; chunk++) {
        kz_copies_wait();
        __syncthreads(); /* this chunk is there, and nobody reads what lay there before */
        if (chunk + 1 < chunks)
            conv_tensor::fetch<T, 3, GROUP>(p, &s->at, chunk + 1, stages + (chunk + 1) % 2 * BYTES);
        conv_tensor::multiply<T, 3, GROUP>(c, stages + chunk % 2 * BYTES);
    }
}

KZ_DEVICE bool is_inside(const segment *s, int x, int y)
{
    return x >= 0 && x < s->at.width && y >= 0 && y < s->at.height;
}

/* Two channels of a pixel. */
template <class T>
KZ_DEVICE void keep_pair(const kz_conv_task &p, const float sums[2], int channel, bool inside,
                         unsigned char *to)
{
    T values[2];
    unsigned bits;
#pragma unroll
    for (int i = 0; i < 2; i++)
        kz_set(&values[i],
               inside ? kz_activate(p.slopes, channel + i, sums[i] + p.bias[channel + i]) : 0);
    memcpy(&bits, values, sizeof(bits));
    *(unsigned *)to = bits;
}

/* A warp's fragments, to the rows over the stages. */
template <class T, int GROUP>
KZ_DEVICE void keep_rows(const kz_conv_task &p, const segment *s,
                         float c[WARP_ROWS][2][GROUP / 8][4], unsigned char *rows)
{
    const int lane = (int)threadIdx.x % 32, first_row = (int)threadIdx.x / 32 * WARP_ROWS;
#pragma unroll
    for (int row = 0; row < WARP_ROWS; row++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int column = lane / 4 + 8 * i, y = first_row + row;
            const bool inside = is_inside(s, s->at.x + column, s->at.y + y);
#pragma unroll
            for (int n = 0; n < GROUP / 8; n++)
                keep_pair<T>(p, c[row][i / 2][n] + i % 2 * 2, n * 8 + lane % 4 * 2, inside,
                             rows + y * room<GROUP>::row + (n * TILE_COLUMNS + column) * 16 +
                                 lane % 4 * 4);
        }
}

/* ---- the second one ---- */

/* A thread makes two pixels, one above the other; `rows` begins with the two that stay, which are
 * above the step's first. */
template <class T, int GROUP>
KZ_DEVICE void make_last(const kz_conv_task &p, const segment *s, const unsigned char *rows,
                         const float *weights)
{
    const int column = (int)threadIdx.x % 32, row = (int)threadIdx.x / 32 * WARP_ROWS;
    const int x = s->at.x + 1 + column, y = s->at.y - 1 + row;
    float sums[WARP_ROWS] = {};
    if (column >= OWN_COLUMNS)
        return;
    for (int eight = 0; eight < p.in.channels / 8; eight++)
        conv_last::add_rows<T, WARP_ROWS>(weights + eight * conv_last::piece<T>::weights,
                                          (const uint4 *)(rows + row * room<GROUP>::row) +
                                              eight * TILE_COLUMNS + column,
                                          room<GROUP>::row / 16, sums);
#pragma unroll
    for (int i = 0; i < WARP_ROWS; i++)
        if (x < s->x1 && y + i >= s->y0 && y + i < s->y1)
            conv_last::finish(p, s->at.before + (size_t)(y + i) * (size_t)s->at.width + (size_t)x,
                              0, sums[i]);
}

/* The step's last rows become those that stay. */
template <int GROUP> KZ_DEVICE void move_on(segment *s, unsigned char *rows)
{
    uint4 *const to = (uint4 *)rows;
    const uint4 *const from = (const uint4 *)(rows + TILE_ROWS * room<GROUP>::row);
    for (int i = (int)threadIdx.x; i < HALO * room<GROUP>::row / 16; i += THREADS)
        to[i] = from[i];
    if (threadIdx.x == 0)
        s->at.y += TILE_ROWS;
    __syncthreads();
}

/* Segments of `rows` rows; of `last`, `in` isn't read, nor `out` of `first` written. */
template <class T, int GROUP>
KZ_KERNEL void __launch_bounds__(THREADS)
    run(const KZ_PARAMETER kz_conv_task first, const KZ_PARAMETER kz_conv_task last,
        const KZ_PARAMETER kz_blocks blocks, int rows)
{
    KZ_SHARED(shared);
    typedef room<GROUP> r;
    segment *const s = (segment *)(shared + r::place);
    float *const weights = (float *)(shared + r::weights);
    if (threadIdx.x == 0)
        *s = find_segment<T>(first, last, blocks, rows);
    conv_last::load_weights<T>(last, 0, last.in.channels, weights, (int)threadIdx.x, THREADS);
    __syncthreads();
    const int steps = (s->y1 - s->y0 + HALO + TILE_ROWS - 1) / TILE_ROWS;
    for (int step = 0; step < steps; step++) {
        float c[WARP_ROWS][2][GROUP / 8][4] = {};
        multiply_all<T, GROUP>(first, s, shared + r::stages, c);
        __syncthreads();
        keep_rows<T, GROUP>(first, s, c, shared + r::stages);
        __syncthreads();
        make_last<T, GROUP>(last, s, shared, weights);
        __syncthreads();
        move_on<GROUP>(s, shared);
    }
}
} // namespace conv_tail

#endif
