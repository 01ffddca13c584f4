/* The end of a small network: 3×3 convolution to four channels, which are the pixels of a plane
 * twice as large, and the picture enlarged added to them. Direct: four outputs of sixteen would
 * waste three quarters of a product by Winograd's scheme.
 *
 * A vector has parts of 128 bits. Each holds four outputs, and a step multiplies them by one
 * channel (bf16: a pair) out of a part of a pixel's channels, spread over the part: as many
 * channels at a time as a vector has parts. At the end a pixel's parts are summed.
 *
 *   fp32            a part is 4 channels, a vector 16 or 8 of one pixel
 *   bf16            a part is 8 channels, a vector 32 of one pixel, or 16 of two neighbours
 *
 * So vectors are 64 bytes apart in any case. A call makes four rows; a step holds their sums for a
 * few vectors while the six rows of the input pass, each with the three weights of a column of
 * taps. In bf16 the values are first narrowed, a chunk of columns at a time. */
#include "backend/kernels/kernel.h"
#include "backend/kernels/small.h"
#include "backend/kernels/table.h"
#include "backend/kernels/vector.h"

enum { ROWS = 4, IN_ROWS = ROWS + 2, APART = 64 };

#if defined(__AVX512F__)
enum { AT_ONCE = 4 }; /* vectors of a row */
#else
enum { AT_ONCE = 2 };
#endif

#if defined(KZ_BF16)
enum { STEP = 2 };
#else
enum { STEP = 1 };
#endif

enum { PARTS = LANES / 4, VECTOR_CHANNELS = LANES * STEP, VECTOR_BYTES = LANES * 4 };

/* ---- vectors by parts ---- */

#if defined(__AVX512F__)

/* Element `c` of each part, over the whole part. */
INLINE vec spread(vec v, int c)
{
    switch (c) {
    case 0:
        return _mm512_permute_ps(v, 0x00);
    case 1:
        return _mm512_permute_ps(v, 0x55);
    case 2:
        return _mm512_permute_ps(v, 0xaa);
    default:
        return _mm512_permute_ps(v, 0xff);
    }
}

/* Sums of neighbouring parts: a's, then b's. */
INLINE vec fold(vec a, vec b)
{
    return _mm512_shuffle_f32x4(a, b, 0x88) + _mm512_shuffle_f32x4(a, b, 0xdd);
}

/* p[i] over part i. */
INLINE vec over_parts(const float *p)
{
    const __m512i index = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(index, _mm512_castps128_ps512(_mm_loadu_ps(p)));
}

/* The parts' first halves to `top`, the second ones to `bottom`, `count` values of each; NULL:
 * nowhere. */
INLINE void store_halves(float *top, float *bottom, vec v, int count)
{
    const __m512i index = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const __mmask8 mask = (__mmask8)(count >= 8 ? 0xff : (1 << count) - 1);
    v = _mm512_permutexvar_ps(index, v);
    if (top)
        _mm256_mask_storeu_ps(top, mask, _mm512_castps512_ps256(v));
    if (bottom)
        _mm256_mask_storeu_ps(bottom, mask, _mm512_extractf32x8_ps(v, 1));
}

#else

INLINE vec spread(vec v, int c)
{
    switch (c) {
    case 0:
        return _mm256_permute_ps(v, 0x00);
    case 1:
        return _mm256_permute_ps(v, 0x55);
    case 2:
        return _mm256_permute_ps(v, 0xaa);
    default:
        return _mm256_permute_ps(v, 0xff);
    }
}

INLINE vec fold(vec a, vec b)
{
    return _mm256_permute2f128_ps(a, b, 0x20) + _mm256_permute2f128_ps(a, b, 0x31);
}

INLINE vec over_parts(const float *p)
{
    return _mm256_setr_m128(_mm_set1_ps(p[0]), _mm_set1_ps(p[1]));
}

INLINE void store_halves(float *top, float *bottom, vec v, int count)
{
    const __m128i mask = _mm_cmplt_epi32(_mm_setr_epi32(0, 1, 2, 3), _mm_set1_epi32(count));
    v = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
    if (top)
        _mm_maskstore_ps(top, mask, _mm256_castps256_ps128(v));
    if (bottom)
        _mm_maskstore_ps(bottom, mask, _mm256_extractf128_ps(v, 1));
}

#endif

INLINE vec multiply_add(vec values, vec weights, vec sum)
{
#if defined(KZ_BF16)
    return _mm512_dpbf16_ps(sum, (__m512bh)values, (__m512bh)weights);
#else
    return vec_fma(values, weights, sum);
#endif
}

/* ---- sums ---- */

/* Adds what one segment of the channels gives: `pixel` bytes from one pixel to the next. */
INLINE void add_segment(vec sums[ROWS][AT_ONCE], const char *const *rows, size_t at, size_t pixel,
                        const float *weights)
{
    for (int tap = 0; tap < 3; tap++, at += pixel)
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++, weights += 3 * LANES) {
            vec w[3] = {vec_load(weights), vec_load(weights + LANES),
                        vec_load(weights + 2 * LANES)};
#pragma GCC unroll 6
            for (int y = 0; y < IN_ROWS; y++) {
                vec values[AT_ONCE];
#pragma GCC unroll 4
                for (int i = 0; i < AT_ONCE; i++) {
                    values[i] = spread(
                        vec_load((const float *)(const void *)(rows[y] + at + i * APART)), c);
#pragma GCC unroll 3
                    for (int k = 0; k < 3; k++)
                        if (y >= k && y - k < ROWS)
                            sums[y - k][i] = multiply_add(values[i], w[k], sums[y - k][i]);
                }
            }
        }
}

