/* A graph as a list of kernel calls over laid-out device memory: what net.c runs. Values are NHWC;
 * wide ones (a multiple of 8 channels) have the precision's element, thin ones, and what is only
 * copied on its way out of the network, are fp32: that keeps the layers that touch the picture as
 * exact as the reference's. Concatenations are slices of one buffer. A small network is one call,
 * and its values between are nowhere in memory. */
#ifndef KZ_CUDA_PROGRAM_H
#define KZ_CUDA_PROGRAM_H

#include "backend/backend.h"
#include "cuda/small_net.h"

/* Where a value lies, for tiles of every size up to the program's. */
typedef struct kz_place {
    size_t offset; /* bytes from the arena's start, of its first channel */
    bool external; /* the program's input: wherever the caller has it */
    enum kz_element element;
    int channels, pixel; /* as kz_view's */
    int scale;           /* its width and height are the tile's times this */
} kz_place;

enum kz_step_kind { KZ_STEP_CONV, KZ_STEP_SUM, KZ_STEP_SMALL };

typedef struct kz_step {
    enum kz_step_kind kind;
    int node;                 /* of the graph */
    char layer[KZ_NAME_SIZE]; /* its name */
    const char *kernel;       /* what runs it, for people */
    double macs;              /* for each pixel of the tile */
    /* CONV: the task but for its views; SUM: the slopes. */
    kz_conv_task conv;
    void (*run)(kz_gpu *gpu, const kz_conv_task *task);
    /* CONV: `conv.first`, where it isn't NULL, is the step before: it makes the input, for this one
     * alone, and kz_cuda_conv_tail() can compute both. */
    /* SMALL: the task but for its views and constants; `node` is the network's end. */
    kz_small_task small;
    kz_small_net net;
    kz_place in, out, others[KZ_SUM_MOST]; /* CONV: residuals; SUM: terms, `in` isn't used */
    kz_term terms[KZ_SUM_MOST];            /* SUM: but for their views */
    int n_others;
    /* Into the device's block of constants, once it is there: */
    size_t weights, bias, slopes; /* bytes; slopes (size_t)-1: none; SMALL: all in `weights` */
} kz_step;

typedef struct kz_program {
    kz_step *steps;
    int n_steps;
    kz_place input, output;
    size_t arena_bytes;
    size_t constant_bytes;
} kz_program;

typedef struct kz_program_params {
    int width, height;           /* of the largest tile */
    enum kz_precision precision; /* not AUTO */
    int shared_bytes;            /* the device's, for a block */
} kz_program_params;

/* Returns 0, KZ_ERROR_MEMORY or KZ_ERROR_FAILED (reported; names
 * the layer that no kernel runs). */
int kz_program_open(kz_program *program, const kz_graph *graph, const kz_program_params *params,
                    kz_log *log);
void kz_program_close(kz_program *program);

/* Writes weights, biases and slopes as the kernels want them: `constant_bytes` of host memory. */
void kz_program_pack(const kz_program *program, const kz_graph *graph, void *constants);

/* A value of a tile of this size; `input` is the program's. */
kz_view kz_place_view(const kz_place *place, char *arena, const kz_view *input, int width,
                      int height);

/* A CONV's task on the tile that `input` is, with `first` of NULL. */
kz_conv_task kz_step_task(const kz_step *step, char *arena, const char *constants,
                          const kz_view *input);

kz_small_task kz_step_small(const kz_step *step, char *arena, const char *constants,
                            const kz_view *input);

/* Constants of the device; NULL where the offset is (size_t)-1. */
static inline const float *kz_floats_at(const char *constants, size_t offset)
{
    return offset == (size_t)-1 ? NULL : (const float *)(constants + offset);
}

#endif
