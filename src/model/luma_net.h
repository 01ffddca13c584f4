/* Reader for kizuna's own networks: luma in, luma of twice the size out. In a safetensors file,
 * whose metadata says architecture "kizuna", version "1", scale "2", skip "0" or "1" and a name,
 * are `layers.I.weight` [out, in, 3, 3], `layers.I.bias` [out] and, for all layers but the last,
 * `layers.I.slope` [out]: the PReLU behind it. The last one's four channels are shuffled into the
 * larger picture, to which the input's nearest pixels are added. With skip "1" the first layer's
 * result is added to that of the last but one. Files are hostile. */
#ifndef KZ_MODEL_LUMA_NET_H
#define KZ_MODEL_LUMA_NET_H

#include "base/reader.h"
#include "model/graph.h"

/* Reads a file's bytes into a fresh graph that has passed kz_graph_check(); `name` stands in
 * messages only. Returns 0, KZ_ERROR_MEMORY or KZ_ERROR_FAILED with a line that begins with `name`;
 * then *graph is NULL. */
int kz_luma_net_parse(kz_graph **graph, kz_bytes bytes, const char *name, kz_log *log);

#endif
