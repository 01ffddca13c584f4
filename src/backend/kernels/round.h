/* Weights to bf16, so that what is seen most comes out right. */
#ifndef KZ_BACKEND_KERNELS_ROUND_H
#define KZ_BACKEND_KERNELS_ROUND_H

#include <stdbool.h>

enum { KZ_ROUND_INPUTS = 16 };

/* Rounds one output's `count` weights in place, each to one of its two neighbours in bf16, so that
 * their products with each of the given inputs, [n_inputs][count], n_inputs <= KZ_ROUND_INPUTS, sum
 * up to what they did before, nearly. Without inputs each goes to the nearest. `swapped` is room
 * for [count]. (GPTQ, Frantar et al. 2022, does it for thousands of sampled inputs; a few that say
 * it all leave only a choice between neighbours to be made.) */
void kz_round_weights(double *weights, int count, const float *inputs, int n_inputs, bool *swapped);

#endif
