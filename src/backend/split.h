/* Cuts a network before it enlarges. Behind the cut every value is many times larger, and the
 * receptive field small: that part runs on bands of rows, so that no 4× plane of 64 channels is
 * ever whole in memory. Discarding a halo as wide as the receptive field makes this exact. */
#ifndef KZ_BACKEND_SPLIT_H
#define KZ_BACKEND_SPLIT_H

#include "model/graph.h"

/* Copies `graph` into the part before the cut and the part behind it, whose input is the first's
 * output. Where no single value separates the two, *tail is NULL and *head is all of it. Returns 0
 * or KZ_ERROR_MEMORY. */
int kz_graph_split(const kz_graph *graph, kz_graph **head, kz_graph **tail);

#endif
