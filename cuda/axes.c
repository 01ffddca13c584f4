#include "cuda/axes.h"

#include <string.h>

#include "base/mem.h"

/* Luma's and chroma's. */
enum { MOST = 2 };

/* Both directions' tables in one piece, on the host as they are on the device. */
struct tables {
    kz_resample_axis x, y; /* of the copy */
    char *copy;
    size_t bytes, at; /* at: in the block */
};

struct kz_axes {
    kz_gpu *gpu;
    char *block;
    size_t bytes, taken;
    struct tables kept[MOST];
    int count;
};

int kz_axes_open(kz_axes **axes, kz_gpu *gpu, char *block, size_t bytes)
{
    kz_axes *a = *axes = kz_alloc(1, sizeof(*a));
    if (!a)
        return KZ_ERROR_MEMORY;
    *a = (kz_axes){.gpu = gpu, .block = block, .bytes = bytes};
    return 0;
}

static void forget(kz_axes *a)
{
    for (int i = 0; i < a->count; i++)
        kz_free(a->kept[i].copy);
    a->count = 0;
    a->taken = 0;
}

void kz_axes_close(kz_axes **axes)
{
    if (*axes)
        forget(*axes);
    kz_free(*axes);
    *axes = NULL;
}

size_t kz_axes_taken(const kz_axes *axes)
{
    return axes->taken;
}

/* ---- one direction's table ---- */

static size_t first_bytes(const kz_resample_axis *a)
{
    return (size_t)a->length * sizeof(*a->first);
}

static size_t weight_bytes(const kz_resample_axis *a)
{
    return (size_t)a->length * (size_t)a->taps * sizeof(*a->weights);
}

static size_t axis_bytes(const kz_resample_axis *a)
{
    return kz_gpu_aligned(first_bytes(a)) + kz_gpu_aligned(weight_bytes(a));
}

static bool is_equal(const kz_resample_axis *a, const kz_resample_axis *b)
{
    return a->length == b->length && a->taps == b->taps &&
           memcmp(a->first, b->first, first_bytes(a)) == 0 &&
           memcmp(a->weights, b->weights, weight_bytes(a)) == 0;
}

/* Moves the axis to memory of ours. */
static void copy_axis(kz_resample_axis *a, char *to)
{
    char *weights = to + kz_gpu_aligned(first_bytes(a));
    memcpy(to, a->first, first_bytes(a));
    memcpy(weights, a->weights, weight_bytes(a));
    a->first = (const int *)(const void *)to;
    a->weights = (const float *)(const void *)weights;
}

static kz_cuda_axis axis_at(const kz_resample_axis *a, char *block)
{
    return (kz_cuda_axis){(const int *)(void *)block,
                          (const float *)(void *)(block + kz_gpu_aligned(first_bytes(a))), a->taps};
}

/* ---- tables ---- */

static const struct tables *find(const kz_axes *a, const kz_resample_axis *x,
                                 const kz_resample_axis *y)
{
    for (int i = 0; i < a->count; i++)
        if (is_equal(&a->kept[i].x, x) && is_equal(&a->kept[i].y, y))
            return &a->kept[i];
    return NULL;
}

static const struct tables *add(kz_axes *a, const kz_resample_axis *x, const kz_resample_axis *y)
{
    struct tables t = {.x = *x, .y = *y, .bytes = axis_bytes(x) + axis_bytes(y)};
    kz_gpu_wait(a->gpu);
    if (a->count == MOST || a->taken + t.bytes > a->bytes)
        forget(a);
    t.copy = t.bytes <= a->bytes ? kz_alloc(t.bytes, 1) : NULL;
    if (!t.copy)
        return NULL;
    copy_axis(&t.x, t.copy);
    copy_axis(&t.y, t.copy + axis_bytes(x));
    t.at = a->taken;
    kz_gpu_copy_in(a->gpu, a->block + t.at, t.bytes, t.copy, (ptrdiff_t)t.bytes, t.bytes, 1);
    kz_gpu_wait(a->gpu); /* for both sides */
    a->taken += t.bytes;
    a->kept[a->count] = t;
    return &a->kept[a->count++];
}

int kz_axes_get(kz_axes *a, const kz_resampler *resampler, kz_cuda_axis *x, kz_cuda_axis *y)
{
    const kz_resample_axis across = kz_resample_axis_x(resampler);
    const kz_resample_axis down = kz_resample_axis_y(resampler);
    const struct tables *t = find(a, &across, &down);
    if (!t)
        t = add(a, &across, &down);
    if (!t)
        return KZ_ERROR_MEMORY;
    *x = axis_at(&t->x, a->block + t->at);
    *y = axis_at(&t->y, a->block + t->at + axis_bytes(&t->x));
    return 0;
}
