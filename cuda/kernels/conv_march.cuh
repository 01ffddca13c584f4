/* Convolution for Hopper (9.0) that reads each row of the input once for three rows of the output:
 * 3×3, 16 bits, all of up to 32 or up to 64 outputs at once.
 *
 * A warpgroup marches down a strip 64 pixels wide. Of a row of the input it multiplies 64 pixels by
 * the weights of all three rows of taps side by side, for each column of taps and 16 channels: one
 * shape of product alone (64×96 with 32 outputs, 64×192 with 64) on the same sums, whose order PTX
 * guarantees without waiting. They are of three rows of the output. After a row of the input the
 * oldest is finished and leaves, the others move up, the newest begins as the bias: 64 moves with
 * 32 outputs, the only time that all products have to be done.
 *
 * The block's two warpgroups take turns at the tensor cores, each on its own strip: while the one's
 * products of a row run, the other fetches a row, stores one, waits, moves and is ready. A turn
 * ends when only the last 32 channels' products are left (288 cycles with 32 outputs), so that the
 * next ones follow without a gap. Without turns both might compute at once, and then wait at once.
 *
 * Cycles by the shapes, of a product with 32 outputs and with 64: tensor cores compute for 48 and
 * 96, and shared memory is read for 16 + 24 and 16 + 48 (128 bytes a cycle). Copying 66 pixels of
 * 16 channels there takes 16.5 for each three products. In all that is 95 % and 72 % of the tensor
 * cores' time; exchanges before storing are 64 and 128 a row more, if each takes one. From L2 come
 * 66 × 32 bytes for each three products: 15 and 7 a cycle. A turn is 576 cycles with 64 inputs and
 * 32 outputs, and 1440 with 160.
 *
 * Shared memory with 32 outputs: weights 36, 54, 72 and 90 KiB (64, 96, 128, 160 inputs), and a
 * row 8.4, 12.6, 16.8 and 20.9 KiB: six for each warpgroup in the first two, three in the others,
 * at most 216 KiB: one block on a multiprocessor. With 64 outputs 64 inputs take 173 KiB. 192 → 64
 * doesn't fit, since its weights alone are 216 KiB.
 *
 * There are as many blocks as multiprocessors. Strips follow one another as one column of rows, of
 * which each warpgroup has an equal share: at 1920×1080 30 × 1080 rows for 264 are 123 each. A
 * strip's part of a share costs two rows of the input more: 123 of 125 rows count, or of 127 where
 * a share has the end of one strip and the beginning of the next: 97 to 98 %. At 640×360 it is 14
 * of 16 or 18. Only the last strip may have columns for nothing.
 *
 * Sums whose places rotate, instead of moving, would need the weights in three orders: 5/3 of
 * their memory, which 160 inputs don't have. */
#ifndef KZ_CUDA_KERNELS_CONV_MARCH_CUH
#define KZ_CUDA_KERNELS_CONV_MARCH_CUH

#include "cuda/kernels/conv_wgmma.cuh"

