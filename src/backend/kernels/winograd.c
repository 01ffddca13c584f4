/* 3×3 convolution by Winograd's minimal filtering: Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A (Lavin and Gray,
 * "Fast Algorithms for Convolutional Neural Networks", 2015). The products over the channels, one
 * matrix product for each position of the transformed tile, are nearly all of the time.
 *
 *   F(4×4, 3×3)  tile 6×6, 4 × fewer multiplications   fp32; bf16 with near points (near.h), which
 *                                                      costs 4 dB, and 7 in a deep network
 *   F(2×2, 3×3)  tile 4×4, 2.25 × fewer                bf16
 *   upsampling   tile 3×3, 1.78 × fewer than the four 2×2 convolutions: with s = w0 + w1 + w2 a
 *                pair of output columns is w0 (d₋₁ − d₀) + s d₀ and s d₀ + w2 (d₊₁ − d₀)
 *
 * A call makes one row of tiles. A chunk of tiles is transformed into [position][tile][channel],
 * multiplied into [position][tile][output], and transformed back; both buffers stay in L2, a
 * position's weights pass through L1 once per chunk. The product holds up to MOST_TILES × 2 vectors
 * of outputs in registers and walks the channels: per step two loads of weights and a broadcast per
 * tile for twice as many multiplications. The bias rides in as the start of the sums at position
 * (1, 1), which the inverse transform adds to every pixel with weight one.
 *
 * That position alone sees what is flat, where values are large. Between the bf16 positions of an
 * `exact` kernel it is computed in fp32, from values that aren't rounded either. Of the near points
 * none is 1, so that all positions would see what is flat, each with a rounding of its own: a
 * pattern of up to 0.9 of 255 in animevideov3's flat greys. So a tile is transformed without its
 * flat part, which is the value of one of its middle pixels, exact in bf16, and has a position of
 * its own after the others, with the filter's sum as weight: 0.05 of 255 are left, as with F(2×2).
 */
#include <string.h>

#include "backend/kernels/kernel.h"
#include "backend/kernels/near.h"
#include "backend/kernels/table.h"
#include "backend/kernels/vector.h"
#include "base/mem.h"

#if defined(__AVX512F__)
enum { MOST_TILES = 14, CHUNK = 28 };
#else
enum { MOST_TILES = 6, CHUNK = 24 };
#endif

#if defined(KZ_BF16)
typedef uint16_t element;
enum { IS_BF16 = 1, PARTS = 2, PASSES = 1 };
#else
typedef float element;
enum { IS_BF16 = 0, PARTS = 1, PASSES = 16 / LANES };
#endif

/* A tile's side, its step, and the output's. */
struct shape {
    int tile, step, out;
    bool flat; /* tiles are transformed without their flat part */
};

#define F2 ((struct shape){4, 2, 2, false})
#define F4 ((struct shape){6, 4, 4, IS_BF16})
#define UP ((struct shape){3, 1, 2, false})

/* ---- transforms of one line ---- */

/* Bᵀ d, in place. */
INLINE void forward(vec *d, int tile)
{
    vec a = d[0], b = d[1], c = d[2];
    if (tile == 3) {
        d[0] = a - b;
        d[2] = c - b;
        return;
    }
    vec e = d[3];
    if (tile == 4) {
        d[0] = a - c;
        d[1] = b + c;
        d[2] = c - b;
        d[3] = b - e;
        return;
    }
    if (IS_BF16) {
        forward_near(d);
        return;
    }
    vec f = d[4], g = d[5], four = vec_set(4), five = vec_set(5), two = vec_set(2);
    vec even = vec_fma(-four, c, f), odd = vec_fma(-four, b, e);
    vec near = f - c, far = two * (e - b);
    d[0] = vec_fma(four, a, vec_fma(-five, c, f));
    d[1] = even + odd;
    d[2] = even - odd;
    d[3] = near + far;
    d[4] = near - far;
    d[5] = vec_fma(four, b, vec_fma(-five, e, g));
}

