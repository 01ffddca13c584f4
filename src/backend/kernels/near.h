/* F(4×4, 3×3) with points near to each other: 0, ±0.6, ±1.6 and infinity in place of 0, ±1, ±2.
 *
 * Its constants are smaller, so it is what bf16 can afford (Barabasz et al., "Error Analysis and
 * Improving the Accuracy of Winograd Convolution", 2020). PSNR to fp32 of animevideov3, simulated,
 * dB:
 *
 *   points        0, ±1, ±2   ±1/2, ±1   ±5/8, ±3/2   ±0.6, ±1.6   F(2×2)
 *   a film frame       56.3       56.6         60.9         62.4     67.3
 *
 * and measured, mean and least of 12 drawings: 62.1 and 54.3 with ±5/8, ±3/2, 63.3 and 55.4 with
 * these, 67.3 and 61.1 with F(2×2); networks of 16 and 32 channels have as much with either of the
 * near ones. */
#ifndef KZ_BACKEND_KERNELS_NEAR_H
#define KZ_BACKEND_KERNELS_NEAR_H

#include "backend/kernels/vector.h"

/* A tile's side, and what comes of it. */
enum { KZ_NEAR_TILE = 6, KZ_NEAR_OUT = 4 };

#define KZ_NEAR_A 0.6f
#define KZ_NEAR_B 1.6f

/* G: a filter g in position (i, j) is the element of G g Gᵀ. */
void kz_near_filters(double G[KZ_NEAR_TILE][3]);

#if defined(__AVX2__) /* else the header is read for its own sake */

/* Bᵀ d of one line, in place. */
INLINE void forward_near(vec *d)
{
    const float a = KZ_NEAR_A, b = KZ_NEAR_B;
    vec even_a = vec_fma(vec_set(-b * b), d[2], d[4]),
        even_b = vec_fma(vec_set(-a * a), d[2], d[4]);
    vec odd_a = vec_fma(vec_set(-a * b * b), d[1], vec_set(a) * d[3]);
    vec odd_b = vec_fma(vec_set(-b * a * a), d[1], vec_set(b) * d[3]);
    vec sum = vec_set(a * a + b * b), product = vec_set(a * a * b * b);
    d[0] = vec_fma(product, d[0], vec_fma(-sum, d[2], d[4]));
    d[5] = vec_fma(product, d[1], vec_fma(-sum, d[3], d[5]));
    d[1] = even_a + odd_a;
    d[2] = even_a - odd_a;
    d[3] = even_b + odd_b;
    d[4] = even_b - odd_b;
}

/* What Bᵀ makes of a line of ones. */
INLINE float near_ones(int i)
{
    const float a = KZ_NEAR_A, b = KZ_NEAR_B, of_a = 1 - a * a, of_b = 1 - b * b;
    const float ones[KZ_NEAR_TILE] = {of_a * of_b,    of_b * (1 + a), of_b * (1 - a),
                                      of_a * (1 + b), of_a * (1 - b), of_a * of_b};
    return ones[i];
}

/* Aᵀ m. */
INLINE void inverse_near(vec *y, const vec *m)
{
    const float p = KZ_NEAR_A, q = KZ_NEAR_B;
    vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = vec_fma(vec_set(q), d, vec_set(p) * b);
    y[2] = vec_fma(vec_set(q * q), c, vec_set(p * p) * a);
    y[3] = vec_fma(vec_set(q * q * q), d, vec_fma(vec_set(p * p * p), b, m[5]));
}

#endif
#endif
