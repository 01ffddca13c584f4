/* 3×3 convolution of a small network, by Winograd's F(4×4, 3×3): 2.25 products a pixel.
 *
 * With 16 channels the products over them are no more work than everything around them, so it is
 * laid out otherwise than winograd.c: a chunk of tiles is no larger than one product holds in
 * registers, so that its values (13 KiB for 16 channels in bf16) and sums stay near L1, and a value
 * between two layers is fp32 at all levels. That costs memory, but a ring of a small network is
 * small, and it saves the transforms from widening and narrowing: only the transformed values are
 * rounded to bf16, once.
 *
 * That, few layers, and points nearer to each other (near.h) are why F(4×4) can be afforded in bf16
 * here. PSNR to fp32 of two networks of 16 and 32 channels on real frames, simulated, dB:
 *
 *   F(2×2), values in bf16       60 to 64
 *   F(4×4), points 0, ±1, ±2     61 to 63
 *   F(4×4), points 0, ±1/2, ±1   64
 *   F(4×4), points 0, ±5/8, ±3/2 68; with these the same, measured
 *   direct                       65 to 69
 *
 * Cycles a pixel and layer on Zen 5, in a network's rings, in bf16: 16 channels 22 (input's
 * transform 6, products 11 of 9 possible, output's transform 5), 32 channels 65 (13, 39 of 36, 13).
 */
#include <string.h>

#include "backend/kernels/kernel.h"
#include "backend/kernels/small.h"
#include "backend/kernels/small_tiles.h"
#include "backend/kernels/table.h"
#include "backend/kernels/vector.h"
#include "base/mem.h"

/* ---- products ---- */

INLINE vec multiply_add(const element *weights, const element *value, vec sum)
{
#if defined(KZ_BF16)
    int bits;
    memcpy(&bits, value, sizeof(bits));
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(weights),
                            (__m512bh)_mm512_set1_epi32(bits));
#else
    return vec_fma(vec_load(weights), vec_set(*value), sum);
#endif
}

/* sums[tile][0 … vectors × LANES - 1] = values[·][tile][·] weights. What lies beyond the
 * chunk's last tile is multiplied too, and not looked at. */
INLINE void multiply(float *sums, int out, const element *values, int in, const element *weights,
                     int tiles, int vectors)
{
    vec sum[CHUNK][2];
    UNROLLED_FOR (int t = 0; t < tiles; t++)
        UNROLLED_FOR (int v = 0; v < vectors; v++)
            sum[t][v] = vec_set(0);
    for (int lane = 0; lane < in; lane += LANES, values += VALUES)
#pragma GCC unroll 8
        for (int c = 0; c < LANES; c += STEP, weights += vectors * LANES * STEP)
            UNROLLED_FOR (int t = 0; t < tiles; t++)
                UNROLLED_FOR (int v = 0; v < vectors; v++)
                    sum[t][v] =
                        multiply_add(weights + v * LANES * STEP, values + t * LANES + c, sum[t][v]);
    UNROLLED_FOR (int t = 0; t < tiles; t++)
        UNROLLED_FOR (int v = 0; v < vectors; v++)
            vec_store(sums + t * out + v * LANES, sum[t][v]);
}

/* In every position. */
INLINE void multiply_tiles(float *sums, int out, const element *values, int in,
                           const element *weights, int tiles)
{
    const int vectors = out >= 2 * LANES ? 2 : 1;
    for (int p = 0; p < POSITIONS; p++) {
        for (int n = 0; n < out; n += vectors * LANES) {
            multiply(sums + n, out, values, in, weights, tiles, vectors);
            weights += vectors * LANES * in;
        }
        sums += CHUNK * out;
        values += CHUNK * LANES;
    }
}

/* ---- output ---- */

INLINE vec finish(vec v, const kz_kernel *k, const kz_kernel_run *run, int residuals, vec bias,
                  vec slopes, int row, int block, size_t at)
{
    v = vec_slope(v + bias, slopes); /* without an activation they are 1 */
    for (int r = 0; r < residuals; r++) {
        int index = (r * OUT + row) * k->out_blocks + block;
        const char *p = (const char *)run->residuals[index] + at;
        v = vec_fma(vec_set(k->coefs[r]), vec_load((const float *)(const void *)p), v);
    }
    return v;
}

