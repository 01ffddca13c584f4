/* A flat picture through a network: away from the border every layer's values are flat too, so that
 * one number for each channel tells them exactly. */
#ifndef KZ_MODEL_FLAT_H
#define KZ_MODEL_FLAT_H

#include "model/graph.h"

typedef struct kz_flat kz_flat;

/* For a graph with one channel in, which outlives it, and so many pictures at a time. 0 or
 * KZ_ERROR_MEMORY. */
int kz_flat_open(kz_flat **flat, const kz_graph *graph, int pictures);
void kz_flat_close(kz_flat **flat); /* NULL is legal */

/* Pictures of these values, [pictures]. */
void kz_flat_run(kz_flat *flat, const float *in);

/* What the node then makes, [pictures][channels]; of a pixel shuffle the mean over the pixels that
 * one input pixel becomes. */
const float *kz_flat_values(const kz_flat *flat, int node);

#endif
