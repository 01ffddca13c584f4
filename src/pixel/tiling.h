/* A picture cut into tiles of one size that lie wholly inside it. Neighbours overlap by at least
 * two halos; every pixel belongs to the tile that sees it farthest from its cut edges. Tiles at the
 * picture's edge are shifted inwards, so that a network's zero padding there is the picture's. */
#ifndef KZ_PIXEL_TILING_H
#define KZ_PIXEL_TILING_H

#include "pixel/plane.h"

typedef struct kz_tiling {
    int width, height;           /* of the picture */
    int tile_width, tile_height; /* of every tile, halo included */
    int columns, rows;
} kz_tiling;

typedef struct kz_tile {
    int x, y;                           /* the tile's corner in the picture */
    int width, height;                  /* halo included */
    int own_x0, own_y0, own_x1, own_y1; /* what it decides, in the picture, ends excluded */
} kz_tile;

/* The tiling with the given counts, and the smallest tiles that suffice for the halo. Returns false
 * when so many tiles can't overlap enough. */
bool kz_tiling_split(kz_tiling *tiling, int width, int height, int columns, int rows, int halo);

/* The tiling with the fewest tiles of at most tile × tile pixels, halo included. Returns false when
 * the tile is too small for the halo. */
bool kz_tiling_fit(kz_tiling *tiling, int width, int height, int tile, int halo);

int kz_tiling_count(const kz_tiling *tiling);

/* Tiles are numbered row by row. */
kz_tile kz_tiling_get(const kz_tiling *tiling, int index);

/* Tile corners are multiples of this where they can be: kernels compute pixels in groups that hang
 * on the corner, so that the rounding is the same wherever it lies. */
enum { KZ_TILE_STEP = 4 };

/* The tile that decides a rectangle, with the halo around it as far as the picture goes. */
kz_tile kz_tile_around(int width, int height, kz_rect own, int halo);

#endif
