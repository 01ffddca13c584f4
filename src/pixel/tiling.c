#include "pixel/tiling.h"

/* n tiles of size s cover n s - (n - 1) 2 halo pixels. */
static int smallest_tile(int length, int count, int halo)
{
    int tile = (length + (count - 1) * 2 * halo + count - 1) / count;
    return tile < length ? tile : length;
}

bool kz_tiling_split(kz_tiling *tiling, int width, int height, int columns, int rows, int halo)
{
    *tiling = (kz_tiling){
        width,   height, smallest_tile(width, columns, halo), smallest_tile(height, rows, halo),
        columns, rows};
    /* Beyond this a tile would own less than nothing. */
    return (columns == 1 || tiling->tile_width > 2 * halo) &&
           (rows == 1 || tiling->tile_height > 2 * halo) && columns <= width && rows <= height;
}

static int fewest_tiles(int length, int tile, int halo)
{
    if (length <= tile)
        return 1;
    int step = tile - 2 * halo;
    return step < 1 ? 0 : (length - 2 * halo + step - 1) / step;
}

bool kz_tiling_fit(kz_tiling *tiling, int width, int height, int tile, int halo)
{
    int columns = fewest_tiles(width, tile, halo), rows = fewest_tiles(height, tile, halo);
    return columns && rows && kz_tiling_split(tiling, width, height, columns, rows, halo);
}

int kz_tiling_count(const kz_tiling *tiling)
{
    return tiling->columns * tiling->rows;
}

static int corner(int length, int tile, int count, int index)
{
    return count == 1 ? 0 : (int)((long)index * (length - tile) / (count - 1));
}

/* The middle of the overlap of tiles index - 1 and index. */
static int border(int length, int tile, int count, int index)
{
    if (index == 0)
        return 0;
    if (index == count)
        return length;
    return (corner(length, tile, count, index) + corner(length, tile, count, index - 1) + tile) / 2;
}

kz_tile kz_tiling_get(const kz_tiling *t, int index)
{
    int column = index % t->columns, row = index / t->columns;
    return (kz_tile){
        .x = corner(t->width, t->tile_width, t->columns, column),
        .y = corner(t->height, t->tile_height, t->rows, row),
        .width = t->tile_width,
        .height = t->tile_height,
        .own_x0 = border(t->width, t->tile_width, t->columns, column),
        .own_y0 = border(t->height, t->tile_height, t->rows, row),
        .own_x1 = border(t->width, t->tile_width, t->columns, column + 1),
        .own_y1 = border(t->height, t->tile_height, t->rows, row + 1),
    };
}

static int before(int start, int halo)
{
    int first = start > halo ? start - halo : 0;
    return first / KZ_TILE_STEP * KZ_TILE_STEP;
}

static int behind(int end, int halo, int length)
{
    return end + halo < length ? end + halo : length;
}

kz_tile kz_tile_around(int width, int height, kz_rect own, int halo)
{
    int x = before(own.x0, halo), y = before(own.y0, halo);
    return (kz_tile){.x = x,
                     .y = y,
                     .width = behind(own.x1, halo, width) - x,
                     .height = behind(own.y1, halo, height) - y,
                     .own_x0 = own.x0,
                     .own_y0 = own.y0,
                     .own_x1 = own.x1,
                     .own_y1 = own.y1};
}
