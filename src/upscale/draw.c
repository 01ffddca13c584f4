#include "upscale/draw.h"

#include <stdint.h>

static int sample(const kz_plane *plane, int x, int y)
{
    const void *row = kz_plane_row(plane, y);
    return plane->bytes == 1 ? ((const uint8_t *)row)[x] : ((const uint16_t *)row)[x];
}

static void set_sample(const kz_plane *plane, int x, int y, int value)
{
    void *row = kz_plane_row(plane, y);
    if (plane->bytes == 1)
        ((uint8_t *)row)[x] = (uint8_t)value;
    else
        ((uint16_t *)row)[x] = (uint16_t)value;
}

/* Samples of the rectangle go half the way to `target`, a code value of 8 bit. */
static void pull(const kz_plane *plane, kz_rect r, int shift_x, int shift_y, int target)
{
    for (int y = r.y0 >> shift_y; y < r.y1 >> shift_y && y < plane->height; y++)
        for (int x = r.x0 >> shift_x; x < r.x1 >> shift_x && x < plane->width; x++)
            set_sample(plane, x, y, (sample(plane, x, y) + (target << (plane->depth - 8))) / 2);
}

static void frame(const kz_plane *plane, kz_rect r)
{
    const int white = 235 << (plane->depth - 8);
    for (int x = r.x0; x < r.x1; x++) {
        set_sample(plane, x, r.y0, white);
        set_sample(plane, x, r.y1 - 1, white);
    }
    for (int y = r.y0; y < r.y1; y++) {
        set_sample(plane, r.x0, y, white);
        set_sample(plane, r.x1 - 1, y, white);
    }
}

void kz_reuse_draw(const kz_reuse *r, const kz_picture *picture, const kz_upscale_side *in)
{
    const kz_cells *cells = kz_reuse_cells(r);
    const kz_reuse_task *task = kz_reuse_last_task(r);
    for (int i = 0; i < cells->count; i++) {
        const kz_rect own = cells->cells[i].own;
        const enum kz_reuse_why why = kz_reuse_why(r, i);
        if (why == KZ_REUSED)
            pull(&picture->plane[0], own, 0, 0, 16);
        else if (picture->planes == 3 && why != KZ_REUSE_BESIDE)
            pull(&picture->plane[why == KZ_REUSE_NEW ? 2 : 1], own, in->shift_x, in->shift_y, 255);
    }
    for (int i = 0; i < task->n_tiles; i++) {
        const kz_tile *t = &task->tiles[i];
        frame(&picture->plane[0], (kz_rect){t->own_x0, t->own_y0, t->own_x1, t->own_y1});
    }
}
