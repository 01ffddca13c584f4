/* Exact rewrites: they change the order of the arithmetic, not the mathematics. Each leaves a
 * graph that passes kz_graph_check(); tests prove the outputs equal to rounding. Each returns 0 or
 * KZ_ERROR_MEMORY; on failure the graph is still valid to close. */
#ifndef KZ_MODEL_REWRITE_H
#define KZ_MODEL_REWRITE_H

#include "model/graph.h"
#include "pixel/plane.h"

/* A network trained on RGB, fed (Y, Y, Y), of which the luma is taken: every reader of the
 * three-channel input sums its weights over the inputs, and the output is weighted by
 * `weights`, carried back through pixel shuffle, add and nearest upsampling to the convolutions
 * that end the network. One channel in, one out. A graph with one channel in and out is left as
 * it is; one that can't be folded returns KZ_ERROR_FAILED, reported. */
int kz_rewrite_luma(kz_graph *graph, kz_luma_weights weights, kz_log *log);

/* An activation whose only reader is itself moves into the convolution that feeds it. */
int kz_rewrite_fuse_activation(kz_graph *graph);

/* y = s conv(x) + sum c_i r_i becomes one convolution with s folded into its weights and bias, and
 * the residuals as its further inputs; nested additions (RRDB's outer one) collapse too. */
int kz_rewrite_fuse_add(kz_graph *graph);

/* Nearest ×2 upsampling and a 3×3 convolution with padding 1 become one PHASE_CONV: four 2×2
 * convolutions at the low resolution, 4/9 of the work. */
int kz_rewrite_phase(kz_graph *graph);

/* All of the above in the right order, then kz_graph_prune(). */
int kz_rewrite_all(kz_graph *graph, kz_luma_weights weights, kz_log *log);

#endif
