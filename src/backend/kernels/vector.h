/* One CPU level's vectors of fp32, under the same names at each. */
#ifndef KZ_BACKEND_KERNELS_VECTOR_H
#define KZ_BACKEND_KERNELS_VECTOR_H

#if defined(__AVX2__) /* else the header is read for its own sake */

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* A loop of at most 32 rounds that becomes straight code, so that its arrays are registers. */
#if defined(__clang__)
#define UNROLLED_FOR(...) _Pragma("clang loop unroll(full)") for (__VA_ARGS__)
#else
#define UNROLLED_FOR(...) _Pragma("GCC unroll 32") for (__VA_ARGS__)
#endif

#if defined(__AVX512F__)

typedef __m512 vec;
enum { LANES = 16 };

INLINE vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

INLINE void vec_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}

INLINE vec vec_set(float x)
{
    return _mm512_set1_ps(x);
}

/* a b + c, rounded once. */
INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* x < 0 ? slope x : x */
INLINE vec vec_slope(vec x, vec slope)
{
    return _mm512_mask_mul_ps(x, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), x, slope);
}

INLINE float vec_sum(vec v)
{
    return _mm512_reduce_add_ps(v);
}

#else

typedef __m256 vec;
enum { LANES = 8 };

INLINE vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

INLINE void vec_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}

INLINE vec vec_set(float x)
{
    return _mm256_set1_ps(x);
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE vec vec_slope(vec x, vec slope)
{
    return _mm256_blendv_ps(x, x * slope, x);
}

INLINE float vec_sum(vec v)
{
    __m128 half = _mm256_castps256_ps128(v) + _mm256_extractf128_ps(v, 1);
    half = half + _mm_movehl_ps(half, half);
    return _mm_cvtss_f32(half) + _mm_cvtss_f32(_mm_movehdup_ps(half));
}

#endif

#if defined(KZ_BF16)

/* The pixel's even and odd channels: bf16 is the upper half of fp32. */
INLINE void load_even_odd(vec *even, vec *odd, const void *p)
{
    __m512i both = _mm512_loadu_si512(p);
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32((int)0xffff0000)));
}

/* Channels 0 to 15, or 16 to 31. */
INLINE vec load_half(const void *p, int half)
{
    __m256i narrow = _mm256_loadu_si256((const __m256i *)p + half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
}

/* Rounds to nearest, ties to even: `low` to the first 16 elements. */
INLINE void store_pair(void *p, vec low, vec high)
{
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* The same with 16 elements. */
INLINE void store_half(void *p, vec v)
{
    _mm256_storeu_si256(p, (__m256i)_mm512_cvtneps_pbh(v));
}

#endif
#endif
#endif
