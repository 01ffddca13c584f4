/* cuDNN's engines behind rival.h. A layer with phases is four convolutions, each of which writes
 * every second pixel of every second row; all have the same engine. */
#include "cuda/rival.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cuda/cudnn/conv.h"

_Static_assert(KZ_CHOICE_ENGINE >= KZ_CUDNN_ENGINE_TEXT, "an engine's text must fit");

struct kz_rival_library {
    kz_cudnn *cudnn;
    kz_cudnn_device *device;
};

enum { MOST_PHASES = 4 };

struct kz_rival_engine {
    int phases;
    kz_cudnn_conv *convs[MOST_PHASES];
    kz_cudnn_plan *plans[MOST_PHASES];
};

static void cudnn_close(kz_rival_library **library)
{
    kz_rival_library *l = *library;
    if (!l)
        return;
    kz_cudnn_device_close(&l->device);
    kz_cudnn_close(&l->cudnn);
    kz_free(l);
    *library = NULL;
}

static int cudnn_open(kz_rival_library **library, kz_gpu *gpu)
{
    kz_rival_library *l = *library = kz_alloc(1, sizeof(*l));
    if (!l)
        return KZ_ERROR_MEMORY;
    int error = kz_cudnn_open(&l->cudnn, NULL);
    if (!error) {
        kz_gpu_stream(gpu); /* makes its device the thread's */
        error = kz_cudnn_device_open(&l->device, l->cudnn, NULL);
    }
    if (error)
        cudnn_close(library);
    return error;
}

static size_t cudnn_version(const kz_rival_library *library)
{
    return kz_cudnn_version(library->cudnn);
}

/* ---- layers ---- */

/* Whole 16 bytes, but where pixels lie packed and fp32 is read one by one. */
static bool is_aligned(const kz_view *v, bool packed)
{
    const int step = v->element == KZ_ELEMENT_FP32 ? 4 : 8;
    if (v->element == KZ_ELEMENT_FP32 && packed && v->pixel == v->channels)
        return true;
    return (size_t)v->data % 16 == 0 && v->pixel % step == 0 && v->channels % step == 0;
}

static bool cudnn_fits(const kz_conv_task *t)
{
    bool fits = kz_rival_one_type(t) && is_aligned(&t->in, true) &&
                is_aligned(&t->out, !t->phases) && t->n_residuals <= KZ_CUDNN_RESIDUALS &&
                t->pad_top < t->kernel && t->pad_left < t->kernel;
    for (int i = 0; i < t->n_residuals && fits; i++)
        fits = is_aligned(&t->residuals[i], !t->phases);
    return fits;
}

static kz_cudnn_strides strides_of(const kz_view *v, bool phases)
{
    const int64_t row = (int64_t)v->width * v->pixel;
    return phases ? (kz_cudnn_strides){2 * v->pixel, 2 * row, 0}
                  : (kz_cudnn_strides){v->pixel, row, 0};
}

static enum kz_cudnn_type type_of(enum kz_element element)
{
    switch (element) {
    case KZ_ELEMENT_FP16:
        return KZ_CUDNN_FP16;
    case KZ_ELEMENT_BF16:
        return KZ_CUDNN_BF16;
    default:
        return KZ_CUDNN_FP32;
    }
}

static kz_cudnn_conv_params params_of(const kz_rival_layer *layer, int phase)
{
    const kz_conv_task *t = &layer->task;
    const int top = t->pad_top - phase / 2, left = t->pad_left - phase % 2;
    kz_cudnn_conv_params p = {.batch = 1,
                              .height = t->in.height,
                              .width = t->in.width,
                              .in_channels = t->in.channels,
                              .out_channels = t->out.channels,
                              .kernel_h = t->kernel,
                              .kernel_w = t->kernel,
                              .pad_top = top,
                              .pad_left = left,
                              .pad_bottom = t->kernel - 1 - top,
                              .pad_right = t->kernel - 1 - left,
                              .type = type_of(t->in.element),
                              .tf32 = t->tf32,
                              .bias = true,
                              .act = layer->act,
                              .slope = layer->slope,
                              .n_residuals = t->n_residuals,
                              .in = strides_of(&t->in, false),
                              .out = strides_of(&t->out, t->phases)};
    for (int i = 0; i < t->n_residuals; i++) {
        p.coefs[i] = t->coefs[i];
        p.residuals[i] = strides_of(&t->residuals[i], t->phases);
    }
    return p;
}

