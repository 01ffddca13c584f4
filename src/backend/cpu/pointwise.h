/* The loops around the convolutions, over one row at a time. pointwise.c is compiled once per CPU
 * level; all give the same bits. Elements are fp32 or bf16 (rounded to nearest, ties to even). */
#ifndef KZ_BACKEND_CPU_POINTWISE_H
#define KZ_BACKEND_CPU_POINTWISE_H

#include <stdbool.h>

#include "base/cpu.h"

/* `group` neighbouring elements every `step` elements. */
typedef struct kz_row {
    void *data;
    bool bf16;
    int step;
} kz_row;

typedef struct kz_pointwise {
    /* dst[x][k] = src[x][k] for x in 0 … width-1, k in 0 … group-1. */
    void (*copy)(kz_row dst, kz_row src, int group, int width);
    /* data[x][k] = data[x][k] < 0 ? slopes[k] × data[x][k] : data[x][k], contiguous. */
    void (*prelu)(kz_row data, const float *slopes, int group, int width);
    /* dst[i] = keep × dst[i] + coef × src[i], contiguous; keep 0 doesn't read dst. */
    void (*add)(kz_row dst, float keep, kz_row src, float coef, int count);
} kz_pointwise;

const kz_pointwise *kz_pointwise_for(enum kz_cpu_level level);

extern const kz_pointwise kz_pointwise_baseline;
extern const kz_pointwise kz_pointwise_avx2;
extern const kz_pointwise kz_pointwise_avx512;

#endif
