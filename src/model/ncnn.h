/* Reader for ncnn models: a text .param and its .bin, as ncnn writes them. Files are hostile. */
#ifndef KZ_MODEL_NCNN_H
#define KZ_MODEL_NCNN_H

#include "base/reader.h"
#include "model/graph.h"

/* Reads a pair of files into a fresh graph that has passed kz_graph_check(). Returns 0,
 * KZ_ERROR_MEMORY or KZ_ERROR_FAILED; messages name the file, the line or the layer. */
int kz_ncnn_read(kz_graph **graph, const char *param_path, const char *bin_path, kz_log *log);

/* The same from memory; the names stand in messages only. */
int kz_ncnn_parse(kz_graph **graph, kz_bytes param, const char *param_name, kz_bytes bin,
                  const char *bin_name, kz_log *log);

#endif