/* What cuDNN refuses has no engines, and our kernel does it: nobody has to know. */
static int cudnn_list(kz_rival_library *library, const kz_rival_layer *layer,
                      char (*engines)[KZ_CHOICE_ENGINE], int most)
{
    const kz_cudnn_conv_params params = params_of(layer, 0);
    kz_cudnn_engine *found = kz_alloc((size_t)most, sizeof(*found));
    kz_cudnn_conv *conv = NULL;
    int count = found ? kz_cudnn_conv_open(&conv, library->cudnn, &params, NULL) : KZ_ERROR_MEMORY;
    if (!count)
        count = kz_cudnn_conv_engines(conv, library->device, found, most);
    for (int i = 0; i < count; i++)
        kz_cudnn_engine_write(&found[i], engines[i]);
    kz_cudnn_conv_close(&conv);
    kz_free(found);
    return count == KZ_ERROR_FAILED ? 0 : count;
}

/* ---- engines ---- */

static void cudnn_close_engine(kz_rival_engine **engine)
{
    kz_rival_engine *e = *engine;
    if (!e)
        return;
    for (int i = 0; i < e->phases; i++) {
        kz_cudnn_plan_close(&e->plans[i]);
        kz_cudnn_conv_close(&e->convs[i]);
    }
    kz_free(e);
    *engine = NULL;
}

/* Those that want memory beside the pictures are left out: what was seen of them are old ones, for
 * fp32. */
static int open_phase(kz_rival_engine *e, int phase, kz_rival_library *library,
                      const kz_rival_layer *layer, const kz_cudnn_engine *choice, kz_log *log)
{
    const kz_cudnn_conv_params params = params_of(layer, phase);
    int error = kz_cudnn_conv_open(&e->convs[phase], library->cudnn, &params, log);
    if (!error)
        error = kz_cudnn_plan_open(&e->plans[phase], e->convs[phase], library->device, choice);
    if (!error && kz_cudnn_plan_workspace(e->plans[phase]) > 0)
        error = KZ_ERROR_FAILED;
    return error;
}

static int cudnn_open_engine(kz_rival_engine **engine, kz_rival_library *library,
                             const kz_rival_layer *layer, const char *text, kz_log *log)
{
    kz_cudnn_engine choice;
    *engine = NULL;
    if (kz_cudnn_engine_read(&choice, text, strlen(text)))
        return KZ_ERROR_FAILED;
    kz_rival_engine *e = *engine = kz_alloc(1, sizeof(*e));
    if (!e)
        return KZ_ERROR_MEMORY;
    e->phases = layer->task.phases ? MOST_PHASES : 1;
    int error = 0;
    for (int i = 0; i < e->phases && !error; i++)
        error = open_phase(e, i, library, layer, &choice, log);
    if (error)
        cudnn_close_engine(engine);
    return error;
}

/* Where a phase's part begins. */
static char *part_of(const kz_view *v, int phase)
{
    const size_t pixels = (size_t)(phase / 2) * (size_t)v->width + (size_t)(phase % 2);
    return (char *)v->data + pixels * (size_t)v->pixel * kz_element_bytes(v->element);
}

static int run_phase(kz_rival_engine *e, int phase, void *stream, const kz_conv_task *t)
{
    const size_t weights = (size_t)phase * (size_t)(t->kernel * t->kernel) *
                           (size_t)t->in.channels * (size_t)t->out.channels *
                           kz_element_bytes(t->in.element);
    kz_cudnn_buffers buffers = {.in = t->in.data,
                                .weights = (const char *)t->weights + weights,
                                .bias = t->bias,
                                .slopes = t->slopes,
                                .out = part_of(&t->out, phase)};
    for (int i = 0; i < t->n_residuals; i++)
        buffers.residuals[i] = part_of(&t->residuals[i], phase);
    return kz_cudnn_plan_run(e->plans[phase], stream, &buffers);
}

static int cudnn_run(kz_rival_engine *e, kz_gpu *gpu, const kz_conv_task *task)
{
    void *const stream = kz_gpu_stream(gpu);
    int error = 0;
    for (int i = 0; i < e->phases && !error; i++)
        error = run_phase(e, i, stream, task);
    return error;
}

static const kz_rival_table table = {
    .name = "cuDNN",
    .open = cudnn_open,
    .close = cudnn_close,
    .version = cudnn_version,
    .fits = cudnn_fits,
    .list = cudnn_list,
    .open_engine = cudnn_open_engine,
    .close_engine = cudnn_close_engine,
    .run = cudnn_run,
};

const kz_rival_table *const kz_rival_linked = &table;
