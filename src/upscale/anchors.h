/* What cells' outputs were computed from, and those outputs: a few for each cell, the longest
 * unused forgotten first. Different cells may be used by different threads at once. */
#ifndef KZ_UPSCALE_ANCHORS_H
#define KZ_UPSCALE_ANCHORS_H

#include "upscale/cells.h"

/* Anchors of a cell: an A-B-A of mouths needs two, a blink in between a third. LAST isn't one, nor
 * found: the picture before, whatever it was made of. */
enum { KZ_ANCHORS = 3, KZ_ANCHOR_LAST = KZ_ANCHORS };

typedef struct kz_anchors kz_anchors;

/* For planes of luma as `in` and `out` are; with room for LAST, or not. `cells` outlives the
 * anchors. 0 or KZ_ERROR_MEMORY. */
int kz_anchors_open(kz_anchors **anchors, const kz_cells *cells, const kz_plane *in,
                    const kz_plane *out, bool last);
void kz_anchors_close(kz_anchors **anchors);
size_t kz_anchors_memory(const kz_cells *cells, const kz_plane *in, const kz_plane *out, bool last);

/* Forgets everything. */
void kz_anchors_clear(kz_anchors *anchors);

/* How far what a cell reads may be from an anchor's input: code values of the plane's own depth, of
 * a float plane values. */
typedef struct kz_likeness {
    double sample; /* each of them; 0: they are equal */
    double mean;   /* of all, with their signs: brighter or darker as a whole */
} kz_likeness;

/* An anchor that is as like as that, the nearest of them in the mean of absolute differences, the
 * latest of equals; or -1. `frame` grows from call to call for a cell, and marks the anchor as
 * used. */
int kz_anchors_find(kz_anchors *anchors, int cell, const kz_plane *in, kz_likeness most, int frame);

/* Makes the cell's part of `in` an anchor, in place of `instead`, or of the longest unused where
 * that is -1. Returns which; its output is the old one's until it is put, too. */
int kz_anchors_put_input(kz_anchors *anchors, int cell, const kz_plane *in, int instead, int frame);
void kz_anchors_put_output(kz_anchors *anchors, int cell, int anchor, const kz_plane *out);

/* Keeps the cell's part of `in` as LAST; whether that is the same. */
void kz_anchors_put_last(kz_anchors *anchors, int cell, const kz_plane *in);
bool kz_anchors_is_last(const kz_anchors *anchors, int cell, const kz_plane *in);

/* Copies an anchor's output to its place in `out`. */
void kz_anchors_copy(const kz_anchors *anchors, int cell, int anchor, const kz_plane *out);

/* An anchor's output: a plane as large as the cell's part of `out`. It stays the anchors'. */
kz_plane kz_anchors_output(const kz_anchors *anchors, int cell, int anchor);

/* What `in` has become since the anchor, in code values (of a float plane in values): the samples
 * of `part`, which lies within what the cell reads, row by row. Returns how many haven't changed.
 */
int kz_anchors_change(const kz_anchors *anchors, int cell, int anchor, const kz_plane *in,
                      kz_rect part, float *change);

#endif
