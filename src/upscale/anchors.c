#include "upscale/anchors.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

/* Inputs and outputs lie cell by cell, an anchor's rows without gaps: in planes of the picture's
 * size they would lie pages apart, and each would be waited for. */
struct kz_anchors {
    const kz_cells *cells;
    int out_bytes, out_depth; /* of an output's samples */
    char *inputs, *outputs;
    size_t *in_offsets;      /* [count] of a cell's first input among the inputs */
    size_t *out_offsets;     /* [count] of its first output among the outputs */
    int (*used)[KZ_ANCHORS]; /* [count] frame of the last use; 0: there is none */
};

static size_t bytes_of(kz_rect r, int sample)
{
    return (size_t)(r.x1 - r.x0) * (size_t)(r.y1 - r.y0) * (size_t)sample;
}

static size_t input_bytes(const kz_cell *cell, const kz_plane *in)
{
    return bytes_of(cell->read, in->bytes);
}

static size_t all_inputs(const kz_cells *cells, const kz_plane *in)
{
    size_t bytes = 0;
    for (int i = 0; i < cells->count; i++)
        bytes += input_bytes(&cells->cells[i], in) * KZ_ANCHORS;
    return bytes;
}

static size_t output_bytes(const kz_plane *out)
{
    return (size_t)out->width * (size_t)out->height * (size_t)out->bytes;
}

size_t kz_anchors_memory(const kz_cells *cells, const kz_plane *in, const kz_plane *out)
{
    return all_inputs(cells, in) + KZ_ANCHORS * output_bytes(out);
}

int kz_anchors_open(kz_anchors **anchors, const kz_cells *cells, const kz_plane *in,
                    const kz_plane *out)
{
    kz_anchors *a = *anchors = kz_alloc(1, sizeof(*a));
    if (!a)
        return KZ_ERROR_MEMORY;
    a->cells = cells;
    a->inputs = kz_alloc_raw(all_inputs(cells, in), 1);
    a->in_offsets = kz_alloc((size_t)cells->count, sizeof(*a->in_offsets));
    a->used = kz_alloc((size_t)cells->count, sizeof(*a->used));
    a->outputs = kz_alloc_raw(KZ_ANCHORS * output_bytes(out), 1);
    a->out_offsets = kz_alloc((size_t)cells->count, sizeof(*a->out_offsets));
    a->out_bytes = out->bytes;
    a->out_depth = out->depth;
    if (!a->inputs || !a->in_offsets || !a->used || !a->outputs || !a->out_offsets) {
        kz_anchors_close(anchors);
        return KZ_ERROR_MEMORY;
    }
    size_t in_offset = 0, out_offset = 0;
    for (int i = 0; i < cells->count; i++) {
        a->in_offsets[i] = in_offset;
        a->out_offsets[i] = out_offset;
        in_offset += input_bytes(&cells->cells[i], in) * KZ_ANCHORS;
        out_offset += bytes_of(cells->cells[i].out, out->bytes) * KZ_ANCHORS;
    }
    return 0;
}

void kz_anchors_close(kz_anchors **anchors)
{
    kz_anchors *a = *anchors;
    if (!a)
        return;
    kz_free(a->inputs);
    kz_free(a->outputs);
    kz_free(a->out_offsets);
    kz_free(a->in_offsets);
    kz_free(a->used);
    kz_free(a);
    *anchors = NULL;
}

void kz_anchors_clear(kz_anchors *a)
{
    memset(a->used, 0, (size_t)a->cells->count * sizeof(*a->used));
}

/* ---- comparison ---- */

/* A row at a time: the compiler makes vectors of the inner loop, and a cell that changed mostly
 * shows it in its first rows. */
#define DEFINE_NEAR(name, type, wide)                                             \
    static bool name(const void *a_, const void *b_, int count, double tolerance) \
    {                                                                             \
        const type *a = a_, *b = b_;                                              \
        type most = 0;                                                            \
        for (int i = 0; i < count; i++) {                                         \
            type d = (type)(a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]);             \
            most = d > most ? d : most;                                           \
        }                                                                         \
        return (wide)most <= tolerance;                                           \
    }

