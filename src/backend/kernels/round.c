#include "backend/kernels/round.h"

#include <stdint.h>
#include <string.h>

/* What a weight's own error counts beside those of the sums: other inputs want it small. */
#define OWN 0.5

enum { PASSES = 3 };

struct neighbours {
    double lower, upper; /* of a number: itself or the next towards zero, and the next away */
};

static struct neighbours find_neighbours(double x)
{
    float f = (float)x, lower, upper;
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    bits &= 0xffff0000;
    memcpy(&lower, &bits, sizeof(lower));
    bits += 0x10000;
    memcpy(&upper, &bits, sizeof(upper));
    return (struct neighbours){(double)lower, (double)upper};
}

static double square(double x)
{
    return x * x;
}

/* The nearer neighbour, or the other. */
static double pick(double x, bool nearer)
{
    const struct neighbours n = find_neighbours(x);
    return (square(x - n.lower) <= square(x - n.upper)) == nearer ? n.lower : n.upper;
}

/* From here on `input` is one weight's in the first of the inputs; the next lies `count` on. */
static double product(const double *sums, const float *input, int count, int n_inputs)
{
    double sum = 0;
    for (int i = 0; i < n_inputs; i++)
        sum += sums[i] * (double)input[i * count];
    return sum;
}

static double energy(const float *input, int count, int n_inputs)
{
    double sum = 0;
    for (int i = 0; i < n_inputs; i++)
        sum += square((double)input[i * count]);
    return sum;
}

static void add_error(double *sums, double error, const float *input, int count, int n_inputs)
{
    for (int i = 0; i < n_inputs; i++)
        sums[i] += error * (double)input[i * count];
}

/* The other neighbour, where that makes Σ sums² + OWN Σ energy error² less. */
static bool worth(double step, double error, const double *sums, const float *input, int count,
                  int n_inputs)
{
    const double e = energy(input, count, n_inputs);
    const double of_sums = 2 * step * product(sums, input, count, n_inputs) + square(step) * e;
    return of_sums + OWN * e * (square(error + step) - square(error)) < 0;
}

void kz_round_weights(double *weights, int count, const float *inputs, int n_inputs, bool *swapped)
{
    double sums[KZ_ROUND_INPUTS] = {0};
    for (int c = 0; c < count; c++) {
        swapped[c] = false;
        add_error(sums, pick(weights[c], true) - weights[c], inputs + c, count, n_inputs);
    }
    for (int pass = 0; pass < PASSES; pass++)
        for (int c = 0; c < count; c++) {
            const double now = pick(weights[c], !swapped[c]), then = pick(weights[c], swapped[c]);
            if (!worth(then - now, now - weights[c], sums, inputs + c, count, n_inputs))
                continue;
            swapped[c] = !swapped[c];
            add_error(sums, then - now, inputs + c, count, n_inputs);
        }
    for (int c = 0; c < count; c++)
        weights[c] = pick(weights[c], !swapped[c]);
}
