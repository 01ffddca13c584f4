/* The end of a small network: 3×3 convolution to four channels, which are the pixels of a plane
 * twice as large, and the picture enlarged added to them. By Winograd's F(4×4, 3×3) as in small.c,
 * but four outputs of sixteen would waste three quarters of its products, so they are laid out
 * otherwise:
 *
 * A vector has parts of 128 bits. In a product each holds some of a tile's channels, and a step
 * multiplies one of these (bf16: a pair), spread over the part, by the weights of four outputs: as
 * many channels at a time as a vector has parts. Then a tile's parts are summed, and from there on
 * a part is a tile's four outputs, of which the transform makes pixels. */
#include "backend/kernels/kernel.h"
#include "backend/kernels/small.h"
#include "backend/kernels/small_tiles.h"
#include "backend/kernels/table.h"
#include "backend/kernels/vector.h"

/* Tiles of a vector of sums. */
enum { GROUP = LANES / 4 };

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

/* The first half of each part, a's and b's in turn, and the second ones. */
INLINE vec first_halves(vec a, vec b)
{
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

INLINE vec second_halves(vec a, vec b)
{
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/* Parts of a and b in turn, to two vectors. */
INLINE void interleave(vec to[2], vec a, vec b)
{
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    to[0] = _mm512_castpd_ps(_mm512_permutex2var_pd(x, low, y));
    to[1] = _mm512_castpd_ps(_mm512_permutex2var_pd(x, high, y));
}

/* Half a vector of values, each twice. */
INLINE vec load_twice(const float *p)
{
    const __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(index, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}

/* The first `count` values; none where that is negative. */
INLINE void store_some(float *p, vec v, int count)
{
    if (count > 0)
        _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), v);
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

INLINE vec first_halves(vec a, vec b)
{
    return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}

INLINE vec second_halves(vec a, vec b)
{
    return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}

INLINE void interleave(vec to[2], vec a, vec b)
{
    to[0] = _mm256_permute2f128_ps(a, b, 0x20);
    to[1] = _mm256_permute2f128_ps(a, b, 0x31);
}

INLINE vec load_twice(const float *p)
{
    const __m256i index = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), index);
}

INLINE void store_some(float *p, vec v, int count)
{
    const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), places), v);
}

#endif

/* ---- products ---- */

INLINE vec multiply_add(const element *values, int c, vec weights, vec sum)
{
    vec v = spread(vec_load((const float *)(const void *)values), c);
#if defined(KZ_BF16)
    return _mm512_dpbf16_ps(sum, (__m512bh)v, (__m512bh)weights);
#else
    return vec_fma(v, weights, sum);
#endif
}

/* The four outputs of each of a group's tiles in one position. */
INLINE vec multiply(const element *values, int lanes, const float *weights)
{
    enum { COUNT = GROUP / STEP }; /* vectors of a group */
    vec sums[COUNT];
    UNROLLED_FOR (int i = 0; i < COUNT; i++)
        sums[i] = vec_set(0);
    UNROLLED_FOR (int lane = 0; lane < lanes; lane += LANES, values += VALUES)
        UNROLLED_FOR (int c = 0; c < 4; c++, weights += LANES) {
            vec w = vec_load(weights);
            UNROLLED_FOR (int i = 0; i < COUNT; i++)
                sums[i] = multiply_add(values + i * LANES * STEP, c, w, sums[i]);
        }
#if defined(__AVX512F__) && !defined(KZ_BF16)
    return fold(fold(sums[0], sums[1]), fold(sums[2], sums[3]));
#else
    return fold(sums[0], sums[1]);
#endif
}

INLINE void multiply_group(float *sums, const element *values, int lanes, const float *weights)
{
    for (int p = 0; p < POSITIONS; p++, sums += LANES, values += CHUNK * LANES) {
        vec_store(sums, multiply(values, lanes, weights));
        weights += lanes / LANES * 4 * LANES;
    }
}

