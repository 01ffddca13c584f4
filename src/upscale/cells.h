/* The parts of a picture that are computed, or not, each by itself. */
#ifndef KZ_UPSCALE_CELLS_H
#define KZ_UPSCALE_CELLS_H

#include "pixel/resample.h"
#include "upscale/upscaler.h"

typedef struct kz_cell {
    kz_rect own;  /* samples of the input that it decides */
    kz_rect read; /* and those that are looked at for it, `own` included */
    kz_rect out;  /* samples of the output that are its own */
} kz_cell;

typedef struct kz_cells {
    int columns, rows, count;
    kz_cell *cells;  /* row by row */
    size_t most_out; /* samples of the output that a cell has at most */
} kz_cells;

/* Squares of `size` samples that look `halo` around; `change` enlarges their changes, and what it
 * reads for a cell is looked at too. 0 or KZ_ERROR_MEMORY. */
int kz_cells_even(kz_cells *cells, const kz_upscale_side *in, const kz_upscale_side *out, int size,
                  int halo, const kz_resampler *change);

/* What the tiles decide and read; they lie in rows. With `whole` a single cell: the picture. 0 or
 * KZ_ERROR_MEMORY. */
int kz_cells_of_tiles(kz_cells *cells, const kz_upscale_side *in, const kz_upscale_side *out,
                      const kz_tile *tiles, int columns, int rows, bool whole);

void kz_cells_close(kz_cells *cells);

#endif
