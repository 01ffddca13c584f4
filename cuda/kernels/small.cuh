/* A whole small network at once: nothing between its input and its output leaves the chip.
 *
 * A block marches down a strip of the picture, two rows a step. In a step each layer makes two rows
 * of the strip, one row behind the layer before it, from that one's two newest rows and the two of
 * the step before; a barrier lies between layers. So no row is computed twice but at a strip's and
 * a segment's ends, where a layer reaches a pixel less far than the one before. With 16 channels
 * and six layers before the last, of 128 columns 116 are the strip's own: 10 % more work. Tiles of
 * two dimensions, whole in two buffers beside the skip's, would be 24×24 pixels in 100 KB, at 58 %.
 *
 * Shared memory holds pairs of rows. Hidden layers write theirs one after the other into a ring of
 * `hidden` + 2 pairs: layer k's pair n is read last by layer k + 1 in step n + 1, after which the
 * ring has come round. The first layer's have a ring of their own, as long as the skip reaches
 * back. That is 22 rows with five hidden layers, where a ring of four rows a layer would take 28:
 * 95 KB for 16 channels × 128 columns or for 32 × 64, so that these fit 8.6, 8.9 and 12.0 too.
 * With 7.5's 64 KB 16 channels have strips of 80, and 24 or more run layer by layer.
 *
 * A warp makes 16 columns of both rows with all channels: for each product of 2048 it reads 170
 * bytes of values and 128 of weights (16 channels), or 85 and 128 (32), which is 2.3 or 1.7 cycles
 * of shared memory and L1 beside 4 to 8 of the tensor cores of such devices, 2 on 8.0. Weights lie
 * in global memory as fragments, and a column of taps is on its way while the one before it is
 * multiplied, the first one during the barrier. A pixel's eight channels are 16 bytes and
 * neighbours lie side by side, so fragments are loaded and stored free of bank conflicts.
 * Barriers: `hidden` + 2 a step; between two a warp has 36 products (16 channels) or 144 (32).
 *
 * Sums are in the order of conv_plain.cuh and conv_tensor.cuh, rounded where they round: with 16
 * and 32 channels the result has the same bits as theirs. Inputs that lack to 16 or 32 are zero
 * weights to values that are there: of 8 channels' products half are for nothing, of 24's a
 * quarter.
 *
 * What lies outside the picture is zero in every layer. Columns that aren't the strip's own get
 * less valid from layer to layer, rows of the first steps likewise; what they hold then is never
 * read for a pixel that counts. */
#ifndef KZ_CUDA_KERNELS_SMALL_CUH
#define KZ_CUDA_KERNELS_SMALL_CUH

#include <cstring>

#include "cuda/kernels/batch.cuh"
#include "cuda/kernels/element.cuh"
#include "cuda/kernels/tensor.cuh"

