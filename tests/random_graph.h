/* Small random networks shaped like the real ones, for tests; RGB in and out where not said
 * otherwise. */
#ifndef KZ_TESTS_RANDOM_GRAPH_H
#define KZ_TESTS_RANDOM_GRAPH_H

#include "model/graph.h"

/* A number from -1 to 1; advances the seed. */
float random_unit(unsigned *seed);

/* RRDBNet ×4: `blocks` residual-in-residual blocks of three dense blocks. */
kz_graph *random_rrdb(int blocks, int channels, int growth, unsigned seed);

/* SRVGG: convolutions with PReLU, pixel shuffle, and the enlarged input added. */
kz_graph *random_srvgg(int convs, int channels, int factor, unsigned seed);

/* kizuna's own, luma in and out, ×2; with `skip` the first layer's result is added before the last
 * layer. */
kz_graph *random_luma_net(int convs, int channels, bool skip, unsigned seed);

/* The same, applied twice. */
kz_graph *random_luma_net_twice(int convs, int channels, bool skip, unsigned seed);

/* Luma in and out, ×4: what makes the second step reads the first one's shuffle, to which the
 * enlarged input is added for the sum alone. */
kz_graph *random_pyramid(unsigned seed);

/* Convolutions, enlarged by repeating samples, and convolutions of that; with `joined` the enlarged
 * value and a convolution of it are concatenated, too. */
kz_graph *random_enlarger(int convs, int channels, int factor, bool joined, unsigned seed);

/* A few layers of any kind in any order, up to six times as large: no network that anybody trained,
 * but one that a file may hold. */
kz_graph *random_any(unsigned seed);

#endif
