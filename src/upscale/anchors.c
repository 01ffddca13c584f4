#include "upscale/anchors.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "upscale/difference.h"

/* Inputs and outputs lie cell by cell, an anchor's rows without gaps: in planes of the picture's
 * size they would lie pages apart, and each would be waited for. */
struct kz_anchors {
    const kz_cells *cells;
    int slots;                /* of a cell: its anchors, and KZ_ANCHOR_LAST */
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
        bytes += input_bytes(&cells->cells[i], in);
    return bytes;
}

static size_t output_bytes(const kz_plane *out)
{
    return (size_t)out->width * (size_t)out->height * (size_t)out->bytes;
}

static int slots_of(bool last)
{
    return last ? KZ_ANCHORS + 1 : KZ_ANCHORS;
}

size_t kz_anchors_memory(const kz_cells *cells, const kz_plane *in, const kz_plane *out, bool last)
{
    return (size_t)slots_of(last) * (all_inputs(cells, in) + output_bytes(out));
}

int kz_anchors_open(kz_anchors **anchors, const kz_cells *cells, const kz_plane *in,
                    const kz_plane *out, bool last)
{
    kz_anchors *a = *anchors = kz_alloc(1, sizeof(*a));
    if (!a)
        return KZ_ERROR_MEMORY;
    a->cells = cells;
    a->slots = slots_of(last);
    a->inputs = kz_alloc_raw(all_inputs(cells, in), (size_t)a->slots);
    a->in_offsets = kz_alloc((size_t)cells->count, sizeof(*a->in_offsets));
    a->used = kz_alloc((size_t)cells->count, sizeof(*a->used));
    a->outputs = kz_alloc_raw(output_bytes(out), (size_t)a->slots);
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
        in_offset += input_bytes(&cells->cells[i], in) * (size_t)a->slots;
        out_offset += bytes_of(cells->cells[i].out, out->bytes) * (size_t)a->slots;
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

static const char *input_of(const kz_anchors *a, int cell, int anchor, const kz_plane *in)
{
    return a->inputs + a->in_offsets[cell] +
           (size_t)anchor * input_bytes(&a->cells->cells[cell], in);
}

static const char *at(const kz_plane *plane, int x, int y)
{
    return (const char *)kz_plane_row(plane, y) + (size_t)x * (size_t)plane->bytes;
}

/* A cell that changed mostly shows it in its first rows. */
static bool matches(const kz_anchors *a, int cell, int anchor, const kz_plane *in, double tolerance)
{
    kz_rect r = a->cells->cells[cell].read;
    const char *row = input_of(a, cell, anchor, in);
    int width = r.x1 - r.x0;
    for (int y = r.y0; y < r.y1; y++) {
        if (!kz_row_is_near(at(in, r.x0, y), row, in->bytes, width, tolerance))
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

static kz_distance find_distance(const kz_anchors *a, int cell, int anchor, const kz_plane *in)
{
    kz_rect r = a->cells->cells[cell].read;
    const char *row = input_of(a, cell, anchor, in);
    int width = r.x1 - r.x0;
    kz_distance d = {0};
    for (int y = r.y0; y < r.y1; y++) {
        kz_row_add_distance(&d, at(in, r.x0, y), row, in->bytes, width);
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
        kz_distance d = {0};
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

static void put_input(kz_anchors *a, int cell, int anchor, const kz_plane *in)
{
    const kz_cell *c = &a->cells->cells[cell];
    const kz_plane now = kz_plane_part(in, c->read);
    kz_plane kept = now;
    kept.data = a->inputs + a->in_offsets[cell] + (size_t)anchor * input_bytes(c, in);
    kept.stride = (ptrdiff_t)now.width * now.bytes;
    kz_plane_copy(&now, &kept);
}

int kz_anchors_put_input(kz_anchors *a, int cell, const kz_plane *in, int instead, int frame)
{
    int anchor = instead >= 0 ? instead : longest_unused(a->used[cell]);
    a->used[cell][anchor] = frame;
    put_input(a, cell, anchor, in);
    return anchor;
}

void kz_anchors_put_last(kz_anchors *a, int cell, const kz_plane *in)
{
    put_input(a, cell, KZ_ANCHOR_LAST, in);
}

bool kz_anchors_is_last(const kz_anchors *a, int cell, const kz_plane *in)
{
    return matches(a, cell, KZ_ANCHOR_LAST, in, 0);
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

int kz_anchors_change(const kz_anchors *a, int cell, int anchor, const kz_plane *in, kz_rect part,
                      float *change)
{
    kz_rect r = a->cells->cells[cell].read;
    const char *input = input_of(a, cell, anchor, in);
    int width = part.x1 - part.x0;
    int same = 0;
    for (int y = part.y0; y < part.y1; y++, change += width) {
        size_t before = (size_t)(y - r.y0) * (size_t)(r.x1 - r.x0) + (size_t)(part.x0 - r.x0);
        same += kz_row_change(at(in, part.x0, y), input + before * (size_t)in->bytes, in->bytes,
                              width, change);
    }
    return same;
}