namespace small
{
enum {
    ROWS = 2,   /* of a step */
    GROUP = 16, /* columns of a warp */
    MOST_COLUMNS = 128,
    THREADS = 32 * MOST_COLUMNS / GROUP, /* at most */
    INPUTS = 3, /* pairs of rows of the input: two are read while one is on its way */
    OUTPUTS = 4
};

/* ---- what lies where ---- */

/* Pairs of rows of the first layer's, and of the hidden ones'. */
KZ_BOTH int first_pairs(const kz_small_task &p)
{
    const int back = p.skip ? (p.hidden + 1) / 2 : 1;
    return (back > 1 ? back : 1) + 1;
}

KZ_BOTH int hidden_pairs(const kz_small_task &p)
{
    return p.hidden ? p.hidden + 2 : 0;
}

/* A pixel more on each side, which fragments of columns that don't count reach to. */
KZ_BOTH int pitch_of(const kz_small_task &p)
{
    return p.columns + 2;
}

KZ_BOTH int row_bytes(const kz_small_task &p)
{
    return pitch_of(p) * p.channels * 2;
}

KZ_BOTH int values_bytes(const kz_small_task &p)
{
    return (first_pairs(p) + hidden_pairs(p)) * ROWS * row_bytes(p);
}

/* Before the values. */
enum { SEGMENT_BYTES = 128 };

KZ_BOTH int shared_bytes(const kz_small_task &p)
{
    return SEGMENT_BYTES + values_bytes(p) + INPUTS * ROWS * pitch_of(p) * (int)sizeof(float);
}

/* Columns on each side that aren't a strip's own. */
KZ_BOTH int halo_of(const kz_small_task &p)
{
    return p.hidden + 1;
}

/* Constants: floats, then fragments.
 * the first layer's weights: [eight][tap][8]
 * biases: [layer but the last][channel], and the last one's, filled up to 8
 * slopes: [layer but the last][channel]
 * fragments: [layer but the first][chunk of 16 inputs][column of taps][row of taps]
 *            [eight outputs][lane][2], of two elements each */
KZ_BOTH int biases_at(const kz_small_task &p)
{
    return 9 * p.channels;
}

KZ_BOTH int slopes_at(const kz_small_task &p)
{
    return biases_at(p) + (p.hidden + 1) * p.channels + 8;
}

KZ_BOTH int fragments_at(const kz_small_task &p)
{
    return slopes_at(p) + (p.hidden + 1) * p.channels;
}

/* Of 4 bytes, of a layer with so many eights of outputs. */
KZ_BOTH int fragment_count(const kz_small_task &p, int eights)
{
    return (p.channels + 15) / 16 * 9 * eights * 64;
}

/* What is read at once. */
struct alignas(16) four {
    float each[4];
};

struct alignas(8) pair {
    float each[2];
};

struct alignas(8) fragment {
    unsigned each[2];
};

/* Blocks for which a multiprocessor has registers: weights on their way take them. */
constexpr int blocks_of(int channels)
{
    return channels <= 16 ? 2 : 1;
}

/* ---- where a block works ---- */

/* In shared memory: a block needs this too seldom to keep it in registers. */
struct segment {
    int width, height; /* of its tile */
    const float *in;   /* the tile's first pixel */
    float *out;
    int x0, x1; /* its own columns, in the tile */
    int y0, y1;
};

struct strip {
    const segment *own;
    int x, y; /* in the tile: its first column, and the first layer's first row */
    unsigned char *first, *hidden; /* pairs of rows: [row][eight][pitch][8 elements] */
    float *input;                  /* [pitch], the first of which is column -1 */
};

KZ_DEVICE segment find_segment(const kz_small_task &p, const kz_blocks &blocks, int rows)
{
    const int own = p.columns - 2 * halo_of(p);
    const kz_block_tile &tile = blocks.tiles[kz_block_find(blocks)];
    const int block = (int)(blockIdx.x - tile.begin), strips = (tile.width + own - 1) / own;
    segment s;
    s.width = tile.width;
    s.height = tile.height;
    s.in = (const float *)p.in.data + kz_pixels_before(p.in, tile) * (size_t)p.in.pixel;
    s.out = (float *)p.out.data + kz_pixels_before(p.out, tile) * (size_t)p.out.pixel;
    s.x0 = block % strips * own;
    s.x1 = s.x0 + own < tile.width ? s.x0 + own : tile.width;
    s.y0 = block / strips * rows;
    s.y1 = s.y0 + rows < tile.height ? s.y0 + rows : tile.height;
    return s;
}

/* With the barrier behind which it is there. */
KZ_DEVICE strip find_strip(const kz_small_task &p, const kz_blocks &blocks, int rows,
                           unsigned char *shared)
{
    segment *const own = (segment *)shared;
    strip s;
    if (threadIdx.x == 0)
        *own = find_segment(p, blocks, rows);
    __syncthreads();
    s.own = own;
    s.x = own->x0 - halo_of(p);
    s.y = own->y0 - halo_of(p);
    s.first = shared + SEGMENT_BYTES;
    s.hidden = s.first + first_pairs(p) * ROWS * row_bytes(p);
    s.input = (float *)(s.first + values_bytes(p));
    return s;
}

/* The four rows that a layer reads to make two. */
struct window {
    const unsigned char *rows[ROWS + 2];
};

KZ_DEVICE window make_window(const unsigned char *from, int row, int before, int newest)
{
    window w;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        w.rows[i] = from + (ROWS * before + i) * row;
        w.rows[ROWS + i] = from + (ROWS * newest + i) * row;
    }
    return w;
}

/* What the layer before layer k has made: `next` is the hidden layers' pair to be written next. */
KZ_DEVICE window find_window(const kz_small_task &p, const strip &s, int step, int k, int next)
{
    const int pairs = k == 1 ? first_pairs(p) : hidden_pairs(p);
    const int newest = k == 1 ? step : next + pairs - 1, before = k == 1 ? step - 1 : next + 1;
    return make_window(k == 1 ? s.first : s.hidden, row_bytes(p), before % pairs, newest % pairs);
}