DEFINE_NEAR(near_bytes, uint8_t, double)
DEFINE_NEAR(near_words, uint16_t, double)
DEFINE_NEAR(near_floats, float, double)

static bool is_near(const void *a, const void *b, int bytes, int count, double tolerance)
{
    if (tolerance <= 0 || bytes == 4)
        return tolerance <= 0 ? memcmp(a, b, (size_t)count * (size_t)bytes) == 0
                              : near_floats(a, b, count, tolerance);
    return bytes == 1 ? near_bytes(a, b, count, tolerance) : near_words(a, b, count, tolerance);
}

/* Sums of differences. */
struct distance {
    double absolute, sum;
};

#define DEFINE_ADD(name, type, wide)                                                       \
    static void name(struct distance *distance, const void *a_, const void *b_, int count) \
    {                                                                                      \
        const type *a = a_, *b = b_;                                                       \
        wide absolute = 0, sum = 0;                                                        \
        for (int i = 0; i < count; i++) {                                                  \
            wide d = (wide)a[i] - (wide)b[i];                                              \
            absolute += d < 0 ? -d : d;                                                    \
            sum += d;                                                                      \
        }                                                                                  \
        distance->absolute += (double)absolute;                                            \
        distance->sum += (double)sum;                                                      \
    }

DEFINE_ADD(add_bytes, uint8_t, int32_t)
DEFINE_ADD(add_words, uint16_t, int32_t)
DEFINE_ADD(add_floats, float, double)

static const char *input_of(const kz_anchors *a, int cell, int anchor, const kz_plane *in)
{
    return a->inputs + a->in_offsets[cell] +
           (size_t)anchor * input_bytes(&a->cells->cells[cell], in);
}

static const char *at(const kz_plane *plane, int x, int y)
{
    return (const char *)kz_plane_row(plane, y) + (size_t)x * (size_t)plane->bytes;
}

static bool matches(const kz_anchors *a, int cell, int anchor, const kz_plane *in, double tolerance)
{
    kz_rect r = a->cells->cells[cell].read;
    const char *row = input_of(a, cell, anchor, in);
    int width = r.x1 - r.x0;
    for (int y = r.y0; y < r.y1; y++) {
        if (!is_near(at(in, r.x0, y), row, in->bytes, width, tolerance))
            return false;
        row += (size_t)width * (size_t)in->bytes;
    }
    return true;
}

/* The latest used before frame `before`; -1: there is none. */
static int latest(const int used[KZ_ANCHORS], int before)
{
    int best = -1;
    for (int i = 0; i < KZ_ANCHORS; i++)
        if (used[i] > 0 && used[i] < before && (best < 0 || used[i] > used[best]))
            best = i;
    return best;
}

static struct distance find_distance(const kz_anchors *a, int cell, int anchor, const kz_plane *in)
{
    void (*const add)(struct distance *, const void *, const void *, int) =
        in->bytes == 1   ? add_bytes
        : in->bytes == 2 ? add_words
                         : add_floats;
    kz_rect r = a->cells->cells[cell].read;
    const char *row = input_of(a, cell, anchor, in);
    int width = r.x1 - r.x0;
    struct distance d = {0};
    for (int y = r.y0; y < r.y1; y++) {
        add(&d, at(in, r.x0, y), row, width);
        row += (size_t)width * (size_t)in->bytes;
    }
    return d;
}

int kz_anchors_find(kz_anchors *a, int cell, const kz_plane *in, kz_likeness most, int frame)
{
    int *used = a->used[cell], best = -1;
    const double samples = (double)(input_bytes(&a->cells->cells[cell], in) / (size_t)in->bytes);
    double least = 0;
    for (int i = latest(used, frame); i >= 0; i = latest(used, used[i])) {
        if (!matches(a, cell, i, in, most.sample))
            continue;
        struct distance d = {0};
        if (most.sample > 0)
            d = find_distance(a, cell, i, in);
        if (fabs(d.sum) <= most.mean * samples && (best < 0 || d.absolute < least)) {
            best = i;
            least = d.absolute;
        }
    }
    if (best >= 0)
        used[best] = frame;
    return best;
}

