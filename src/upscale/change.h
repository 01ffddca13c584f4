/* What a cell's output becomes when its input changes a little: an anchor's output plus the
 * difference of the inputs, enlarged by a cubic B-spline. That smooths, as networks do: of small
 * changes, mostly a codec's noise, they pass the coarse and drop the fine. */
#ifndef KZ_UPSCALE_CHANGE_H
#define KZ_UPSCALE_CHANGE_H

#include "upscale/anchors.h"

typedef struct kz_change {
    kz_resampler *resampler; /* from the input's size to the output's */
    float in_span, out_span; /* black to white, code values */
} kz_change;

/* 0 or KZ_ERROR_MEMORY; kz_change_close() in any case. */
int kz_change_open(kz_change *change, const kz_upscale_side *in, const kz_upscale_side *out);
void kz_change_close(kz_change *change);

/* Floats of scratch that a call of kz_change_render() needs. */
size_t kz_change_scratch(const kz_change *change, const kz_cells *cells);

/* Writes the cell's part of `out`. Without a change it is the anchor's, to the bit. Thread-safe,
 * each call with a scratch of its own. */
void kz_change_render(const kz_change *change, const kz_anchors *anchors, const kz_cell *cell,
                      int index, int anchor, const kz_plane *in, const kz_plane *out,
                      float *scratch);

#endif