/* ---- products ---- */

/* The weights of a column of taps. */
template <int EIGHTS>
KZ_DEVICE void load_weights(fragment b[3][EIGHTS], const fragment *from, int column)
{
    const int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 3 * EIGHTS; i++)
        b[i / EIGHTS][i % EIGHTS] = from[(column * 3 * EIGHTS + i) * 32 + lane];
}

/* The products of one column of taps and 16 channels; `at` is the lane's pixel in a row. */
template <class T, int EIGHTS>
KZ_DEVICE void multiply_column(float c[ROWS][EIGHTS][4], const fragment b[3][EIGHTS],
                               const window &from, int at)
{
#pragma unroll
    for (int row = 0; row < ROWS + 2; row++) {
        unsigned a[4];
        kz_load_fragments(a, from.rows[row] + at);
#pragma unroll
        for (int to = 0; to < ROWS; to++) {
            const int ky = row - to;
            if (ky < 0 || ky > 2)
                continue;
#pragma unroll
            for (int n = 0; n < EIGHTS; n++)
                kz_multiply(c[to][n], a, b[ky][n].each, T());
        }
    }
}

/* Bytes from a row's start to what the lane loads of a pixel: the first eight of a chunk for lanes
 * below 16, else the second one. Where there is no second one, it is the first one again. */
template <int C> KZ_DEVICE int lane_offset(int pitch, int chunk, int pixel)
{
    const int lane = (int)threadIdx.x % 32, eight = 2 * chunk + lane / 16;
    return ((eight < C / 8 ? eight : 2 * chunk) * pitch + pixel + lane % 16) * 16;
}

/* Begins with the barrier behind which `from` is there. */
template <class T, int C, int EIGHTS>
KZ_DEVICE void multiply(const kz_small_task &p, float c[ROWS][EIGHTS][4], const fragment *weights,
                        const window &from, int column)
{
    enum { COLUMNS = (C + 15) / 16 * 3 };
    const int pitch = pitch_of(p);
    fragment b[2][3][EIGHTS];
    load_weights<EIGHTS>(b[0], weights, 0);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) {
        if (i + 1 < COLUMNS)
            load_weights<EIGHTS>(b[(i + 1) % 2], weights, i + 1);
        multiply_column<T, EIGHTS>(c, b[i % 2], from, lane_offset<C>(pitch, i / 3, column + i % 3));
    }
}

/* ---- layers ---- */

KZ_DEVICE bool is_inside(const strip &s, int x, int y)
{
    return x >= 0 && x < s.own->width && y >= 0 && y < s.own->height;
}

KZ_DEVICE const float *source_at(const kz_small_task &p, const strip &s, int x, int y)
{
    return s.own->in + ((size_t)y * (size_t)s.own->width + (size_t)x) * (size_t)p.in.pixel;
}

/* The input's pair of rows `index`, of which the first is the one above s.y. */
KZ_DEVICE void fetch(const kz_small_task &p, const strip &s, int index)
{
    const int pitch = pitch_of(p);
    float *const to = s.input + index % INPUTS * ROWS * pitch;
    for (int i = (int)threadIdx.x; i < ROWS * pitch; i += (int)blockDim.x) {
        const int x = s.x - 1 + i % pitch, y = s.y - 1 + index * ROWS + i / pitch;
        const bool there = is_inside(s, x, y);
        kz_copy_4(to + i, there ? source_at(p, s, x, y) : (const float *)p.in.data, there);
    }
}

/* Eight channels of a column, both rows. */
KZ_DEVICE void add_taps(const kz_small_task &p, const strip &s, int step, int column, int eight,
                        float sums[ROWS][8])
{
    const four *weights = (const four *)p.constants + eight * 9 * 2;
    const int pitch = pitch_of(p);
    float in[ROWS + 2][3];
#pragma unroll
    for (int i = 0; i < (ROWS + 2) * 3; i++) {
        const int pair = (step + i / 3 / ROWS) % INPUTS, row = i / 3 % ROWS;
        in[i / 3][i % 3] = s.input[(pair * ROWS + row) * pitch + column + i % 3];
    }
#pragma unroll
    for (int tap = 0; tap < 9; tap++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const four w = weights[tap * 2 + half];
#pragma unroll
            for (int i = 0; i < ROWS * 4; i++)
                sums[i / 4][half * 4 + i % 4] += w.each[i % 4] * in[i / 4 + tap / 3][tap % 3];
        }
}

