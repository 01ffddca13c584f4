#include "cuda/trial.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cuda/half.h"

/* ---- operands ---- */

/* Numbers from -1 to 1 over and over; the period is none of a row's. */
enum { PATTERN = 16 * 4093 };

static void make_pattern(void *pattern, enum kz_element element)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < PATTERN / kz_element_bytes(element); i++) {
        seed = seed * 1664525 + 1013904223;
        kz_put_element(pattern, element, i, (float)(seed >> 8) * 0x1p-23f - 1);
    }
}

/* The first piece comes from the host, and doubles on the device. */
static void fill(kz_gpu *gpu, char *block, size_t bytes, const void *pattern)
{
    size_t done = bytes < PATTERN ? bytes : PATTERN;
    kz_gpu_copy_in(gpu, block, done, pattern, (ptrdiff_t)done, done, 1);
    while (done < bytes) {
        const size_t more = done < bytes - done ? done : bytes - done;
        kz_gpu_copy(gpu, block + done, block, more);
        done += more;
    }
}

static size_t span_of(const kz_view *v)
{
    return (((size_t)v->width * (size_t)v->height - 1) * (size_t)v->pixel + (size_t)v->channels) *
           kz_element_bytes(v->element);
}

/* All numbers are of the layer's type; its output becomes wrong, too. */
static void fill_all(const kz_trial *t, const void *pattern)
{
    fill(t->gpu, t->arena, t->arena_bytes, pattern);
    if (t->input.element == t->own.in.element)
        fill(t->gpu, t->input.data, span_of(&t->input), pattern);
}

/* ---- compare ---- */

/* Rows at the top, in the middle and at the bottom: borders, and the largest offsets. */
enum { BAND = 6 };

struct sample {
    char *data;
    size_t count; /* elements */
};

static size_t copy_rows(const kz_trial *t, char *to, int y, int rows)
{
    const kz_view *v = &t->own.out;
    const size_t element = kz_element_bytes(v->element), bytes = (size_t)v->channels * element;
    const size_t pitch = (size_t)v->pixel * element, row = (size_t)v->width * pitch;
    const int pixels = v->width * rows;
    kz_gpu_copy_out(t->gpu, to, (ptrdiff_t)bytes, (const char *)v->data + (size_t)y * row, pitch,
                    bytes, pixels);
    return bytes * (size_t)pixels;
}

static int take_sample(const kz_trial *t, struct sample *s)
{
    const int height = t->own.out.height;
    size_t at = 0;
    if (height <= 3 * BAND) {
        at = copy_rows(t, s->data, 0, height);
    } else {
        at = copy_rows(t, s->data, 0, BAND);
        at += copy_rows(t, s->data + at, (height - BAND) / 2, BAND);
        at += copy_rows(t, s->data + at, height - BAND, BAND);
    }
    s->count = at / kz_element_bytes(t->own.out.element);
    return kz_gpu_wait(t->gpu);
}

/* Relative, of a value and of the root of the mean square: both sum in fp32, in different orders,
 * and round once to the element, or in TF32 each factor, perhaps in another way. */
static double bound_of(const kz_conv_task *t)
{
    if (t->tf32)
        return 0x1p-9;
    switch (t->out.element) {
    case KZ_ELEMENT_FP16:
        return 0x1p-9;
    case KZ_ELEMENT_BF16:
        return 0x1p-6;
    default:
        return 0x1p-15;
    }
}

/* Not-a-number is like nothing. */
static bool is_alike(enum kz_element element, double bound, const struct sample *a,
                     const struct sample *b)
{
    double power = 0;
    for (size_t i = 0; i < a->count; i++)
        power += pow((double)kz_get_element(a->data, element, i), 2);
    const double size = sqrt(power / (double)a->count);
    for (size_t i = 0; i < a->count; i++) {
        const double x = (double)kz_get_element(a->data, element, i);
        const double y = (double)kz_get_element(b->data, element, i);
        if (!(fabs(x - y) <= bound * (fabs(x) + size)))
            return false;
    }
    return true;
}

static int run_engine(kz_trial *t, int engine)
{
    const kz_rival_table *table = t->tables[engine];
    return table->run(t->engines[engine], t->gpu, table->own_weights ? &t->own : &t->theirs);
}

static int compare_all(kz_trial *t, const void *pattern, struct sample *own, struct sample *theirs)
{
    const enum kz_element element = t->own.out.element;
    fill_all(t, pattern);
    t->run(t->context, false);
    int error = take_sample(t, own);
    for (int i = 0; i < t->count && !error; i++) {
        fill_all(t, pattern);
        t->wrong[i] = run_engine(t, i) != 0;
        error = take_sample(t, theirs);
        if (!error && !t->wrong[i])
            t->wrong[i] =
                !is_alike(element, t->tables[i]->same_bits ? 0 : bound_of(&t->own), own, theirs);
    }
    return error;
}

int kz_trial_compare(kz_trial *t)
{
    const size_t row = (size_t)t->own.out.width * (size_t)t->own.out.channels;
    struct sample own = {kz_alloc_raw(row * 3 * BAND, sizeof(float)), 0};
    struct sample theirs = {kz_alloc_raw(row * 3 * BAND, sizeof(float)), 0};
    void *pattern = kz_alloc_raw(PATTERN, 1);
    int error = KZ_ERROR_MEMORY;
    if (own.data && theirs.data && pattern) {
        make_pattern(pattern, t->own.in.element);
        error = compare_all(t, pattern, &own, &theirs);
    }
    kz_free(own.data);
    kz_free(theirs.data);
    kz_free(pattern);
    return error;
}

/* ---- race ---- */

enum { ROUNDS = 7 };

/* What is gained must be more than noise. */
#define MARGIN 0.97

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int time_one(kz_trial *t, int engine, double *seconds)
{
    kz_gpu_mark(t->gpu, 0);
    if (engine < 0)
        t->run(t->context, true);
    else if (run_engine(t, engine))
        t->wrong[engine] = true;
    kz_gpu_mark(t->gpu, 1);
    const int error = kz_gpu_wait(t->gpu);
    *seconds = kz_gpu_between(t->gpu);
    return error;
}

/* In turns: the device's clock rises and falls in the meantime. */
int kz_trial_race(kz_trial *t, int *fastest)
{
    double seconds[KZ_TRIAL_MOST + 1][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int i = -1; i < t->count; i++) {
            const int error = i < 0 || !t->wrong[i] ? time_one(t, i, &seconds[i + 1][round]) : 0;
            if (error)
                return error;
        }
    *fastest = -1;
    double best = 0;
    for (int i = -1; i < t->count; i++) {
        if (i >= 0 && t->wrong[i])
            continue;
        qsort(seconds[i + 1], ROUNDS, sizeof(double), by_size);
        const double median = seconds[i + 1][ROUNDS / 2];
        if (i < 0) {
            best = median * MARGIN;
        } else if (median < best) {
            best = median;
            *fastest = i;
        }
    }
    return 0;
}