/* Aᵀ m. */
INLINE void inverse(vec *y, const vec *m, int tile)
{
    if (tile == 3) {
        y[0] = m[0] + m[1];
        y[1] = m[1] + m[2];
    } else if (tile == 4) {
        y[0] = m[0] + m[1] + m[2];
        y[1] = m[1] - m[2] - m[3];
    } else if (IS_BF16) {
        inverse_near(y, m);
    } else {
        vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
        y[0] = m[0] + a + c;
        y[1] = vec_fma(vec_set(2), d, b);
        y[2] = vec_fma(vec_set(4), c, a);
        y[3] = vec_fma(vec_set(8), d, b) + m[5];
    }
}

/* ---- input ---- */

/* Column `at` of the tile's rows, transformed downwards, as column `to` of `d`. */
INLINE void load_column(vec d[PARTS][6][6], int to, const char *const *rows, int blocks, size_t at,
                        int tile)
{
    vec column[PARTS][6];
    for (int y = 0; y < tile; y++) {
        const char *p = rows[y * blocks] + at;
#if defined(KZ_BF16)
        load_even_odd(&column[0][y], &column[1][y], p);
#else
        column[0][y] = vec_load((const float *)p);
#endif
    }
    for (int part = 0; part < PARTS; part++) {
        forward(column[part], tile);
        for (int y = 0; y < tile; y++)
            d[part][y][to] = column[part][y];
    }
}

/* Where the transformed values of a chunk go, or of a block of it: [position][tile][channel]. */
struct values {
    element *all;
    float *exact; /* position (1, 1), if it is in fp32, else NULL: [tile][channel] */
    size_t channels, position;
};

/* Transforms row y of the tile along the row and stores its positions. `flat`: without that, in
 * every pixel; or NULL. */
INLINE void store_row(const struct values *out, int t, vec d[PARTS][6][6], int y, int tile,
                      const vec *flat)
{
    vec line[PARTS][6];
    for (int part = 0; part < PARTS; part++) {
        for (int x = 0; x < tile; x++)
            line[part][x] = d[part][y][x];
        for (int x = 0; x < tile && flat; x++)
            line[part][x] = vec_fma(vec_set(-near_ones(y)), flat[part], line[part][x]);
        forward(line[part], tile);
    }
    for (int x = 0; x < tile; x++) {
        size_t at = (size_t)t * out->channels;
        element *p = out->all + (size_t)(y * tile + x) * out->position + at;
#if defined(KZ_BF16)
        if (y == 1 && x == 1 && out->exact) {
            vec_store(out->exact + at, line[0][x]);
            vec_store(out->exact + at + LANES, line[1][x]);
        } else {
            store_pair(p, line[0][x], line[1][x]);
        }
#else
        vec_store(p, line[0][x]);
#endif
    }
}

#if defined(KZ_BF16)
/* A tile's flat part, one of its middle pixels, to the position after the others. */
INLINE void take_flat(vec *flat, const struct values *out, int t, const char *pixel)
{
    load_even_odd(&flat[0], &flat[1], pixel);
    store_pair(out->all + KZ_NEAR_TILE * KZ_NEAR_TILE * out->position + (size_t)t * out->channels,
               flat[0], flat[1]);
}
#endif

/* One block, or one vector of it, of all the chunk's tiles. */
INLINE void forward_block(struct values out, const char *const *rows, int blocks, size_t at,
                          int tiles, struct shape s)
{
    vec d[PARTS][6][6], flat[PARTS];
    int kept = s.tile - s.step;
    for (int x = 0; x < kept; x++)
        load_column(d, x, rows, blocks, at + (size_t)x * KZ_PIXEL_BYTES, s.tile);
    for (int t = 0; t < tiles; t++) {
        size_t left = at + (size_t)(t * s.step) * KZ_PIXEL_BYTES;
        for (int x = kept; x < s.tile; x++)
            load_column(d, x, rows, blocks, left + (size_t)x * KZ_PIXEL_BYTES, s.tile);
#if defined(KZ_BF16)
        if (s.flat)
            take_flat(flat, &out, t, rows[2 * blocks] + left + 2 * KZ_PIXEL_BYTES);
#endif
        for (int y = 0; y < s.tile; y++)
            store_row(&out, t, d, y, s.tile, s.flat ? flat : NULL);
        for (int part = 0; part < PARTS; part++)
            for (int y = 0; y < s.tile; y++)
                for (int x = 0; x < kept; x++)
                    d[part][y][x] = d[part][y][x + s.step];
    }
}

