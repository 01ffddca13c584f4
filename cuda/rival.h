/* Other engines for a net's convolutions than the kernels that run on every device: a library that
 * lists them for a layer and runs them. There are our own kernels for Hopper (wgmma.c), the one
 * that computes the last two layers at once (tail.c), and one that is linked in: cuDNN
 * (cudnn/rival.c), none (no_rival.c), or a test's. lineup.h chooses. */
#ifndef KZ_CUDA_RIVAL_H
#define KZ_CUDA_RIVAL_H

#include "cuda/choices.h"
#include "cuda/kernels/kernels.h"
#include "model/graph.h"

/* A convolution as engines are asked for it. */
typedef struct kz_rival_layer {
    kz_conv_task task; /* as in a run, of one size; its addresses are as aligned as a run's */
    enum kz_act act;
    float slope; /* LEAKY: what task.slopes are all */
} kz_rival_layer;

typedef struct kz_rival_library kz_rival_library;
typedef struct kz_rival_engine kz_rival_engine;

/* One caller at a time uses a library and its engines. */
typedef struct kz_rival_table {
    const char *name; /* for people: "cuDNN" */
    bool own_weights; /* tasks have the program's own weights, kz_cuda_conv_tensor_pack()'s */
    bool same_bits;   /* engines have those of the program's kernels, and compute tiles of any size,
                       * and batches */

    /* For the device of `gpu`. 0, KZ_ERROR_MEMORY or KZ_ERROR_FAILED (it isn't installed; not
     * reported). */
    int (*open)(kz_rival_library **library, kz_gpu *gpu);
    void (*close)(kz_rival_library **library); /* after its engines; NULL is legal */
    size_t (*version)(const kz_rival_library *library);

    /* Whether an engine could compute it: a quick look, without a library. Only such a layer is
     * asked for. Addresses of tasks that aren't in a run yet tell alignment. */
    bool (*fits)(const kz_conv_task *task);

    /* Fills at most `most` texts, each of an engine, those that the library believes faster first.
     * Returns how many, which may be 0, or KZ_ERROR_MEMORY. */
    int (*list)(kz_rival_library *library, const kz_rival_layer *layer,
                char (*engines)[KZ_CHOICE_ENGINE], int most);

    /* By a text from list(), or any other. 0, KZ_ERROR_MEMORY or KZ_ERROR_FAILED (no such engine
     * for this layer here; reported as verbose). `log` stays until it is closed. */
    int (*open_engine)(kz_rival_engine **engine, kz_rival_library *library,
                       const kz_rival_layer *layer, const char *text, kz_log *log);
    void (*close_engine)(kz_rival_engine **engine); /* NULL is legal */

    /* Puts the layer on the stream: a task of the same layer but for its addresses. Without
     * own_weights its weights are [phase][out][row][column][in] of in's element. 0 or
     * KZ_ERROR_FAILED (reported; who calls then computes all of it another way). */
    int (*run)(kz_rival_engine *engine, kz_gpu *gpu, const kz_conv_task *task);
} kz_rival_table;

/* For fits(): what is read, added and stored has one type; nothing else is compared with ours. */
static inline bool kz_rival_one_type(const kz_conv_task *t)
{
    bool one = t->in.element == t->out.element;
    for (int i = 0; i < t->n_residuals; i++)
        one = one && t->residuals[i].element == t->out.element;
    return one;
}

extern const kz_rival_table kz_rival_wgmma, kz_rival_tail;

/* NULL: none. */
extern const kz_rival_table *const kz_rival_linked;

#endif