/* A vector of outputs of `rows` × `columns` pixels of a tile. */
INLINE void inverse_tile(const kz_kernel *k, const kz_kernel_run *run, const float *sums,
                         size_t position, int column, int n, int rows, int columns, int residuals)
{
    vec down[TILE][OUT], bias = vec_load(k->bias + n), slopes = vec_load(k->slopes + n);
    UNROLLED_FOR (int x = 0; x < TILE; x++) {
        vec m[TILE];
        UNROLLED_FOR (int y = 0; y < TILE; y++)
            m[y] = vec_load(sums + (size_t)(y * TILE + x) * position);
        inverse_near(down[x], m);
    }
    int block = n / 16;
    size_t at = (size_t)column * KZ_PIXEL_BYTES + (size_t)(n % 16) * sizeof(float);
    UNROLLED_FOR (int y = 0; y < rows; y++) {
        vec line[TILE], out[OUT];
        UNROLLED_FOR (int x = 0; x < TILE; x++)
            line[x] = down[x][y];
        inverse_near(out, line);
        char *to = (char *)run->dst[y * k->out_blocks + block] + at;
        UNROLLED_FOR (int x = 0; x < columns; x++)
            vec_store((float *)(void *)(to + x * KZ_PIXEL_BYTES),
                      finish(out[x], k, run, residuals, bias, slopes, y, block,
                             at + (size_t)x * KZ_PIXEL_BYTES));
    }
}

INLINE void inverse_tiles(const kz_kernel *k, const kz_kernel_run *run, const float *sums, int out,
                          int first, int tiles, int residuals)
{
    const size_t position = (size_t)(CHUNK * out);
    for (int n = 0; n < out; n += LANES)
        for (int t = 0; t < tiles; t++) {
            int column = (first + t) * OUT, left = run->columns - column;
            const float *from = sums + t * out + n;
            if (run->rows == OUT && left >= OUT)
                inverse_tile(k, run, from, position, column, n, OUT, OUT, residuals);
            else
                inverse_tile(k, run, from, position, column, n, run->rows, left < OUT ? left : OUT,
                             residuals);
        }
}

/* ---- one number of lanes ---- */

#define FORWARD(in)                                                                      \
    static void forward_##in(element *out, const kz_kernel *k, const kz_kernel_run *run, \
                             int first, int tiles)                                       \
    {                                                                                    \
        forward_tiles(out, in, k, run, first, tiles);                                    \
    }
#define INVERSE(out)                                                                           \
    static void inverse_##out(const kz_kernel *k, const kz_kernel_run *run, const float *sums, \
                              int first, int tiles)                                            \
    {                                                                                          \
        if (k->n_residuals)                                                                    \
            inverse_tiles(k, run, sums, out, first, tiles, k->n_residuals);                    \
        else                                                                                   \
            inverse_tiles(k, run, sums, out, first, tiles, 0);                                 \
    }
#define PRODUCT(in, out, steps)                                                     \
    static void multiply_##in##_##out##_##steps(float *sums, const element *values, \
                                                const element *weights)             \
    {                                                                               \
        multiply_tiles(sums, out, values, in, weights, (steps)*TILE_STEP);          \
    }
#define PRODUCTS(in, out) PRODUCT(in, out, 1) PRODUCT(in, out, 2) PRODUCT(in, out, 3)
#define ENTRY(in, out)                                                                  \
    {                                                                                   \
        multiply_##in##_##out##_1, multiply_##in##_##out##_2, multiply_##in##_##out##_3 \
    }

FORWARD(16)
FORWARD(32)
INVERSE(16)
INVERSE(32)
PRODUCTS(16, 16)
PRODUCTS(16, 32)
PRODUCTS(32, 16)
PRODUCTS(32, 32)

typedef void product(float *sums, const element *values, const element *weights);

static product *const products[2][2][3] = {{ENTRY(16, 16), ENTRY(16, 32)},
                                           {ENTRY(32, 16), ENTRY(32, 32)}};

/* ---- calls ---- */

static size_t scratch(const kz_kernel *k)
{
    return value_bytes(k) + (size_t)(POSITIONS * CHUNK * k->out_lanes) * sizeof(float);
}

static void run_small(const kz_kernel *k, const kz_kernel_run *run)
{
    const bool wide_in = k->in_lanes == 32, wide_out = k->out_lanes == 32;
    product *const *multiply_by = products[wide_in][wide_out];
    element *values = run->scratch;
    float *sums = (float *)(void *)((char *)run->scratch + value_bytes(k));
    int tiles = (run->columns + OUT - 1) / OUT;
    for (int first = 0; first < tiles; first += CHUNK) {
        int count = tiles - first < CHUNK ? tiles - first : CHUNK;
        (wide_in ? forward_32 : forward_16)(values, k, run, first, count);
        multiply_by[(count - 1) / TILE_STEP](sums, values, k->weights);
        (wide_out ? inverse_32 : inverse_16)(k, run, sums, first, count);
    }
}

const kz_kernel_ops KZ_KERNEL(small) = {.name = "Winograd F(4×4, 3×3), small",
                                        .in_rows = TILE,
                                        .in_step = OUT,
                                        .out_rows = OUT,
                                        .grain = OUT,
                                        .overread = TILE,
                                        .scratch = scratch,
                                        .positions = TILE,
                                        .panel = 2 * LANES,
                                        .bf16 = STEP == 2,
                                        .weight_bytes = kz_small_bytes,
                                        .pack = kz_small_pack,
                                        .run = run_small};