INLINE void forward_tiles(const struct values *out, const kz_kernel *k, const kz_kernel_run *run,
                          int first, int tiles, struct shape s)
{
    for (int b = 0; b < k->in_blocks; b++)
        for (int pass = 0; pass < PASSES; pass++) {
            size_t lane = (size_t)pass * LANES;
            struct values block = *out;
            block.all += (size_t)b * (KZ_PIXEL_BYTES / sizeof(element)) + lane;
            if (block.exact)
                block.exact += (size_t)b * (KZ_PIXEL_BYTES / sizeof(element));
            forward_block(block, (const char *const *)run->src + b, k->in_blocks,
                          (size_t)(first * s.step) * KZ_PIXEL_BYTES + lane * sizeof(float), tiles,
                          s);
        }
}

/* ---- products ---- */

/* A step is four bytes of values: in bf16 a pair of channels, in fp32 one. */
INLINE vec multiply_add(const float *weights, const float *value, vec sum, bool bf16)
{
#if defined(KZ_BF16)
    if (bf16) {
        int bits;
        memcpy(&bits, value, sizeof(bits));
        return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(weights),
                                (__m512bh)_mm512_set1_epi32(bits));
    }
#endif
    (void)bf16;
    return vec_fma(vec_load(weights), vec_set(*value), sum);
}

/* sums[tile][0 … vectors × LANES - 1] = bias + values[tile][·] weights, for `tiles` tiles. */
INLINE void multiply(float *sums, int outputs, const float *values, int steps, const float *weights,
                     const float *bias, int tiles, int vectors, bool bf16)
{
    vec sum[MOST_TILES][2]; /* registers: every loop over it is unrolled */
    UNROLLED_FOR (int t = 0; t < tiles; t++)
        UNROLLED_FOR (int v = 0; v < vectors; v++)
            sum[t][v] = bias ? vec_load(bias + v * LANES) : vec_set(0);
    for (int c = 0; c < steps; c++) {
        UNROLLED_FOR (int t = 0; t < tiles; t++)
            UNROLLED_FOR (int v = 0; v < vectors; v++)
                sum[t][v] = multiply_add(weights + v * LANES,
                                         values + (size_t)t * (size_t)steps + c, sum[t][v], bf16);
        weights += vectors * LANES;
    }
    UNROLLED_FOR (int t = 0; t < tiles; t++)
        UNROLLED_FOR (int v = 0; v < vectors; v++)
            vec_store(sums + (size_t)t * (size_t)outputs + v * LANES, sum[t][v]);
}

#define PRODUCT(tiles_, vectors_, bf16_)                                                          \
    static void multiply_##tiles_##_##vectors_##_##bf16_(float *sums, int outputs,                \
                                                         const float *values, int steps,          \
                                                         const float *weights, const float *bias) \
    {                                                                                             \
        multiply(sums, outputs, values, steps, weights, bias, tiles_, vectors_, bf16_);           \
    }
#if defined(KZ_BF16)
#define PRODUCTS(tiles) \
    PRODUCT(tiles, 1, 0) PRODUCT(tiles, 2, 0) PRODUCT(tiles, 1, 1) PRODUCT(tiles, 2, 1)
