#include "upscale/steady.h"

#include <math.h>

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
    for (size_t i = 0; i < samples; i++)
        sum += (double)change[i];
    return same >= LEAST_SAME * (double)samples &&
           fabs(sum) <= MOST_SHIFT * kz_plane_unit(t->in) * (double)samples;
}

/* Whether something moves in a block, or close to it. */
static bool moves(const kz_change_task *t, const float *change, kz_rect block)
{
    const kz_rect read = t->cell->read;
    const int x0 = most_of(block.x0 - AROUND, read.x0), x1 = least(block.x1 + AROUND, read.x1);
    const int y0 = most_of(block.y0 - AROUND, read.y0), y1 = least(block.y1 + AROUND, read.y1);
    float greatest = 0;
    for (int y = y0; y < y1; y++) {
        const float *row = change + (size_t)(y - read.y0) * (size_t)(read.x1 - read.x0) - read.x0;
        for (int x = x0; x < x1; x++)
            greatest = fmaxf(greatest, fabsf(row[x]));
    }
    return greatest > MOST_CHANGE * kz_plane_unit(t->in);
}

static float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

/* `change` has the enlarged change of the part's rows; `row` and `before` are a row each. */
static void hold_part(const kz_change_task *t, kz_rect part, const float *change, float most,
                      float *row, float *before)
{
    static const kz_levels codes = {0, 1};
    const kz_plane last = kz_anchors_output(t->anchors, t->index, t->slot);
    const kz_rect out = t->cell->out;
    const int width = part.x1 - part.x0;
    for (int y = part.y0; y < part.y1; y++) {
        const float *by =
            change + (size_t)(y - out.y0) * (size_t)(out.x1 - out.x0) + (size_t)(part.x0 - out.x0);
        kz_levels_load(codes, t->out, part.x0, y, width, row);
        kz_levels_load(codes, &last, part.x0 - out.x0, y - out.y0, width, before);
        for (int x = 0; x < width; x++) {
            const float far = fabsf(by[x]);
            const float held = clamp(row[x], before[x] - far, before[x] + far);
            row[x] = clamp(held, row[x] - most, row[x] + most);
        }
        kz_levels_store(codes, t->out, part.x0, y, width, row);
    }
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
    float *change = t->scratch, *enlarged = change + area(read), *row = enlarged + area(out);
    float *before = row + (out.x1 - out.x0);
    if (area(out) == 0)
        return;
    const int same = kz_anchors_change(t->anchors, t->index, KZ_ANCHOR_LAST, t->in, read, change);
    if (!is_held(t, change, same))
        return;
    kz_change_enlarge(c, t, change, read, enlarged, before + (out.x1 - out.x0));
    for (int y = own.y0; y < own.y1; y += BLOCK)
        for (int x = own.x0; x < own.x1; x += BLOCK) {
            const kz_rect block = {x, y, least(x + BLOCK, own.x1), least(y + BLOCK, own.y1)};
            if (!moves(t, change, block))
                hold_part(t, out_of(t, block), enlarged, (float)most, row, before);
        }
}