struct place {
    int x;       /* first pixel of the input */
    int columns; /* of the output, from there to the end */
};

/* Pixels to planes: those of one vector, one pixel a part. */
INLINE void emit(const kz_kernel *k, const kz_kernel_run *run, vec v, int row, struct place at)
{
    const int blocks = k->in_lanes / 16;
    v = v + vec_load(k->bias);
    if (k->in_blocks > blocks) {
        const float *base = run->src[(row + 1) * k->in_blocks + blocks];
        v = vec_fma(vec_set(k->coefs[0]), over_parts(base + 1 + at.x), v);
    }
    float *top = 2 * row < run->rows ? (float *)run->dst[2 * row] + 2 * at.x : NULL;
    float *bottom = 2 * row + 1 < run->rows ? (float *)run->dst[2 * row + 1] + 2 * at.x : NULL;
    store_halves(top, bottom, v, at.columns);
}

/* A pixel lies on `parts` neighbouring parts of the vectors. */
INLINE void emit_row(const kz_kernel *k, const kz_kernel_run *run, const vec *sums, int row,
                     struct place at, int parts)
{
#if defined(__AVX512F__)
    vec left = fold(sums[0], sums[1]), right = fold(sums[2], sums[3]);
    if (parts == 4) {
        emit(k, run, fold(left, right), row, at);
        return;
    }
    emit(k, run, left, row, at);
    if (at.columns > 2 * PARTS)
        emit(k, run, right, row, (struct place){at.x + PARTS, at.columns - 2 * PARTS});
#else
    (void)parts;
    emit(k, run, fold(sums[0], sums[1]), row, at);
#endif
}

/* ---- calls ---- */

#if defined(KZ_BF16)

enum { CHUNK = 32 }; /* pixels */

static size_t scratch(const kz_kernel *k)
{
    return (size_t)(IN_ROWS * (CHUNK + 2 + 6) * k->in_lanes) * sizeof(uint16_t);
}

/* `pixels` of a row, and one more where they are odd. */
INLINE void narrow_row(uint16_t *to, const void *const *blocks, int x, int pixels, int lanes)
{
    const float *a = (const float *)blocks[0] + x * 16;
    if (lanes == 16) {
        for (int i = 0; i < pixels; i += 2)
            store_pair(to + i * 16, vec_load(a + i * 16), vec_load(a + i * 16 + 16));
        return;
    }
    const float *b = (const float *)blocks[1] + x * 16;
    for (int i = 0; i < pixels; i++)
        store_pair(to + i * 32, vec_load(a + i * 16), vec_load(b + i * 16));
}

/* `lanes` channels: 16 or 32. */
INLINE void run_lanes(const kz_kernel *k, const kz_kernel_run *run, int lanes)
{
    const int width = (run->columns + 1) / 2, group = AT_ONCE * VECTOR_CHANNELS / lanes;
    const size_t pixel = (size_t)lanes * sizeof(uint16_t), row_pixels = CHUNK + 2 + 6;
    const char *rows[IN_ROWS];
    for (int y = 0; y < IN_ROWS; y++)
        rows[y] = (char *)run->scratch + (size_t)y * row_pixels * pixel;
    for (int chunk = 0; chunk < width; chunk += CHUNK) {
        const int pixels = width - chunk < CHUNK ? width - chunk : CHUNK;
        for (int y = 0; y < IN_ROWS; y++)
            narrow_row((uint16_t *)run->scratch + (size_t)y * row_pixels * (size_t)lanes,
                       run->src + y * k->in_blocks, chunk, pixels + 2, lanes);
        for (int x = 0; x < pixels; x += group) {
            vec sums[ROWS][AT_ONCE] = {{vec_set(0)}};
            add_segment(sums, rows, (size_t)x * pixel, pixel, k->weights);
            for (int y = 0; y < ROWS; y++)
                emit_row(k, run, sums[y], y,
                         (struct place){chunk + x, run->columns - 2 * (chunk + x)},
                         lanes * PARTS / VECTOR_CHANNELS);
        }
    }
}

static void run_end(const kz_kernel *k, const kz_kernel_run *run)
{
    if (k->in_lanes == 16)
        run_lanes(k, run, 16);
    else
        run_lanes(k, run, 32);
}

#else

static size_t scratch(const kz_kernel *k)
{
    (void)k;
    return 0;
}

static void run_end(const kz_kernel *k, const kz_kernel_run *run)
{
    for (int x = 0; 2 * x < run->columns; x += AT_ONCE) {
        vec sums[ROWS][AT_ONCE] = {{vec_set(0)}};
        const float *weights = k->weights;
        for (int c = 0; c < k->in_lanes; c += VECTOR_CHANNELS, weights += 36 * LANES) {
            const char *rows[IN_ROWS];
            for (int y = 0; y < IN_ROWS; y++)
                rows[y] = (const char *)run->src[y * k->in_blocks + c / 16] + c % 16 * 4;
            add_segment(sums, rows, (size_t)x * KZ_PIXEL_BYTES, KZ_PIXEL_BYTES, weights);
        }
        for (int y = 0; y < ROWS; y++)
            emit_row(k, run, sums[y], y, (struct place){x, run->columns - 2 * x}, PARTS);
    }
}

#endif

const kz_kernel_ops KZ_KERNEL(small_end) = {.name = "last and pixel shuffle, direct",
                                            .in_rows = IN_ROWS,
                                            .in_step = ROWS,
                                            .out_rows = ROWS,
                                            .grain = 1,
                                            .overread = 8,
                                            .scratch = scratch,
                                            .panel = LANES,
                                            .bf16 = STEP == 2,
                                            .weight_bytes = kz_small_end_bytes,
                                            .pack = kz_small_end_pack,
                                            .run = run_end};
