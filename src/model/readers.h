/* Who reads a value: what the rewrites ask. */
#ifndef KZ_MODEL_READERS_H
#define KZ_MODEL_READERS_H

#include "model/graph.h"

/* How often a value is read; being the network's output counts. */
int kz_graph_readers(const kz_graph *graph, int value);

/* Lets everyone who read `from` read `to`. */
void kz_graph_redirect(kz_graph *graph, int from, int to);

#endif
