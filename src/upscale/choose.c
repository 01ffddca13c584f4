#include "upscale/choose.h"

enum { SMALLEST_STEP = 16 }; /* pixels that a tile must own at least in each direction */

/* Pixels that are computed one after the other, halos included, by `workers` that take whole
 * tiles. */
static double cost(const kz_tiling *t, int workers)
{
    int rounds = (kz_tiling_count(t) + workers - 1) / workers;
    return (double)rounds * t->tile_width * t->tile_height;
}

/* The cheapest tiling whose tiles have at most `area` pixels. */
static bool find_cheapest(kz_tiling *best, const kz_upscale_side *in, int halo, int workers,
                          double area)
{
    bool found = false;
    for (int columns = 1; columns <= 1 + in->width / SMALLEST_STEP; columns++)
        for (int rows = 1; rows <= 1 + in->height / SMALLEST_STEP; rows++) {
            kz_tiling t;
            if (!kz_tiling_split(&t, in->width, in->height, columns, rows, halo) ||
                (double)t.tile_width * t.tile_height > area)
                continue;
            if (!found || cost(&t, workers) < cost(best, workers)) {
                *best = t;
                found = true;
            }
        }
    return found;
}

static kz_plan_need need(const kz_upscaler_params *p, const kz_graph *graph, const kz_tiling *t)
{
    kz_plan_params plan = {
        .tile_width = t->tile_width, .tile_height = t->tile_height, .precision = p->precision};
    return p->backend->need(p->device, graph, &plan);
}

/* Memory grows with the tile's area: where the cheapest tiling doesn't fit, a smaller area is
 * tried. The smallest tiling is taken even if it doesn't fit: compiling it then says so. */
static int choose_within_limit(kz_tiling *tiling, const kz_upscaler_params *p,
                               const kz_graph *graph)
{
    size_t limit = p->memory_limit ? p->memory_limit : p->backend->room(p->device);
    kz_tiling candidate = {.tile_width = p->in.width, .tile_height = p->in.height};
    int workers = need(p, graph, &candidate).shared ? 1 : p->backend->threads(p->device);
    double area = (double)p->in.width * p->in.height;
    bool any = false;
    while (find_cheapest(&candidate, &p->in, p->halo, workers, area)) {
        *tiling = candidate;
        any = true;
        size_t bytes = need(p, graph, &candidate).bytes;
        if (bytes <= limit)
            break;
        double fits = (double)limit / (double)bytes;
        area = (double)candidate.tile_width * candidate.tile_height * (fits > 0.9 ? 0.95 : fits);
    }
    return any ? 0 : KZ_ERROR_USAGE;
}

int kz_choose_tiling(kz_tiling *tiling, const kz_upscaler_params *p, const kz_graph *graph,
                     kz_log *log)
{
    if (p->columns && p->rows) {
        if (kz_tiling_split(tiling, p->in.width, p->in.height, p->columns, p->rows, p->halo))
            return 0;
        return kz_fail(log, KZ_ERROR_USAGE, "%dx%d pixels can't be %dx%d tiles with a halo of %d",
                       p->in.width, p->in.height, p->columns, p->rows, p->halo);
    }
    if (!p->tile)
        return choose_within_limit(tiling, p, graph);
    if (kz_tiling_fit(tiling, p->in.width, p->in.height, p->tile, p->halo))
        return 0;
    return kz_fail(log, KZ_ERROR_USAGE, "a tile of %d pixels is too small for a halo of %d on %s",
                   p->tile, p->halo, "each side: use a larger --tile or a smaller --halo");
}
