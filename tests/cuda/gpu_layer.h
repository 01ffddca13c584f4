/* The networks' convolutions one by one, on made-up values: what the check's comparisons of kernels
 * share. What can't go on ends the program. */
#ifndef KZ_TESTS_GPU_LAYER_H
#define KZ_TESTS_GPU_LAYER_H

#include "gpu_check.h"

enum { WIDEST = 192, TAPS = 9 };

/* Slices begin at channel `from` of `pixel` channels; the residual is the input's first ones. */
struct layer {
    int in, in_pixel, out, out_from, out_pixel;
    enum kz_act act;
    int n_residuals;
};

enum { LAYERS = 8 };
extern const struct layer layers[LAYERS];

struct bench {
    kz_gpu *gpu;
    struct size size;
    enum kz_element element; /* of 16 bits */
    /* Of the device: values of WIDEST channels. */
    char *in, *out, *expected;
    char *packed, *weights; /* for our kernels, and [out][tap][in] */
    char *bias, *slopes;
};

void open_bench(struct bench *b, kz_gpu *gpu, struct size size, enum kz_element element);
void close_bench(struct bench *b);

void *room(kz_gpu *gpu, size_t bytes); /* of the device */
size_t value_bytes(const struct bench *b);

kz_conv_task task_of(const struct bench *b, const struct layer *l, char *out);
void fill_weights(const struct bench *b, const struct layer *l);

/* Clears `out`, runs so often, and returns the seconds of one of the runs behind the first. */
double time_kernel(const struct bench *b, void (*run)(kz_gpu *, const kz_conv_task *),
                   const kz_conv_task *task, char *out, int runs);
/* Multiply-accumulates count twice. */
double flops_of(const struct bench *b, const struct layer *l);

/* The largest between `out` and `expected` of the layer's own channels, in some of a high picture's
 * rows from top to bottom, and whether it is what sums in another order may make of
 * values of about 1. */
double difference(const struct bench *b, const struct layer *l);
bool is_small(const struct bench *b, double difference);

/* "192 → 64, slices, residual" */
const char *name_layer(const struct layer *l, char text[100]);

#endif
