/* What a kernel is given, and what comes of it by the definition, in plain C. */
#ifndef KZ_TESTS_KERNEL_PROBLEM_H
#define KZ_TESTS_KERNEL_PROBLEM_H

#include <math.h>
#include <stdio.h>

#include "backend/kernels/kernel.h"
#include "check.h"
#include "kernel_value.h"

struct problem {
    kz_kernel_params params;
    struct value inputs[KZ_KERNEL_INPUTS], residuals[KZ_KERNEL_RESIDUALS];
    int width;   /* columns of the input */
    bool direct; /* weights are bf16's already: nothing but the output is rounded to it */
    bool narrow; /* products are bf16's, values are not */
    float *weights, *bias, *slopes;
};

/* ---- the definition ---- */

static inline int total_in(const kz_kernel_params *p)
{
    int sum = 0;
    for (int i = 0; i < p->n_inputs && (i == 0 || p->kind != KZ_KERNEL_END); i++)
        sum += p->in_channels[i];
    return sum;
}

/* Row y counts from the first row that the kernel is given. */
static inline double input_at(const struct problem *p, int channel, int y, int x)
{
    int i = 0;
    while (channel >= p->params.in_channels[i])
        channel -= p->params.in_channels[i++];
    return (double)read_value(&p->inputs[i], channel, y, x);
}

static inline double filter(const struct problem *p, int n, int y, int x)
{
    int channels = total_in(&p->params);
    double sum = 0;
    for (int c = 0; c < channels; c++)
        for (int tap = 0; tap < 9; tap++)
            sum += (double)p->weights[(n * channels + c) * 9 + tap] *
                   input_at(p, c, y + tap / 3, x - 1 + tap % 3);
    return sum;
}

/* Output row y and column x at twice the size. */
static inline double phase_filter(const struct problem *p, int n, int y, int x)
{
    int channels = total_in(&p->params), a = y % 2, b = x % 2;
    const float *w = p->weights + ((a * 2 + b) * p->params.out_channels + n) * channels * 4;
    double sum = 0;
    for (int c = 0; c < channels; c++)
        for (int tap = 0; tap < 4; tap++)
            sum += (double)w[c * 4 + tap] *
                   input_at(p, c, y / 2 + a + tap / 2, x / 2 - 1 + b + tap % 2);
    return sum;
}

static inline double expected(const struct problem *p, int n, int y, int x)
{
    const kz_kernel_params *q = &p->params;
    if (q->kind == KZ_KERNEL_SHUFFLE) {
        int f = q->factor;
        double base = q->coefs[0] != 0 ? (double)read_value(&p->inputs[1], 0, 0, x / f) : 0;
        return (double)read_value(&p->inputs[0], y % f * f + x % f, 0, x / f) +
               (double)q->coefs[0] * base;
    }
    if (q->kind == KZ_KERNEL_END) {
        n = y % 2 * 2 + x % 2;
        double base = q->n_inputs > 1 ? (double)read_value(&p->inputs[1], 0, y / 2 + 1, x / 2) : 0;
        return filter(p, n, y / 2, x / 2) + (double)q->bias[n] + (double)q->coefs[0] * base;
    }
    double sum = q->kind == KZ_KERNEL_PHASE ? phase_filter(p, n, y, x) : filter(p, n, y, x);
    sum += q->bias ? (double)q->bias[n] : 0;
    if (q->slopes && sum < 0)
        sum *= (double)q->slopes[n];
    for (int r = 0; r < q->n_residuals; r++)
        sum += (double)q->coefs[r] * (double)read_value(&p->residuals[r], n, y, x);
    return sum;
}

/* ---- what comes out ---- */

/* Largest error allowed beside the output's own rounding: that of the transforms, and of bf16
 * values and weights. */
static inline double tolerance(const struct problem *p)
{
    const kz_kernel_params *q = &p->params;
    if (q->kind == KZ_KERNEL_SHUFFLE)
        return 1e-6;
    if (p->direct)
        return q->wide ? 1e-5 : 0.02;
    if (!q->bf16 && !p->narrow)
        return 6e-5;
    return q->kind == KZ_KERNEL_FIRST ? 0.01 : 0.08;
}

static inline void compare(const struct problem *p, const struct value *out, int rows)
{
    const kz_kernel_params *q = &p->params;
    const double rounding = out->bf16 ? 1.0 / 256 : 0; /* at most, of a value */
    double worst = 0, squares = 0;
    int channels = out->block == 1 ? 1 : q->out_channels;
    for (int n = 0; n < channels; n++)
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < out->columns; x++) {
                const double right = expected(p, n, y, x);
                double e = fabs((double)read_value(out, n, y, x) - right);
                e = fmax(e - rounding * fabs(right), 0);
                worst = fmax(worst, e);
                squares += e * e;
            }
    double rms = sqrt(squares / (channels * rows * out->columns));
    if (!(worst <= tolerance(p)) || !(rms <= tolerance(p) / 5))
        fprintf(stderr, "kind %d, %d inputs, %d to %d channels, %d columns: worst %g, rms %g\n",
                (int)q->kind, q->n_inputs, total_in(q), q->out_channels, out->columns, worst, rms);
    CHECK(worst <= tolerance(p) && rms <= tolerance(p) / 5);
}

#endif
