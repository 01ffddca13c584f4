/* How two rows of samples differ: code values of their own depth, of float samples values. A row at
 * a time, so that the compiler makes vectors of it. `bytes` a sample: 1, 2, or 4: float. */
#ifndef KZ_UPSCALE_DIFFERENCE_H
#define KZ_UPSCALE_DIFFERENCE_H

#include <stdbool.h>

/* Whether no sample differs by more than `tolerance`; with 0 they are equal to the bit. */
bool kz_row_is_near(const void *a, const void *b, int bytes, int count, double tolerance);

/* Sums of a − b. */
typedef struct kz_distance {
    double absolute, sum;
} kz_distance;

void kz_row_add_distance(kz_distance *distance, const void *a, const void *b, int bytes, int count);

/* change[i] = now[i] − before[i]. Returns how many are the same. */
int kz_row_change(const void *now, const void *before, int bytes, int count, float *change);

#endif
