/* Random tasks for kernels, and their values on the device: what tests of kernels share. A failed
 * CHECK ends the case. */
#ifndef KZ_TESTS_CUDA_TASKS_H
#define KZ_TESTS_CUDA_TASKS_H

#include "cuda/kernels/kernels.h"

/* What all of it is drawn from: $KIZUNA_SEED, else the time; says which. */
extern unsigned tasks_seed;
void draw_tasks_seed(void);
int random_int(int least, int most);
enum kz_element random_wide(void); /* fp16 or bf16 */
float *random_floats(size_t count, float scale);

kz_gpu *open_gpu(void);

/* ---- values ---- */

/* A slice that begins at `first` of pixels of `pixel` elements, random all over. */
kz_view random_view(enum kz_element element, int channels, int pixel, int first, int width,
                    int height);
void free_view(const kz_view *v, int first);
size_t count_of(const kz_view *v); /* elements, with those beside the slice */
size_t bytes_of(const kz_view *v);
char *whole(const kz_view *v, int first); /* where its memory begins */

kz_surface random_surface(int width, int height, int bytes, int depth, int step);
size_t surface_bytes(const kz_surface *s);

/* A copy of host memory on the device; and back, which frees it there. */
void *send_bytes(kz_gpu *gpu, const void *host, size_t bytes);
void fetch_bytes(kz_gpu *gpu, void *there, void *host, size_t bytes);
kz_view send_view(kz_gpu *gpu, const kz_view *v, int first);
void fetch_view(kz_gpu *gpu, const kz_view *there, const kz_view *v, int first);
kz_surface send_surface(kz_gpu *gpu, const kz_surface *s);

/* ---- convolutions ---- */

typedef void (*convolution)(kz_gpu *gpu, const kz_conv_task *task);

struct problem {
    kz_conv_task task;
    int in_first, out_first;
    kz_view before; /* out, as it was */
    float *weights; /* as kz_node's */
    float *bias, *slopes;
};

void open_problem(struct problem *p, enum kz_element in, enum kz_element out, int inputs,
                  int outputs, bool phases, int width, int height);
void close_problem(struct problem *p);

/* The task with all its values on the device; `tensor`: for tensor cores. */
kz_conv_task send_problem(kz_gpu *gpu, struct problem *p, bool tensor);
/* Frees them there, but for the output. */
void drop_problem(kz_gpu *gpu, const struct problem *p, const kz_conv_task *t);

/* A last layer and the one before it, which has a group of 32 or 64. */
struct tail {
    struct problem first, last;
    kz_conv_task first_there, last_there; /* on the device */
    kz_view unread;                       /* what the last one alone would read */
};

/* `last_there` is the task for both, and to be run where `t` is. */
void open_tail(kz_gpu *gpu, struct tail *t, int inputs, int channels, int width, int height);
/* Frees them, but for the outputs on the device. */
void close_tail(kz_gpu *gpu, struct tail *t);

/* ---- small networks ---- */

enum { MOST_HIDDEN = 7 };

struct network {
    kz_small_task task;
    kz_small_layer layers[MOST_HIDDEN + 2];
};

void open_network(struct network *n, int channels, int hidden, bool skip, int width, int height);
void close_network(struct network *n);

#endif
