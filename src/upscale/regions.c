#include "upscale/regions.h"

/* A tile takes as long as one so much wider and higher would by its pixels alone: the ends of rows
 * fill the kernels badly, and threads wait for one another. Measured from 40×40 to 400×400:
 * docs/reuse.md. */
enum { EDGE = 10 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* ---- tiles ---- */

/* What a tile must be able to decide, in each direction. */
enum { LEAST_PIECE = 32 };

static bool fits(int tile, int picture, int halo)
{
    return tile >= picture || tile - 2 * (halo + KZ_TILE_STEP) >= LEAST_PIECE;
}

bool kz_regions_fit(const kz_region_costs *c)
{
    return fits(c->tile_width, c->width, c->halo) && fits(c->tile_height, c->height, c->halo);
}

double kz_tile_cost(const kz_tile *tile)
{
    return (double)(tile->width + EDGE) * (tile->height + EDGE);
}

/* Pieces of a length that tiles of at most `tile` can decide, each with its halo. */
static int pieces(int length, int picture, int tile, int halo)
{
    if (tile >= picture)
        return 1;
    int step = tile > 2 * halo ? tile - 2 * halo : 1;
    return (length + step - 1) / step;
}

/* Where a tile of a fixed length begins that decides x0 … x1. */
static int corner(int x0, int x1, int tile, int picture)
{
    int x = x0 - (tile - (x1 - x0)) / 2;
    x = x < 0 ? 0 : x / KZ_TILE_STEP * KZ_TILE_STEP;
    return least(x, picture - tile);
}

static kz_tile tile_of(const kz_region_costs *c, kz_rect part)
{
    if (c->any_size)
        return kz_tile_around(c->width, c->height, part, c->halo);
    return (kz_tile){.x = corner(part.x0, part.x1, c->tile_width, c->width),
                     .y = corner(part.y0, part.y1, c->tile_height, c->height),
                     .width = c->tile_width,
                     .height = c->tile_height,
                     .own_x0 = part.x0,
                     .own_y0 = part.y0,
                     .own_x1 = part.x1,
                     .own_y1 = part.y1};
}

int kz_region_tiles(const kz_region_costs *c, kz_rect part, kz_tile *tiles, int most)
{
    int width = part.x1 - part.x0, height = part.y1 - part.y0;
    int columns = pieces(width, c->width, c->tile_width, c->halo + KZ_TILE_STEP);
    int rows = pieces(height, c->height, c->tile_height, c->halo + KZ_TILE_STEP);
    for (int i = 0; i < columns * rows && i < most; i++) {
        int x = i % columns, y = i / columns;
        kz_rect piece = {part.x0 + width * x / columns, part.y0 + height * y / rows,
                         part.x0 + width * (x + 1) / columns, part.y0 + height * (y + 1) / rows};
        tiles[i] = tile_of(c, piece);
    }
    return columns * rows;
}

double kz_region_cost(const kz_region_costs *c, kz_rect part)
{
    kz_tile tile;
    int count = kz_region_tiles(c, part, &tile, 1);
    return count * kz_tile_cost(&tile);
}

/* ---- regions ---- */

struct search {
    const kz_cells *cells;
    const int *sums; /* marked cells above and left of a corner, row by row */
    const kz_region_costs *costs;
    kz_rect *regions;
    int n;
};

static void add_up(int *sums, const kz_cells *cells, const bool *marked)
{
    const int columns = cells->columns;
    for (int x = 0; x <= columns; x++)
        sums[x] = 0;
    for (int y = 0; y < cells->rows; y++) {
        const int *above = sums + y * (columns + 1);
        int *below = sums + (y + 1) * (columns + 1), row = 0;
        below[0] = 0;
        for (int x = 0; x < columns; x++) {
            row += marked[y * columns + x];
            below[x + 1] = above[x + 1] + row;
        }
    }
}

/* Marked cells in a rectangle of cells. */
static int count(const struct search *s, kz_rect r)
{
    const int *top = s->sums + r.y0 * (s->cells->columns + 1);
    const int *bottom = s->sums + r.y1 * (s->cells->columns + 1);
    return bottom[r.x1] - bottom[r.x0] - top[r.x1] + top[r.x0];
}

static bool is_empty(kz_rect r)
{
    return r.x1 <= r.x0;
}

/* The smallest rectangle of cells that holds all the marked ones of another. */
static kz_rect shrink(const struct search *s, kz_rect r)
{
    if (!count(s, r))
        return (kz_rect){0, 0, 0, 0};
    while (!count(s, (kz_rect){r.x0, r.y0, r.x1, r.y0 + 1}))
        r.y0++;
    while (!count(s, (kz_rect){r.x0, r.y1 - 1, r.x1, r.y1}))
        r.y1--;
    while (!count(s, (kz_rect){r.x0, r.y0, r.x0 + 1, r.y1}))
        r.x0++;
    while (!count(s, (kz_rect){r.x1 - 1, r.y0, r.x1, r.y1}))
        r.x1--;
    return r;
}

/* Of a rectangle of cells, in samples. */
static kz_rect samples(const struct search *s, kz_rect r)
{
    const kz_cell *first = &s->cells->cells[r.y0 * s->cells->columns + r.x0];
    const kz_cell *last = &s->cells->cells[(r.y1 - 1) * s->cells->columns + r.x1 - 1];
    return (kz_rect){first->own.x0, first->own.y0, last->own.x1, last->own.y1};
}

static double cost(const struct search *s, kz_rect r)
{
    return is_empty(r) ? 0 : kz_region_cost(s->costs, samples(s, r));
}

static bool is_full(const struct search *s, kz_rect r)
{
    return count(s, r) == (r.x1 - r.x0) * (r.y1 - r.y0);
}

static void cut_at(const struct search *s, kz_rect r, int at, kz_rect halves[2])
{
    int width = r.x1 - r.x0;
    halves[0] = halves[1] = r;
    if (at < width)
        halves[0].x1 = halves[1].x0 = r.x0 + at;
    else
        halves[0].y1 = halves[1].y0 = r.y0 + at - width + 1;
    halves[0] = shrink(s, halves[0]);
    halves[1] = shrink(s, halves[1]);
}

/* The cheapest cut right through; false: a single cell has none. */
static bool best_cut(const struct search *s, kz_rect r, kz_rect best[2])
{
    double least_cost = -1;
    for (int at = 1; at < r.x1 - r.x0 + r.y1 - r.y0 - 1; at++) {
        kz_rect halves[2];
        cut_at(s, r, at, halves);
        double sum = cost(s, halves[0]) + cost(s, halves[1]);
        if (least_cost >= 0 && sum >= least_cost)
            continue;
        least_cost = sum;
        best[0] = halves[0];
        best[1] = halves[1];
    }
    return least_cost >= 0;
}

/* Appends the regions of a rectangle that is as small as can be. It is cut on even where a cut
 * alone gains nothing, since the next may: only then is the sum held against one region. Returns
 * what they cost. */
static double divide(struct search *s, kz_rect r)
{
    const int before = s->n;
    double whole = cost(s, r), parts;
    kz_rect halves[2];
    s->regions[s->n++] = samples(s, r);
    if (is_full(s, r) || !best_cut(s, r, halves))
        return whole;
    s->n--;
    parts = divide(s, halves[0]) + divide(s, halves[1]);
    if (parts < whole)
        return parts;
    s->n = before;
    s->regions[s->n++] = samples(s, r);
    return whole;
}

int kz_regions_find(kz_rect *regions, const kz_cells *cells, const bool *marked,
                    const kz_region_costs *costs, int *sums)
{
    struct search s = {cells, sums, costs, regions, 0};
    add_up(sums, cells, marked);
    kz_rect all = shrink(&s, (kz_rect){0, 0, cells->columns, cells->rows});
    if (!is_empty(all))
        divide(&s, all);
    return s.n;
}
