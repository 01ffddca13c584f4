/* Engines against the program's kernel, on the device, at one layer of a net: whether they compute
 * the same, and who is faster. */
#ifndef KZ_CUDA_TRIAL_H
#define KZ_CUDA_TRIAL_H

#include "cuda/rival.h"

enum { KZ_TRIAL_MOST = 11 }; /* engines at a time */

typedef struct kz_trial {
    kz_gpu *gpu;
    /* What the layer reads and writes lies here: all of it is overwritten. */
    char *arena;
    size_t arena_bytes;
    kz_view input; /* the net's */
    /* Puts `own` on the stream with the program's kernels, or, of two layers, with the fastest for
     * the first one. */
    void (*run)(void *context, bool fastest);
    void *context;
    kz_conv_task own, theirs; /* the same but for the weights */
    /* Engines to be looked at; wrong[i] is set for those that differ from our kernel, or fail. */
    const kz_rival_table *tables[KZ_TRIAL_MOST]; /* whose each is */
    kz_rival_engine *engines[KZ_TRIAL_MOST];
    bool wrong[KZ_TRIAL_MOST];
    int count;
} kz_trial;

/* Runs all on made-up operands. 0, KZ_ERROR_MEMORY (not reported), or KZ_ERROR_FAILED (not
 * reported: the device has failed, for good). */
int kz_trial_compare(kz_trial *trial);

/* Times those that aren't wrong. The engine that is faster than run() by more than noise, the
 * fastest of them, or -1. An error as above. */
int kz_trial_race(kz_trial *trial, int *fastest);

#endif