namespace conv_march
{
enum {
    WARPGROUP = conv_wgmma::WARPGROUP,
    WARPGROUPS = conv_wgmma::WARPGROUPS,
    THREADS = WARPGROUPS * WARPGROUP,
    TAPS = 3, /* in a row, and in a column */
    COLUMNS = 64,
    HALO_COLUMNS = COLUMNS + TAPS - 1,
    CHUNK = 16,
    UNIT = KZ_MATRIX_UNIT,
    PITCH = HALO_COLUMNS + 1 /* units of eight channels: odd, so that copies use all banks */
};

/* Bytes in shared memory: of all weights, as conv_wgmma.cuh has a chunk's, and of a row. */
KZ_BOTH int weight_bytes(int inputs, int group)
{
    return inputs * TAPS * TAPS * group * 2;
}

KZ_BOTH int row_bytes(int inputs)
{
    return inputs / 8 * PITCH * UNIT;
}

KZ_BOTH int room_of(int inputs, int group, int rows)
{
    return weight_bytes(inputs, group) + WARPGROUPS * rows * row_bytes(inputs);
}

/* ---- the way ---- */

/* Rows of the output, strip by strip. */
struct share {
    int begin, end;
};

/* Of one of the block's warpgroups. */
KZ_DEVICE share share_of(const kz_conv_task &p, int warpgroup)
{
    const int count = (int)gridDim.x * WARPGROUPS;
    const int all = (p.in.width + COLUMNS - 1) / COLUMNS * p.in.height;
    const int each = (all + count - 1) / count;
    const int begin = ((int)blockIdx.x * WARPGROUPS + warpgroup) * each;
    return {begin < all ? begin : all, begin + each < all ? begin + each : all};
}

/* Rows of the input that it takes: of each strip's part two more. */
KZ_DEVICE int steps_of(const kz_conv_task &p, const share &s)
{
    const int parts = (s.end - 1) / p.in.height - s.begin / p.in.height + 1;
    return s.begin < s.end ? s.end - s.begin + parts * (TAPS - 1) : 0;
}

/* A row of the input, of a strip's part. It begins before the first. */
struct cursor {
    int x, y;        /* its first pixel, halo not included */
    int first, last; /* of the part: the first row of the output, the last one of the input */
    int next;        /* where the next part begins in the share */
};

KZ_DEVICE void advance(cursor *c, const kz_conv_task &p, const share &s)
{
    if (c->y < c->last) {
        c->y++;
        return;
    }
    const int below = p.in.height - c->next % p.in.height, left = s.end - c->next;
    const int rows = below < left ? below : left;
    c->x = c->next / p.in.height * COLUMNS;
    c->first = c->next % p.in.height;
    c->y = c->first - 1;
    c->last = c->first + rows;
    c->next += rows;
}

/* ---- what comes in ---- */

/* What a thread copies of a row: eight channels of every `step`th pixel. */
struct part {
    int eight, pixel, step;
};

KZ_DEVICE part part_of(const kz_conv_task &p)
{
    const int eights = p.in.channels / 8, thread = (int)threadIdx.x % WARPGROUP;
    const int step = WARPGROUP / eights;
    const int pixel = thread / eights;
    return {thread % eights, pixel < step ? pixel : (int)HALO_COLUMNS, step};
}

template <class T>
KZ_DEVICE void fetch_row(const kz_conv_task &p, const cursor &at, const part &mine,
                         unsigned char *to)
{
    const bool inside = at.y >= 0 && at.y < p.in.height;
    const T *row = (const T *)p.in.data;
    if (inside)
        row += (size_t)at.y * (size_t)p.in.width * (size_t)p.in.pixel;
#pragma unroll 2
    for (int pixel = mine.pixel; pixel < HALO_COLUMNS; pixel += mine.step) {
        const int x = at.x - 1 + pixel;
        const bool there = inside && x >= 0 && x < p.in.width;
        const size_t offset = there ? (size_t)x * (size_t)p.in.pixel + (size_t)(8 * mine.eight) : 0;
        kz_copy_16(to + (mine.eight * PITCH + pixel) * UNIT, row + offset, there);
    }
}

template <int GROUP> KZ_DEVICE void fetch_all_weights(const kz_conv_task &p, unsigned char *to)
{
    enum { BYTES = conv_wgmma::stage<TAPS, GROUP>::weights };
    for (int chunk = 0; chunk < p.in.channels / CHUNK; chunk++)
        conv_wgmma::fetch_weights<TAPS, GROUP>((const char *)p.weights + (size_t)chunk * BYTES,
                                               to + chunk * BYTES);
}

/* ---- what comes out ---- */

/* A lane's constants: of its sums, and of the channels that it stores. */
template <int GROUP> struct constants {
    float biases[GROUP / 8][2], slopes[GROUP / 32][8];
};

template <int GROUP> KZ_DEVICE void load_constants(constants<GROUP> *to, const kz_conv_task &p)
{
    const int t = (int)threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < GROUP / 8; n++)
#pragma unroll
        for (int i = 0; i < 2; i++)
            to->biases[n][i] = p.bias[8 * n + 2 * t + i];
#pragma unroll
    for (int n = 0; n < GROUP / 32; n++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            to->slopes[n][i] = p.slopes ? p.slopes[8 * (4 * n + t) + i] : 1;
}

/* Of four lanes: lane t's e[s] becomes what lane s had as e[t]. */
KZ_DEVICE void transpose(float e[4][4])
{
#pragma unroll
    for (int bit = 1; bit < 4; bit *= 2) {
        const bool high = (int)threadIdx.x & bit;
#pragma unroll
        for (int s = 0; s < 4; s++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                if (s & bit)
                    continue;
                const float got = kz_exchange(high ? e[s][i] : e[s | bit][i], bit);
                if (high)
                    e[s][i] = got;
                else
                    e[s | bit][i] = got;
            }
    }
}

/* The row of the output above the cursor's, if it is the part's. Without shared memory, whose time
 * products need: four lanes have all channels of two pixels, and each gets eight in a row. */
template <class T, int GROUP>
KZ_DEVICE void store_row(const kz_conv_task &p, const cursor &at, float done[GROUP / 8][4],
                         const constants<GROUP> &own)
{
    const int thread = (int)threadIdx.x % WARPGROUP, lane = thread % 32;
    const conv_wgmma::place place = {};
    if (at.y <= at.first)
        return;
#pragma unroll
    for (int n = 0; n < GROUP / 32; n++) {
        const int channel = 8 * (4 * n + lane % 4);
        transpose(done + 4 * n);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int x = at.x + thread / 32 * 16 + lane / 4 + 8 * i;
            float sums[8];
            if (x >= p.in.width || channel >= p.out.channels)
                continue;
#pragma unroll
            for (int j = 0; j < 8; j++) {
                sums[j] = done[4 * n + j / 2][2 * i + j % 2];
                sums[j] *= sums[j] < 0 ? own.slopes[n][j] : 1;
            }
            conv_tensor::add_and_store<T>(p, place, sums, x, at.y - 1, channel);
        }
    }
}

