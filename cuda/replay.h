/* Runs of a net that are asked for over and over with the same parameters, as CUDA graphs: a launch
 * for each run in the place of one for each layer. The first time a run goes layer by layer, so
 * that all that is done once (kernels are loaded, libraries settle) is done outside of a capture;
 * the second time it is captured, and from then on replayed. A run that can't be captured or
 * replayed goes layer by layer, as do all of the net from then on. */
#ifndef KZ_CUDA_REPLAY_H
#define KZ_CUDA_REPLAY_H

#include "cuda/kernels/kernels.h"

/* Bands of a picture of 8K are some seventy; runs over more inputs go layer by layer. */
enum { KZ_REPLAY_MOST = 128 };

typedef struct kz_replay {
    kz_gpu *gpu;
    kz_log *log; /* or NULL */
    struct kz_replayed {
        kz_view input;
        kz_gpu_graph *graph; /* NULL: it ran once */
    } runs[KZ_REPLAY_MOST];
    int count;
    bool plain; /* nothing is captured or replayed */
} kz_replay;

/* Puts on the stream what `run` puts there, which nothing decides but `input`: kernels, and what it
 * reads of the host's memory as it was the second time. */
void kz_replay_run(kz_replay *r, const kz_view *input, void (*run)(const void *context),
                   const void *context);

/* Something else would decide: all begins anew. Graphs are closed; waits for the stream if there
 * are any. */
void kz_replay_clear(kz_replay *r);

#endif