#define ENTRY(tiles)                                       \
    {                                                      \
        {multiply_##tiles##_1_0, multiply_##tiles##_2_0},  \
        {                                                  \
            multiply_##tiles##_1_1, multiply_##tiles##_2_1 \
        }                                                  \
    }
#else
#define PRODUCTS(tiles) PRODUCT(tiles, 1, 0) PRODUCT(tiles, 2, 0)
#define ENTRY(tiles)                                       \
    {                                                      \
        {                                                  \
            multiply_##tiles##_1_0, multiply_##tiles##_2_0 \
        }                                                  \
    }
#endif

typedef void product(float *, int, const float *, int, const float *, const float *);

PRODUCTS(1)
PRODUCTS(2)
PRODUCTS(3)
PRODUCTS(4)
PRODUCTS(5)
PRODUCTS(6)
#if defined(__AVX512F__)
PRODUCTS(7)
PRODUCTS(8)
PRODUCTS(9)
PRODUCTS(10)
PRODUCTS(11)
PRODUCTS(12)
PRODUCTS(13)
PRODUCTS(14)
#endif

/* [tiles - 1][in bf16][vectors - 1] */
static product *const products[MOST_TILES][IS_BF16 + 1][2] = {
    ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4),  ENTRY(5),  ENTRY(6),
#if defined(__AVX512F__)
    ENTRY(7), ENTRY(8), ENTRY(9), ENTRY(10), ENTRY(11), ENTRY(12), ENTRY(13), ENTRY(14),
#endif
};

/* Start of part `i` of `parts` nearly equal ones. */
INLINE int part_start(int total, int parts, int i)
{
    return (int)((long)total * i / parts);
}

/* One position, of values and weights in bf16 or in fp32. */
INLINE void multiply_position(float *sums, const kz_kernel *k, const void *values,
                              const void *weights, const float *bias, int tiles, bool bf16)
{
    const int parts = (tiles + MOST_TILES - 1) / MOST_TILES;
    const int steps = bf16 ? k->in_lanes / 2 : k->in_lanes;
    const float *v = values, *w = weights;
    for (int n = 0; n < k->out_lanes;) {
        int vectors = k->out_lanes - n >= 2 * LANES ? 2 : 1;
        for (int i = 0; i < parts; i++) {
            int first = part_start(tiles, parts, i);
            int count = part_start(tiles, parts, i + 1) - first;
            products[count - 1][bf16][vectors - 1](sums + (size_t)first * (size_t)k->out_lanes + n,
                                                   k->out_lanes, v + (size_t)first * (size_t)steps,
                                                   steps, w, bias ? bias + n : NULL);
        }
        w += (size_t)(vectors * LANES) * (size_t)steps;
        n += vectors * LANES;
    }
}

static void multiply_tiles(float *sums, const kz_kernel *k, const struct values *values, int tiles)
{
    const int positions = kz_kernel_positions(k->ops);
    const int flat = k->ops->flat ? positions - 1 : k->ops->positions + 1;
    const size_t of_weights = (size_t)k->in_lanes * (size_t)k->out_lanes;
    const element *weights = k->weights, *from = values->all;
    for (int p = 0; p < positions; p++) {
        if (p == flat && values->exact)
            multiply_position(sums, k, values->exact, k->exact_weights, k->bias, tiles, false);
        else
            multiply_position(sums, k, from, weights, p == flat ? k->bias : NULL, tiles, IS_BF16);
        sums += (size_t)tiles * (size_t)k->out_lanes;
        from += values->position;
        weights += of_weights;
    }
}

/* ---- output ---- */

/* Outputs n … n + LANES - 1 of one tile. */
INLINE void inverse_tile(vec y[4][4], const float *sums, size_t position, struct shape s)
{
    vec rows[4][6];
    UNROLLED_FOR (int x = 0; x < s.tile; x++) {
        vec column[6], down[4];
        UNROLLED_FOR (int i = 0; i < s.tile; i++)
            column[i] = vec_load(sums + (size_t)(i * s.tile + x) * position);
        inverse(down, column, s.tile);
        UNROLLED_FOR (int i = 0; i < s.out; i++)
            rows[i][x] = down[i];
    }
    UNROLLED_FOR (int i = 0; i < s.out; i++)
        inverse(y[i], rows[i], s.tile);
    if (!s.flat)
        return;
    vec flat = vec_load(sums + (size_t)(s.tile * s.tile) * position);
    UNROLLED_FOR (int i = 0; i < s.out; i++)
        UNROLLED_FOR (int j = 0; j < s.out; j++)
            y[i][j] += flat;
}

