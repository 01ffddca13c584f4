/* A graph on the device: its program, constants and arena. */
#ifndef KZ_CUDA_NET_H
#define KZ_CUDA_NET_H

#include "cuda/lineup.h"

typedef struct kz_net kz_net;

/* 0, KZ_ERROR_ROOM (not reported), KZ_ERROR_MEMORY or KZ_ERROR_FAILED (reported). */
int kz_net_open(kz_net **net, kz_gpu *gpu, const kz_graph *graph, const kz_program_params *params,
                kz_log *log);
void kz_net_close(kz_net **net); /* NULL is legal */

/* Lets others' engines compute what they are faster at, where `rivals` isn't NULL. `graph` is that
 * of kz_net_open(), `input` as for kz_net_run(), of the largest size; what it holds is overwritten.
 * `log` and `rivals` stay until the net is closed. 0 or KZ_ERROR_FAILED (reported). */
int kz_net_compete(kz_net *net, kz_rivals *rivals, const kz_graph *graph, const kz_view *input,
                   kz_log *log);
/* NULL: our kernels compute everything. */
const kz_lineup *kz_net_lineup(const kz_net *net);

/* Bytes of device memory: arenas, constants, what engines have of their own. */
size_t kz_net_memory(const kz_net *net);
/* At most so many, without opening; (size_t)-1 when memory is short even for finding out. */
size_t kz_net_need(const kz_graph *graph, const kz_program_params *params);

/* A second arena, so that each of the device's sides has one; without, only side 0 may be taken.
 * 0 or KZ_ERROR_ROOM (not reported). */
int kz_net_open_side(kz_net *net);
void kz_net_close_side(kz_net *net);
size_t kz_net_side_need(const kz_net *net); /* bytes */

/* What kz_net_run() returns, without running. */
kz_view kz_net_output(kz_net *net, const kz_view *input);

/* Puts all steps on the stream. `input` is the graph's first value, of the tile's size: fp32 where
 * that has one channel, else as another net's output. Returns the output, in the side's arena. With
 * a batch, both are the first tile's; none may reach beyond as many pixels as the largest tile has,
 * and one of that size is alone. NULL: this tile alone. A tile of the largest size is replayed from
 * the third time on that it has the same input (replay.h). */
kz_view kz_net_run(kz_net *net, const kz_view *input, const kz_batch *batch);

/* False: each run goes layer by layer, until this is called again. For tests and measurements. */
void kz_net_let_replay(kz_net *net, bool replay);

/* Fills at most `most` layers with the times of a run over what `input` is. */
int kz_net_layers(kz_net *net, const kz_view *input, kz_layer *layers, int most);

#endif
