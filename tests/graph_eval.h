/* A graph by its definition: planar, summed in double. Slow, and independent of the back ends. */
#ifndef KZ_TESTS_GRAPH_EVAL_H
#define KZ_TESTS_GRAPH_EVAL_H

#include "model/graph.h"

/* `in` is [channels][height][width], `out` large enough for the output value. 0 or -1. */
int graph_eval(const kz_graph *graph, const float *in, int channels, int height, int width,
               float *out);

#endif
