#include "upscale/cells.h"

#include "base/mem.h"

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

static kz_rect around(const kz_rect *r, int halo, const kz_upscale_side *in)
{
    return (kz_rect){most(r->x0 - halo, 0), most(r->y0 - halo, 0), least(r->x1 + halo, in->width),
                     least(r->y1 + halo, in->height)};
}

static kz_rect united(kz_rect a, kz_rect b)
{
    return (kz_rect){least(a.x0, b.x0), least(a.y0, b.y0), most(a.x1, b.x1), most(a.y1, b.y1)};
}

/* Neighbours in the input are neighbours in the output, whatever the scale. */
static kz_rect enlarged(const kz_rect *r, const kz_upscale_side *in, const kz_upscale_side *out)
{
    return (kz_rect){
        (int)((long)r->x0 * out->width / in->width), (int)((long)r->y0 * out->height / in->height),
        (int)((long)r->x1 * out->width / in->width), (int)((long)r->y1 * out->height / in->height)};
}

static void find_most_out(kz_cells *c)
{
    for (int i = 0; i < c->count; i++) {
        const kz_rect out = c->cells[i].out;
        const size_t samples = (size_t)(out.x1 - out.x0) * (size_t)(out.y1 - out.y0);
        c->most_out = samples > c->most_out ? samples : c->most_out;
    }
}

static int allocate(kz_cells *c, int columns, int rows)
{
    *c = (kz_cells){.columns = columns, .rows = rows, .count = columns * rows};
    c->cells = kz_alloc((size_t)c->count, sizeof(*c->cells));
    return c->cells ? 0 : KZ_ERROR_MEMORY;
}

int kz_cells_even(kz_cells *c, const kz_upscale_side *in, const kz_upscale_side *out, int size,
                  int halo, const kz_resampler *change)
{
    if (allocate(c, (in->width + size - 1) / size, (in->height + size - 1) / size))
        return KZ_ERROR_MEMORY;
    for (int i = 0; i < c->count; i++) {
        kz_cell *cell = &c->cells[i];
        int x = i % c->columns * size, y = i / c->columns * size;
        cell->own = (kz_rect){x, y, least(x + size, in->width), least(y + size, in->height)};
        cell->out = enlarged(&cell->own, in, out);
        cell->read = around(&cell->own, halo, in);
        if (cell->out.x1 > cell->out.x0 && cell->out.y1 > cell->out.y0)
            cell->read = united(cell->read, kz_resample_reads(change, cell->out));
    }
    find_most_out(c);
    return 0;
}

int kz_cells_of_tiles(kz_cells *c, const kz_upscale_side *in, const kz_upscale_side *out,
                      const kz_tile *tiles, int columns, int rows, bool whole)
{
    if (allocate(c, whole ? 1 : columns, whole ? 1 : rows))
        return KZ_ERROR_MEMORY;
    for (int i = 0; i < c->count; i++) {
        const kz_tile *t = &tiles[i];
        kz_cell *cell = &c->cells[i];
        cell->own = (kz_rect){t->own_x0, t->own_y0, t->own_x1, t->own_y1};
        cell->read = (kz_rect){t->x, t->y, t->x + t->width, t->y + t->height};
        if (whole)
            cell->own = cell->read = (kz_rect){0, 0, in->width, in->height};
        cell->out = enlarged(&cell->own, in, out);
    }
    find_most_out(c);
    return 0;
}

void kz_cells_close(kz_cells *c)
{
    kz_free(c->cells);
    *c = (kz_cells){0};
}
