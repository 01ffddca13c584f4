/* The convolutions that begin and end a network, and the pixel shuffle: one side of each is a
 * single plane in fp32. They are direct: a network spends a hundredth of its time here. */
#include "backend/kernels/kernel.h"
#include "backend/kernels/table.h"
#include "backend/kernels/vector.h"

#if defined(KZ_BF16)
enum { IS_BF16 = 1, VECTORS = 2 }; /* vectors of a block */
#else
enum { IS_BF16 = 0, VECTORS = 16 / LANES };
#endif

/* ---- first ---- */

/* One vector of outputs of one pixel. */
INLINE vec first_pixel(const float *const *src, int x, const vec *weights, vec bias)
{
    vec sum = bias;
    for (int tap = 0; tap < 9; tap++)
        sum = vec_fma(vec_set(src[tap / 3][x + tap % 3]), weights[tap], sum);
    return sum;
}

INLINE void first_block(const kz_kernel *k, const kz_kernel_run *run, int block, int vector,
                        int vectors)
{
    vec weights[2][9], bias[2], slopes[2];
    int n = block * VECTORS * LANES + vector * LANES;
    for (int v = 0; v < vectors; v++, n += LANES) {
        for (int tap = 0; tap < 9; tap++)
            weights[v][tap] = vec_load((const float *)k->weights + tap * k->out_lanes + n);
        bias[v] = vec_load(k->bias + n);
        slopes[v] = vec_load(k->slopes + n);
    }
    char *p = run->dst[block];
    for (int x = 0; x < run->columns; x++, p += KZ_PIXEL_BYTES) {
        vec y[2];
        for (int v = 0; v < vectors; v++) {
            y[v] = first_pixel((const float *const *)run->src, x, weights[v], bias[v]);
            if (k->activated)
                y[v] = vec_slope(y[v], slopes[v]);
        }
#if defined(KZ_BF16)
        store_pair(p, y[0], y[1]);
#else
        vec_store((float *)p + vector * LANES, y[0]);
#endif
    }
}

static void run_first(const kz_kernel *k, const kz_kernel_run *run)
{
    for (int block = 0; block < k->out_blocks; block++)
        for (int v = 0; v < VECTORS; v += IS_BF16 ? 2 : 1)
            first_block(k, run, block, v, IS_BF16 ? 2 : 1);
}

/* ---- last ---- */

INLINE vec last_multiply(const char *pixel, const char *weights, vec sum)
{
#if defined(KZ_BF16)
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(pixel),
                            (__m512bh)_mm512_loadu_si512(weights));
#else
    for (int v = 0; v < VECTORS; v++)
        sum = vec_fma(vec_load((const float *)pixel + v * LANES),
                      vec_load((const float *)weights + v * LANES), sum);
    return sum;
#endif
}

/* `count` neighbouring pixels. */
INLINE void last_pixels(const kz_kernel *k, const kz_kernel_run *run, int x, int count)
{
    vec sums[4];
    const char *weights = k->weights;
    for (int i = 0; i < count; i++)
        sums[i] = vec_set(0);
    for (int tap = 0; tap < 9; tap++)
        for (int block = 0; block < k->in_blocks; block++, weights += KZ_PIXEL_BYTES) {
            const char *p = (const char *)run->src[tap / 3 * k->in_blocks + block] +
                            (size_t)(x + tap % 3) * KZ_PIXEL_BYTES;
            for (int i = 0; i < count; i++)
                sums[i] = last_multiply(p + i * KZ_PIXEL_BYTES, weights, sums[i]);
        }
    for (int i = 0; i < count; i++) {
        float y = vec_sum(sums[i]) + k->bias[0];
        ((float *)run->dst[0])[x + i] = k->activated && y < 0 ? y * k->slopes[0] : y;
    }
}

static void run_last(const kz_kernel *k, const kz_kernel_run *run)
{
    int x = 0;
    for (; x + 4 <= run->columns; x += 4)
        last_pixels(k, run, x, 4);
    for (; x < run->columns; x++)
        last_pixels(k, run, x, 1);
}

/* ---- shuffle ---- */

INLINE void shuffle_row(const kz_kernel *k, const kz_kernel_run *run, int i, int factor)
{
    const float *pixels = run->src[0], *base = run->src[1];
    float *out = run->dst[i];
    for (int x = 0; x < run->columns / factor; x++) {
        float add = base ? k->coefs[0] * base[x] : 0;
        for (int j = 0; j < factor; j++)
            out[x * factor + j] = pixels[x * 16 + i * factor + j] + add;
    }
}

static void run_shuffle(const kz_kernel *k, const kz_kernel_run *run)
{
    for (int i = 0; i < k->factor && i < run->rows; i++)
        if (k->factor == 4)
            shuffle_row(k, run, i, 4);
        else
            shuffle_row(k, run, i, k->factor);
}

#define OPS .in_rows = 3, .in_step = 1, .out_rows = 1, .grain = 1, .bf16 = IS_BF16

const kz_kernel_ops KZ_KERNEL(first) = {.name = "first, direct", OPS, .run = run_first};
const kz_kernel_ops KZ_KERNEL(last) = {.name = "last, direct", OPS, .run = run_last};
const kz_kernel_ops KZ_KERNEL(shuffle) = {.name = "pixel shuffle",
                                          .in_rows = 1,
                                          .in_step = 1,
                                          .out_rows = 1,
                                          .grain = 1,
                                          .run = run_shuffle};