/* ---- contents ---- */

static int longest_unused(const int used[KZ_ANCHORS])
{
    int oldest = 0;
    for (int i = 1; i < KZ_ANCHORS; i++)
        oldest = used[i] < used[oldest] ? i : oldest;
    return oldest;
}

int kz_anchors_put_input(kz_anchors *a, int cell, const kz_plane *in, int instead, int frame)
{
    const kz_cell *c = &a->cells->cells[cell];
    int anchor = instead >= 0 ? instead : longest_unused(a->used[cell]);
    a->used[cell][anchor] = frame;
    const kz_plane now = kz_plane_part(in, c->read);
    kz_plane kept = now;
    kept.data = a->inputs + a->in_offsets[cell] + (size_t)anchor * input_bytes(c, in);
    kept.stride = (ptrdiff_t)now.width * now.bytes;
    kz_plane_copy(&now, &kept);
    return anchor;
}

kz_plane kz_anchors_output(const kz_anchors *a, int cell, int anchor)
{
    const kz_rect part = a->cells->cells[cell].out;
    const int width = part.x1 - part.x0;
    char *first = a->outputs + a->out_offsets[cell];
    return (kz_plane){.data = first + (size_t)anchor * bytes_of(part, a->out_bytes),
                      .stride = (ptrdiff_t)width * a->out_bytes,
                      .width = width,
                      .height = part.y1 - part.y0,
                      .bytes = a->out_bytes,
                      .depth = a->out_depth};
}

void kz_anchors_put_output(kz_anchors *a, int cell, int anchor, const kz_plane *out)
{
    const kz_plane now = kz_plane_part(out, a->cells->cells[cell].out);
    const kz_plane kept = kz_anchors_output(a, cell, anchor);
    kz_plane_copy(&now, &kept);
}

void kz_anchors_copy(const kz_anchors *a, int cell, int anchor, const kz_plane *out)
{
    const kz_plane kept = kz_anchors_output(a, cell, anchor);
    const kz_plane now = kz_plane_part(out, a->cells->cells[cell].out);
    kz_plane_copy(&kept, &now);
}

/* Returns whether any sample has changed. */
#define DEFINE_CHANGE(name, type)                                                     \
    static bool name(const void *now_, const void *before_, int count, float *change) \
    {                                                                                 \
        const type *now = now_, *before = before_;                                    \
        int any = 0;                                                                  \
        for (int i = 0; i < count; i++) {                                             \
            change[i] = (float)(now[i] - before[i]);                                  \
            any |= now[i] != before[i];                                               \
        }                                                                             \
        return any;                                                                   \
    }

DEFINE_CHANGE(change_bytes, uint8_t)
DEFINE_CHANGE(change_words, uint16_t)
DEFINE_CHANGE(change_floats, float)

static bool row_change(const void *now, const void *before, int bytes, int count, float *change)
{
    return bytes == 1   ? change_bytes(now, before, count, change)
           : bytes == 2 ? change_words(now, before, count, change)
                        : change_floats(now, before, count, change);
}

bool kz_anchors_change(const kz_anchors *a, int cell, int anchor, const kz_plane *in, kz_rect part,
                       float *change)
{
    kz_rect r = a->cells->cells[cell].read;
    const char *input = input_of(a, cell, anchor, in);
    int width = part.x1 - part.x0;
    bool any = false;
    for (int y = part.y0; y < part.y1; y++, change += width) {
        size_t before = (size_t)(y - r.y0) * (size_t)(r.x1 - r.x0) + (size_t)(part.x0 - r.x0);
        any |= row_change(at(in, part.x0, y), input + before * (size_t)in->bytes, in->bytes, width,
                          change);
    }
    return any;
}
