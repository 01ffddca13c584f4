/* Small random networks shaped like the real ones, RGB in and out, for tests. */
#ifndef KZ_TESTS_RANDOM_GRAPH_H
#define KZ_TESTS_RANDOM_GRAPH_H

#include "model/graph.h"

/* A number from -1 to 1; advances the seed. */
float random_unit(unsigned *seed);

/* RRDBNet ×4: `blocks` residual-in-residual blocks of three dense blocks. */
kz_graph *random_rrdb(int blocks, int channels, int growth, unsigned seed);

/* SRVGG: convolutions with PReLU, pixel shuffle, and the enlarged input added. */
kz_graph *random_srvgg(int convs, int channels, int factor, unsigned seed);

#endif