/* ---- output ---- */

/* A row of the plane: columns x … of it, from the halves of the row's four pixels of each tile, and
 * the picture's pixels below them. */
INLINE void emit_row(float *row, int x, int columns, vec left, vec right, const float *base,
                     vec coef)
{
    vec v[2];
    interleave(v, left, right);
    for (int i = 0; i < 2; i++, x += LANES) {
        if (base)
            v[i] = vec_fma(coef, load_twice(base + x / 2), v[i]);
        if (x + LANES <= columns)
            vec_store(row + x, v[i]);
        else
            store_some(row + x, v[i], columns - x);
    }
}

/* Row `y` of a group's tiles, of which the first is at column x of the plane. */
INLINE void emit(const kz_kernel *k, const kz_kernel_run *run, const vec *pixels, int y, int x)
{
    const int blocks = k->in_lanes / 16;
    const float *base = NULL;
    const vec bias = vec_load(k->bias), coef = vec_set(k->coefs[0]);
    vec v[OUT];
    if (k->in_blocks > blocks)
        base = (const float *)run->src[(y + 1) * k->in_blocks + blocks] + 1;
    for (int i = 0; i < OUT; i++)
        v[i] = pixels[i] + bias;
    if (2 * y < run->rows)
        emit_row(run->dst[2 * y], x, run->columns, first_halves(v[0], v[1]),
                 first_halves(v[2], v[3]), base, coef);
    if (2 * y + 1 < run->rows)
        emit_row(run->dst[2 * y + 1], x, run->columns, second_halves(v[0], v[1]),
                 second_halves(v[2], v[3]), base, coef);
}

static void inverse_group(const kz_kernel *k, const kz_kernel_run *run, const float *sums, int x)
{
    vec down[TILE][OUT];
    UNROLLED_FOR (int i = 0; i < TILE; i++) {
        vec m[TILE];
        UNROLLED_FOR (int y = 0; y < TILE; y++)
            m[y] = vec_load(sums + (y * TILE + i) * LANES);
        inverse_near(down[i], m);
    }
    UNROLLED_FOR (int y = 0; y < OUT; y++) {
        vec line[TILE], pixels[OUT];
        UNROLLED_FOR (int i = 0; i < TILE; i++)
            line[i] = down[i][y];
        inverse_near(pixels, line);
        emit(k, run, pixels, y, x);
    }
}

/* ---- calls ---- */

static size_t scratch(const kz_kernel *k)
{
    return value_bytes(k) + POSITIONS * LANES * sizeof(float);
}

/* `lanes` channels: 16 or 32. What lies beyond the chunk's last tile is multiplied too, and not
 * stored. */
INLINE void run_lanes(const kz_kernel *k, const kz_kernel_run *run, int lanes)
{
    const int tiles = (run->columns + 2 * OUT - 1) / (2 * OUT);
    element *values = run->scratch;
    float *sums = (float *)(void *)((char *)run->scratch + value_bytes(k));
    for (int first = 0; first < tiles; first += CHUNK) {
        const int count = tiles - first < CHUNK ? tiles - first : CHUNK;
        forward_tiles(values, lanes, k, run, first, count);
        for (int t = 0; t < count; t += GROUP) {
            multiply_group(sums, values + t * LANES, lanes, k->weights);
            inverse_group(k, run, sums, (first + t) * 2 * OUT);
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

const kz_kernel_ops KZ_KERNEL(small_end) = {.name = "F(4×4, 3×3) and pixel shuffle",
                                            .in_rows = TILE,
                                            .in_step = OUT,
                                            .out_rows = OUT,
                                            .grain = OUT,
                                            .overread = 16,
                                            .scratch = scratch,
                                            .positions = TILE,
                                            .panel = LANES,
                                            .bf16 = STEP == 2,
                                            .weight_bytes = kz_small_end_bytes,
                                            .pack = kz_small_end_pack,
                                            .run = run_end};
