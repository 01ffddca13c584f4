/* Several tiles in one launch: their blocks are numbered through, in x, and each finds its tile. No
 * block is there for nothing, and one tile is a batch like any other. */
#ifndef KZ_CUDA_KERNELS_BATCH_CUH
#define KZ_CUDA_KERNELS_BATCH_CUH

#include <cstring>

#include "cuda/kernels/kernels.h"
#include "cuda/kernels/target.cuh"

struct kz_block_tile {
    size_t first;      /* as kz_batch's */
    int width, height; /* pixels of the value that blocks are counted by */
    unsigned begin;    /* blocks before it */
};

struct kz_blocks {
    int n;
    kz_block_tile tiles[KZ_BATCH_MOST];
};

/* The batch's tiles (NULL: the view alone), in the view's pixels. */
static inline kz_blocks kz_blocks_of(const kz_batch *batch, const kz_view *v)
{
    kz_blocks b;
    memset(&b, 0, sizeof(b));
    b.n = batch ? batch->n : 1;
    b.tiles[0] = {0, v->width, v->height, 0};
    for (int i = 0; batch && i < b.n; i++)
        b.tiles[i] = {batch->tiles[i].first, batch->tiles[i].width * v->scale,
                      batch->tiles[i].height * v->scale, 0};
    return b;
}

/* Numbers the blocks, of which a tile has blocks_of(its width, its height); returns how many. */
template <class F> unsigned kz_blocks_number(kz_blocks *b, F blocks_of)
{
    unsigned count = 0;
    for (int i = 0; i < b->n; i++) {
        b->tiles[i].begin = count;
        count += (unsigned)blocks_of(b->tiles[i].width, b->tiles[i].height);
    }
    return count;
}

/* Rectangles of so many columns and rows. */
static inline unsigned kz_blocks_number(kz_blocks *b, int columns, int rows)
{
    return kz_blocks_number(b, [=](int width, int height) {
        return ((size_t)width + columns - 1) / columns * (((size_t)height + rows - 1) / rows);
    });
}

/* The number of the block's tile. All threads of a block go the same way. */
KZ_DEVICE int kz_block_find(const kz_blocks &b)
{
    int low = 0, high = b.n;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (b.tiles[middle].begin <= blockIdx.x)
            low = middle;
        else
            high = middle;
    }
    return low;
}

struct kz_corner {
    int x, y;
};

/* The block's first pixel in its tile, of rectangles of so many columns and rows. */
KZ_DEVICE kz_corner kz_block_corner(const kz_block_tile &tile, int columns, int rows)
{
    const int block = (int)(blockIdx.x - tile.begin);
    const int across = (tile.width + columns - 1) / columns;
    return {block % across * columns, block / across * rows};
}

/* Pixels of a value before the tile. */
KZ_DEVICE size_t kz_pixels_before(const kz_view &v, const kz_block_tile &tile)
{
    return tile.first * (size_t)(v.scale * v.scale);
}

#endif
