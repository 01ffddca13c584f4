/* A graph as a list of steps over laid-out memory: what net.c runs. */
#ifndef KZ_BACKEND_CPU_PROGRAM_H
#define KZ_BACKEND_CPU_PROGRAM_H

#include "backend/cpu/conv.h"
#include "backend/cpu/pointwise.h"
#include "backend/host.h"
#include "backend/schedule.h"

/* Where a value lies in every worker's memory. */
typedef struct kz_place {
    kz_layout layout;
    size_t offset;
    bool temporary; /* in the temporary that each convolution may use, not among the values */
} kz_place;

enum kz_step_kind {
    KZ_STEP_CONV,
    KZ_STEP_COPY,  /* dst[c][factor y + phase_y][factor x + phase_x] = src[c][y][x] */
    KZ_STEP_PRELU, /* dst = dst < 0 ? slopes[c] dst : dst */
    KZ_STEP_ADD    /* dst = keep dst + coef src */
};

typedef struct kz_step {
    enum kz_step_kind kind;
    kz_place src, dst;
    kz_conv *conv; /* opened by the net; closed with the program */
    kz_conv_params params;
    kz_place residuals[KZ_CONV_RESIDUALS];
    int src_channel, dst_channel, channels; /* COPY */
    int factor, phase_y, phase_x;
    float *slopes; /* PRELU: as many as dst has channels; owned */
    float keep, coef;
} kz_step;

typedef struct kz_program {
    kz_step *steps;
    int n_steps, capacity;
    kz_place input, output;
    size_t arena_bytes, temporary_bytes; /* per worker */
} kz_program;

/* `graph` must outlive the opening of the steps' convolutions: their weights are the graph's.
 * KZ_ERROR_FAILED names a layer that the CPU back end can't run. */
int kz_program_open(kz_program *program, const kz_graph *graph, const kz_net_params *params,
                    kz_log *log);
void kz_program_close(kz_program *program);

#endif
