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

/* What a cell's part of `out` is made of: its input now, and what a slot of its anchors has. */
typedef struct kz_change_task {
    const kz_anchors *anchors;
    const kz_cell *cell;
    int index, slot; /* of the cell, of an anchor or KZ_ANCHOR_LAST */
    const kz_plane *in, *out;
    float *scratch; /* kz_change_scratch() floats, of this call alone */
} kz_change_task;

size_t kz_change_scratch(const kz_change *change, const kz_cells *cells);

/* Writes the cell's part of `out`. Without a change it is the anchor's, to the bit. Thread-safe. */
void kz_change_render(const kz_change *change, const kz_change_task *task);

/* Values of the cell's part of `out`, row by row, that the change of its input comes to: `change`
 * has that of all it reads, as kz_anchors_change() gives it. `scratch` is behind what has been used
 * of the task's: kz_resample_scratch() floats. Thread-safe. */
void kz_change_enlarge(const kz_change *change, const kz_change_task *task, const float *of,
                       kz_rect from, float *enlarged, float *scratch);

#endif