/* Eight channels of a pixel; `at` counts floats from the constants' start. */
KZ_DEVICE void load_eight(const kz_small_task &p, int at, float to[8])
{
    const four *from = (const four *)((const float *)p.constants + at);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const four values = from[half];
#pragma unroll
        for (int i = 0; i < 4; i++)
            to[half * 4 + i] = values.each[i];
    }
}

KZ_DEVICE float activated(float value, float slope)
{
    return value < 0 ? value * slope : value;
}

template <class T, int C>
KZ_DEVICE void make_first(const kz_small_task &p, const strip &s, int step)
{
    const int pitch = pitch_of(p), row = row_bytes(p);
    unsigned char *const to = s.first + step % first_pairs(p) * ROWS * row;
    for (int i = (int)threadIdx.x; i < p.columns * (C / 8); i += (int)blockDim.x) {
        const int column = i % p.columns, eight = i / p.columns;
        float sums[ROWS][8] = {}, bias[8], slopes[8];
        load_eight(p, biases_at(p) + eight * 8, bias);
        load_eight(p, slopes_at(p) + eight * 8, slopes);
        add_taps(p, s, step, column, eight, sums);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const bool inside = is_inside(s, s.x + column, s.y + ROWS * step + r);
            union {
                uint4 all;
                T each[8];
            } u;
#pragma unroll
            for (int c = 0; c < 8; c++)
                kz_set(&u.each[c], inside ? activated(sums[r][c] + bias[c], slopes[c]) : 0);
            *(uint4 *)(to + r * row + (eight * pitch + 1 + column) * 16) = u.all;
        }
    }
}

/* What the skip adds to the pair of rows that the last hidden layer makes. */
KZ_DEVICE const unsigned char *skipped_row(const kz_small_task &p, const strip &s, int step,
                                           int row)
{
    const int at = ROWS * step - p.hidden + row;
    return s.first + (at / ROWS % first_pairs(p) * ROWS + at % ROWS) * row_bytes(p);
}

/* The lane's channels of each eight. */
template <int EIGHTS> struct lane_floats {
    pair bias[EIGHTS], slopes[EIGHTS];
};

template <int EIGHTS> KZ_DEVICE lane_floats<EIGHTS> load_floats(const kz_small_task &p, int k)
{
    const float *from = (const float *)p.constants + k * EIGHTS * 8 + threadIdx.x % 4 * 2;
    lane_floats<EIGHTS> f;
#pragma unroll
    for (int n = 0; n < EIGHTS; n++) {
        f.bias[n] = *(const pair *)(from + biases_at(p) + n * 8);
        f.slopes[n] = *(const pair *)(from + slopes_at(p) + n * 8);
    }
    return f;
}

template <class T> KZ_DEVICE void add_pair(float sums[2], const unsigned char *from)
{
    const unsigned bits = *(const unsigned *)from;
    T values[2];
    memcpy(values, &bits, sizeof(bits));
    for (int i = 0; i < 2; i++)
        sums[i] += kz_float(values[i]);
}

template <class T> KZ_DEVICE void store_pair(const float sums[2], bool inside, unsigned char *to)
{
    T values[2];
    unsigned bits;
    for (int i = 0; i < 2; i++)
        kz_set(&values[i], inside ? sums[i] : 0);
    memcpy(&bits, values, sizeof(bits));
    *(unsigned *)to = bits;
}