/* A vector of outputs of one pixel, from its block at p. */
INLINE vec load_output(const void *p, int vector, bool narrow)
{
#if defined(KZ_BF16)
    if (narrow)
        return load_half(p, vector);
#endif
    (void)narrow;
    return vec_load((const float *)p + vector * LANES);
}

/* Where outputs go, and how: constants for the compiler. */
struct end {
    struct shape shape;
    bool narrow; /* bf16 */
    int residuals;
};

INLINE vec finish(vec v, const kz_kernel *k, const kz_kernel_run *run, vec slopes, int row,
                  int block, int vector, size_t at, struct end e)
{
    v = vec_slope(v, slopes); /* without an activation they are 1 */
    for (int r = 0; r < e.residuals; r++) {
        int index = (r * e.shape.out + row) * k->out_blocks + block;
        const char *p = (const char *)run->residuals[index] + at;
        v = vec_fma(vec_set(k->coefs[r]), load_output(p, vector, e.narrow), v);
    }
    return v;
}

/* `rows` × `columns` pixels of one tile: the outputs of a block that one store takes along. With
 * constants for both the loops are unrolled and y stays in registers. */
INLINE void store_pixels(const kz_kernel *k, const kz_kernel_run *run, vec y[2][4][4], int column,
                         int block, int vector, int vectors, int rows, int columns, struct end e)
{
    vec slopes[2];
    UNROLLED_FOR (int v = 0; v < vectors; v++)
        slopes[v] = vec_load(k->slopes + block * (e.narrow ? 32 : 16) + (vector + v) * LANES);
    UNROLLED_FOR (int i = 0; i < rows; i++)
        UNROLLED_FOR (int j = 0; j < columns; j++) {
            size_t at = (size_t)(column + j) * KZ_PIXEL_BYTES;
            char *p = (char *)run->dst[i * k->out_blocks + block] + at;
            UNROLLED_FOR (int v = 0; v < vectors; v++)
                y[v][i][j] = finish(y[v][i][j], k, run, slopes[v], i, block, vector + v, at, e);
#if defined(KZ_BF16)
            if (e.narrow) {
                store_pair(p, y[0][i][j], y[1][i][j]);
                continue;
            }
#endif
            vec_store((float *)p + vector * LANES, y[0][i][j]);
        }
}

INLINE void inverse_block(const kz_kernel *k, const kz_kernel_run *run, const float *sums,
                          size_t position, int column, int block, int vector, int vectors,
                          struct end e)
{
    const int out = e.shape.out;
    vec y[2][4][4];
    int n = block * (e.narrow ? 32 : 16) + vector * LANES;
    int columns = run->columns - column < out ? run->columns - column : out;
    int rows = run->rows < out ? run->rows : out;
    UNROLLED_FOR (int v = 0; v < vectors; v++)
        inverse_tile(y[v], sums + n + v * LANES, position, e.shape);
    if (columns == out && rows == out)
        store_pixels(k, run, y, column, block, vector, vectors, out, out, e);
    else
        store_pixels(k, run, y, column, block, vector, vectors, rows, columns, e);
}

INLINE void inverse_tiles(const kz_kernel *k, const kz_kernel_run *run, const float *sums,
                          int first, int tiles, struct end e)
{
    size_t position = (size_t)k->out_lanes * (size_t)tiles;
    int vectors = e.narrow ? 2 : 1;
    for (int block = 0; block < k->out_blocks; block++)
        for (int t = 0; t < tiles; t++)
            for (int v = 0; v < (e.narrow ? 2 : 16 / LANES); v += vectors)
                inverse_block(k, run, sums + (size_t)t * (size_t)k->out_lanes, position,
                              (first + t) * e.shape.out, block, v, vectors, e);
}