/* ---- in between ---- */

#if defined(KZ_HAS_WGMMA)

/* A row of the input by all weights. c[row of the output, the oldest first][eight channels][4]. */
template <class T, int GROUP>
KZ_DEVICE void begin_products(float c[TAPS][GROUP / 8][4], uint64_t pixels, uint64_t weights,
                              int chunks)
{
#pragma unroll 1
    do {
        kz_products_begin();
#pragma unroll
        for (int column = 0; column < TAPS; column++)
            kz_matrix_product<TAPS * GROUP>(&c[0][0][0], pixels + (uint64_t)column,
                                            weights + (uint64_t)(column * 2 * TAPS * GROUP), T());
        kz_products_close();
        pixels += 2 * PITCH;
        weights += 2 * TAPS * TAPS * GROUP;
    } while (--chunks > 0);
}

template <int GROUP>
KZ_DEVICE void move_up(float c[TAPS][GROUP / 8][4], float done[GROUP / 8][4],
                       const constants<GROUP> &own)
{
#pragma unroll
    for (int n = 0; n < GROUP / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            done[n][i] = c[0][n][i];
            c[0][n][i] = c[1][n][i];
            c[1][n][i] = c[2][n][i];
            c[2][n][i] = own.biases[n][i % 2];
        }
}

#endif

/* ROWS of a ring: one is multiplied, the others are there or on their way. */
template <class T, int GROUP, int ROWS>
KZ_KERNEL void __launch_bounds__(THREADS, 1) run(const kz_conv_task p)
{
#if defined(KZ_HAS_WGMMA)
    enum { AHEAD = ROWS - 1, LEFT = 2 };
    KZ_SHARED(shared);
    const int warpgroup = kz_uniform((int)threadIdx.x / 32) / (WARPGROUP / 32);
    const int chunks = p.in.channels / CHUNK, bytes = row_bytes(p.in.channels);
    const share s = share_of(p, warpgroup);
    const int one = steps_of(p, share_of(p, 0)), two = steps_of(p, share_of(p, 1));
    const int steps = one > two ? one : two; /* both go as far; what isn't theirs isn't stored */
    const part mine = part_of(p);
    unsigned char *const ring =
        shared + weight_bytes(p.in.channels, GROUP) + warpgroup * ROWS * bytes;
    cursor ahead = {}, behind = {}; /* what was fetched last, and what was multiplied last */
    ahead.next = behind.next = s.begin;
    fetch_all_weights<GROUP>(p, shared);
#pragma unroll 1
    for (int step = 0; step < AHEAD; step++) {
        advance(&ahead, p, s);
        fetch_row<T>(p, ahead, mine, ring + step * bytes);
        kz_copies_close();
    }
    float c[TAPS][GROUP / 8][4] = {}, done[GROUP / 8][4] = {};
    constants<GROUP> own;
    load_constants(&own, p);
    move_up<GROUP>(c, done, own);
    const uint64_t weights = kz_matrix(shared, TAPS * GROUP * UNIT, 8 * UNIT);
    int step = 0;
    kz_copies_wait_for_products<AHEAD - 1>();
    __syncwarp(); /* some lanes have copied more */
    if (warpgroup == 1)
        kz_turn();
    do { /* at least one, as in conv_wgmma.cuh */
        const uint64_t pixels = kz_matrix(ring + step % ROWS * bytes, PITCH * UNIT, 8 * UNIT);
        kz_turn(); /* mine: this row and the weights are there, and all are done with the last */
        begin_products<T, GROUP>(c, pixels, weights, chunks);
        kz_products_wait<LEFT>();
        kz_turn(); /* the other one's, who begins while my last products run */
        if (step + AHEAD < steps) {
            advance(&ahead, p, s);
            fetch_row<T>(p, ahead, mine, ring + (step + AHEAD) % ROWS * bytes);
        }
        kz_copies_close();
        kz_copies_wait_for_products<AHEAD - 1>(); /* the next row */
        store_row<T, GROUP>(p, behind, done, own);
        __syncwarp(); /* some lanes have copied or stored more */
        kz_products_wait<0>();
        kz_sums_done<TAPS * GROUP / 2>(&c[0][0][0]);
        move_up<GROUP>(c, done, own);
        advance(&behind, p, s);
    } while (++step < steps);
    if (warpgroup == 0)
        kz_turn();
    store_row<T, GROUP>(p, behind, done, own);
#endif
}
} // namespace conv_march

#endif