template <class T, int C>
KZ_DEVICE void make_hidden(const kz_small_task &p, const strip &s, int step, int k, int next)
{
    const fragment *weights = (const fragment *)((const float *)p.constants + fragments_at(p) +
                                                 (k - 1) * fragment_count(p, C / 8));
    const int lane = (int)threadIdx.x % 32, row = row_bytes(p);
    const int column = (int)threadIdx.x / 32 * GROUP;
    unsigned char *const to = s.hidden + next * ROWS * row;
    const lane_floats<C / 8> floats = load_floats<C / 8>(p, k);
    const bool skips = p.skip && k == p.hidden;
    float c[ROWS][C / 8][4] = {};
    multiply<T, C, C / 8>(p, c, weights, find_window(p, s, step, k, next), column);
#pragma unroll
    for (int i = 0; i < ROWS * 2; i++) {
        const int r = i / 2, half = i % 2, pixel = column + lane / 4 + 8 * half;
        const unsigned char *skipped = skips ? skipped_row(p, s, step, r) : nullptr;
        const bool inside = is_inside(s, s.x + pixel, s.y + ROWS * step - k + r);
#pragma unroll
        for (int n = 0; n < C / 8; n++) {
            const int at = (n * pitch_of(p) + 1 + pixel) * 16 + lane % 4 * 4;
            float sums[2];
#pragma unroll
            for (int j = 0; j < 2; j++)
                sums[j] = activated(c[r][n][2 * half + j] + floats.bias[n].each[j],
                                    floats.slopes[n].each[j]);
            if (skips)
                add_pair<T>(sums, skipped + at);
            store_pair<T>(sums, inside, to + r * row + at);
        }
    }
}

/* Two pixels of the output beside each other: channels 0 and 1 of the last layer are above 2 and
 * 3, which are another lane's. */
KZ_DEVICE void store_output(const kz_small_task &p, const strip &s, const float sums[2], int x,
                            int y, float source)
{
    const int below = (int)threadIdx.x % 4;
    const float *bias = (const float *)p.constants + biases_at(p) + halo_of(p) * p.channels;
    pair two;
    for (int i = 0; i < 2; i++)
        two.each[i] = sums[i] + bias[2 * below + i] + source;
    const segment *own = s.own;
    const size_t pixel = (size_t)(2 * y + below) * (size_t)(2 * own->width) + (size_t)(2 * x);
    if (x >= own->x0 && x < own->x1 && y >= own->y0 && y < own->y1)
        *(pair *)(own->out + pixel * (size_t)p.out.pixel) = two;
}

template <class T, int C>
KZ_DEVICE void make_last(const kz_small_task &p, const strip &s, int step, int next)
{
    const int lane = (int)threadIdx.x % 32, column = (int)threadIdx.x / 32 * GROUP;
    const fragment *weights = (const fragment *)((const float *)p.constants + fragments_at(p) +
                                                 p.hidden * fragment_count(p, C / 8));
    const int x = s.x + column + lane / 4, y = s.y + ROWS * step - halo_of(p);
    float c[ROWS][1][4] = {}, source[ROWS][2];
#pragma unroll
    for (int i = 0; i < ROWS * 2; i++) {
        const int from_x = x + 8 * (i % 2), from_y = y + i / 2;
        source[i / 2][i % 2] = is_inside(s, from_x, from_y) ? *source_at(p, s, from_x, from_y) : 0;
    }
    multiply<T, C, 1>(p, c, weights, find_window(p, s, step, halo_of(p), next), column);
    if (lane % 4 * 2 >= OUTPUTS)
        return;
#pragma unroll
    for (int i = 0; i < ROWS * 2; i++)
        store_output(p, s, c[i / 2][0] + 2 * (i % 2), x + 8 * (i % 2), y + i / 2,
                     source[i / 2][i % 2]);
}

/* Segments of `rows` rows. */
template <class T, int C>
KZ_KERNEL void __launch_bounds__(THREADS, blocks_of(C))
    run(const KZ_PARAMETER kz_small_task p, const KZ_PARAMETER kz_blocks blocks, int rows)
{
    KZ_SHARED(shared);
    const strip s = find_strip(p, blocks, rows, shared);
    const int halo = halo_of(p), steps = (s.own->y1 - s.own->y0 + ROWS - 1) / ROWS + halo;
    int next = 0;
    for (int pair = 0; pair < INPUTS - 1; pair++)
        fetch(p, s, pair);
    for (int step = 0; step < steps; step++) {
        kz_copies_wait();
        __syncthreads();
        fetch(p, s, step + INPUTS - 1);
        make_first<T, C>(p, s, step);
        /* Before step k there is nothing that layer k could make of. */
        for (int k = 1; k <= p.hidden; k++) {
            if (step >= k)
                make_hidden<T, C>(p, s, step, k, next);
            next = next + 1 < hidden_pairs(p) ? next + 1 : 0;
        }
        if (step >= halo)
            make_last<T, C>(p, s, step, next);
    }
}
} // namespace small

#endif
