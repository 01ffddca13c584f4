/* Which parts of a picture are given to the network, so that all cells that changed are computed.
 */
#ifndef KZ_UPSCALE_REGIONS_H
#define KZ_UPSCALE_REGIONS_H

#include "upscale/cells.h"

/* What a tile costs. */
typedef struct kz_region_costs {
    int width, height;           /* of the picture */
    int halo;                    /* that a tile needs around what it decides */
    int tile_width, tile_height; /* of the largest tile, halo included */
    bool any_size;               /* smaller tiles run too; else only that one */
} kz_region_costs;

/* Whether tiles are so much larger than their halo that parts of the picture are worth a thought.
 */
bool kz_regions_fit(const kz_region_costs *costs);

/* What the network takes for a tile. */
double kz_tile_cost(const kz_tile *tile);

/* What the network takes for a part of the picture, in pixels of large pictures. */
double kz_region_cost(const kz_region_costs *costs, kz_rect part);

/* Covers the marked cells with rectangles, as cheaply as cuts right through the picture allow, and
 * writes them, in samples of the input, to `regions`, which has room for as many as there are
 * cells. `sums` is scratch: one for each corner of a cell, (columns + 1) * (rows + 1). Returns
 * their number. */
int kz_regions_find(kz_rect *regions, const kz_cells *cells, const bool *marked,
                    const kz_region_costs *costs, int *sums);

/* The tiles that decide a part: appends at most `most` to `tiles`; returns how many it takes. */
int kz_region_tiles(const kz_region_costs *costs, kz_rect part, kz_tile *tiles, int most);

#endif
