#include "upscale/steady.h"

#include <math.h>
#include <stdint.h>

/* Figures: docs/reuse.md. */
#define LEAST_SAME 0.25 /* of what a cell looks at */
#define MOST_SHIFT 0.5  /* of its mean, code values of 8 bit */
#define MOST_CHANGE 40  /* of a sample in a block, or around it, code values of 8 bit */

/* Samples of the input: what moves is told from what is held by blocks, as encoders code them. */
enum { BLOCK = 8, AROUND = 4 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int most_of(int a, int b)
{
    return a > b ? a : b;
}

static size_t area(kz_rect r)
{
    return (size_t)(r.x1 - r.x0) * (size_t)(r.y1 - r.y0);
}

static bool is_held(const kz_change_task *t, const float *change, int same)
{
    const size_t samples = area(t->cell->read);
    double sum = 0;
    if (same < LEAST_SAME * (double)samples)
        return false;
    for (size_t i = 0; i < samples; i++)
        sum += (double)change[i];
    return fabs(sum) <= MOST_SHIFT * kz_plane_unit(t->in) * (double)samples;
}

/* Whether something moves in a block, or close to it. */
static bool moves(const kz_change_task *t, const float *change, kz_rect block)
{
    const kz_rect read = t->cell->read;
    const int x0 = most_of(block.x0 - AROUND, read.x0), x1 = least(block.x1 + AROUND, read.x1);
    const int y0 = most_of(block.y0 - AROUND, read.y0), y1 = least(block.y1 + AROUND, read.y1);
    float greatest = 0;
    for (int y = y0; y < y1; y++) {
        const float *row = change + (size_t)(y - read.y0) * (size_t)(read.x1 - read.x0);
        for (int x = x0 - read.x0; x < x1 - read.x0; x++) {
            const float d = row[x] < 0 ? -row[x] : row[x];
            greatest = d > greatest ? d : greatest;
        }
    }
    return greatest > MOST_CHANGE * kz_plane_unit(t->in);
}

/* `by` of a row, and `most`, are rounded as what they are added to. */
#define DEFINE_HOLD(name, type, wide, half)                                                     \
    static void name(void *row_, const void *before_, const float *by, int count, double most_) \
    {                                                                                           \
        type *row = row_;                                                                       \
        const type *before = before_;                                                           \
        const wide most = (wide)(most_ + half);                                                 \
        for (int i = 0; i < count; i++) {                                                       \
            const wide made = row[i], last = before[i], far = (wide)(fabsf(by[i]) + half);      \
            const wide up = last + far < made ? last + far : made;                              \
            const wide held = last - far > up ? last - far : up;                                \
            const wide high = held < made + most ? held : made + most;                          \
            row[i] = (type)(high > made - most ? high : made - most);                           \
        }                                                                                       \
    }

DEFINE_HOLD(hold_bytes, uint8_t, int32_t, 0.5f)
DEFINE_HOLD(hold_words, uint16_t, int32_t, 0.5f)
DEFINE_HOLD(hold_floats, float, float, 0.0f)

/* `change` has the enlarged change of the part's rows. */
static void hold_part(const kz_change_task *t, kz_rect part, const float *change, double most)
{
    void (*const hold)(void *, const void *, const float *, int, double) =
        t->out->bytes == 1   ? hold_bytes
        : t->out->bytes == 2 ? hold_words
                             : hold_floats;
    const kz_plane last = kz_anchors_output(t->anchors, t->index, t->slot);
    const kz_rect out = t->cell->out;
    const size_t x = (size_t)(part.x0 - out.x0), bytes = (size_t)last.bytes;
    for (int y = part.y0; y < part.y1; y++)
        hold((char *)kz_plane_row(t->out, y) + (size_t)part.x0 * bytes,
             (const char *)kz_plane_row(&last, y - out.y0) + x * bytes,
             change + (size_t)(y - out.y0) * (size_t)(out.x1 - out.x0) + x, part.x1 - part.x0,
             most);
}

/* What is the output of the samples before `at`. */
static int enlarged_to(int at, int in, int out)
{
    return (int)((long)at * out / in);
}

static kz_rect out_of(const kz_change_task *t, kz_rect block)
{
    const kz_plane *in = t->in, *out = t->out;
    return (kz_rect){enlarged_to(block.x0, in->width, out->width),
                     enlarged_to(block.y0, in->height, out->height),
                     enlarged_to(block.x1, in->width, out->width),
                     enlarged_to(block.y1, in->height, out->height)};
}

void kz_steady_hold(const kz_change *c, const kz_change_task *t, double most)
{
    const kz_rect own = t->cell->own, read = t->cell->read, out = t->cell->out;
    float *change = t->scratch, *enlarged = change + area(read);
    if (area(out) == 0)
        return;
    const int same = kz_anchors_change(t->anchors, t->index, KZ_ANCHOR_LAST, t->in, read, change);
    if (!is_held(t, change, same))
        return;
    kz_change_enlarge(c, t, change, read, enlarged, enlarged + area(out));
    for (int y = own.y0; y < own.y1; y += BLOCK)
        for (int x = own.x0; x < own.x1; x += BLOCK) {
            const kz_rect block = {x, y, least(x + BLOCK, own.x1), least(y + BLOCK, own.y1)};
            if (!moves(t, change, block))
                hold_part(t, out_of(t, block), enlarged, most);
        }
}
