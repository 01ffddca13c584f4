/* The products of winograd.c without its memory: what a roofline is drawn with. */
#include "backend/kernels/kernel.h"
#include "backend/kernels/table.h"
#include "backend/kernels/vector.h"
#include "base/thread.h"

#if defined(__AVX512F__)
enum { SUMS = 24 };
#else
enum { SUMS = 12 };
#endif

#if defined(KZ_BF16)
enum { MACS = 2 * LANES };
#else
enum { MACS = LANES };
#endif

enum { STEPS = 4096 };

INLINE vec product(vec a, vec b, vec sum)
{
#if defined(KZ_BF16)
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#else
    return vec_fma(a, b, sum);
#endif
}

double KZ_KERNEL(peak)(double seconds)
{
    vec sums[SUMS], a = vec_set(0), b = vec_set(1);
    double began = kz_now(), passed;
    long rounds = 0;
    UNROLLED_FOR (int i = 0; i < SUMS; i++)
        sums[i] = vec_set(0);
    do {
        for (int step = 0; step < STEPS; step++) {
            UNROLLED_FOR (int i = 0; i < SUMS; i++) {
                sums[i] = product(a, b, sums[i]);
                __asm__ volatile("" : "+x"(sums[i])); /* or the compiler would see: all are 0 */
            }
        }
        rounds++;
        passed = kz_now() - began;
    } while (passed < seconds);
    float sum = 0;
    UNROLLED_FOR (int i = 0; i < SUMS; i++)
        sum += vec_sum(sums[i]);
    return (double)rounds * STEPS * SUMS * MACS / passed + (double)sum; /* + 0 */
}