INLINE void inverse_chunk(const kz_kernel *k, const kz_kernel_run *run, const float *sums,
                          int first, int tiles, struct shape s, bool narrow)
{
    if (k->n_residuals)
        inverse_tiles(k, run, sums, first, tiles, (struct end){s, narrow, k->n_residuals});
    else
        inverse_tiles(k, run, sums, first, tiles, (struct end){s, narrow, 0});
}

/* ---- calls ---- */

static size_t value_bytes(const kz_kernel *k)
{
    size_t positions = (size_t)kz_kernel_positions(k->ops);
    return positions * CHUNK * (size_t)k->in_lanes * sizeof(element);
}

static size_t exact_bytes(const kz_kernel *k)
{
    return k->exact ? CHUNK * (size_t)k->in_lanes * sizeof(float) : 0;
}

static size_t scratch(const kz_kernel *k)
{
    size_t positions = (size_t)kz_kernel_positions(k->ops);
    return value_bytes(k) + exact_bytes(k) +
           positions * CHUNK * (size_t)k->out_lanes * sizeof(float);
}

INLINE void run_shape(const kz_kernel *k, const kz_kernel_run *run, struct shape s)
{
    char *exact = (char *)run->scratch + value_bytes(k);
    float *sums = (float *)(void *)(exact + exact_bytes(k));
    int tiles = (run->columns + s.out - 1) / s.out, chunks = (tiles + CHUNK - 1) / CHUNK;
    for (int i = 0; i < chunks; i++) {
        int first = part_start(tiles, chunks, i), count = part_start(tiles, chunks, i + 1) - first;
        const struct values values = {
            .all = run->scratch,
            .exact = k->exact ? (float *)(void *)exact : NULL,
            .channels = (size_t)k->in_lanes,
            .position = (size_t)k->in_lanes * (size_t)count,
        };
        forward_tiles(&values, k, run, first, count, s);
        multiply_tiles(sums, k, &values, count);
        if (IS_BF16 && !k->wide)
            inverse_chunk(k, run, sums, first, count, s, true);
        else
            inverse_chunk(k, run, sums, first, count, s, false);
    }
}

static void run_up(const kz_kernel *k, const kz_kernel_run *run)
{
    run_shape(k, run, UP);
}

#define OPS(tile_, step_, out_)                                                             \
    .in_rows = tile_, .in_step = step_, .out_rows = out_, .grain = out_, .overread = tile_, \
    .scratch = scratch, .positions = tile_, .panel = 2 * LANES, .bf16 = IS_BF16

static void run_large(const kz_kernel *k, const kz_kernel_run *run)
{
    run_shape(k, run, F4);
}

#if defined(KZ_BF16)
static void run_conv(const kz_kernel *k, const kz_kernel_run *run)
{
    run_shape(k, run, F2);
}

const kz_kernel_ops KZ_KERNEL(conv) = {
    .name = "Winograd F(2×2, 3×3), bf16", OPS(4, 2, 2), .run = run_conv};
const kz_kernel_ops KZ_KERNEL(large) = {
    .name = "Winograd F(4×4, 3×3), bf16", OPS(6, 4, 4), .flat = true, .run = run_large};
const kz_kernel_ops KZ_KERNEL(phase) = {
    .name = "upsampling 3×3, bf16", OPS(3, 1, 2), .run = run_up};
#else
const kz_kernel_ops KZ_KERNEL(conv) = {
    .name = "Winograd F(4×4, 3×3), fp32", OPS(6, 4, 4), .run = run_large};
const kz_kernel_ops KZ_KERNEL(phase) = {
    .name = "upsampling 3×3, fp32", OPS(3, 1, 2), .run = run_up};
#endif
