/* Nothing is computed twice: what of a picture need not go through the network, since that has seen
 * it before.
 *
 * A picture is cut into cells. A cell keeps a few anchors: inputs (with what lies around) that its
 * output was really computed from, and these outputs. EXACT: the cells are the tiles of the run,
 * and an equal input gets the anchor's output: the bits are those of computing it. NEAR: small
 * squares; where no sample differs from an anchor's by more than a tolerance, the output is the
 * anchor's plus the difference of the inputs, enlarged. What is compared with is never a copy of a
 * copy, so that nothing drifts however long a drawing is held.
 *
 * The tolerance bounds the input. What it means for the output is measured: of the blocks of cells
 * that could be reused one in 256 is computed all the same, and where a cell would have been wrong
 * by more than KZ_REUSE_RMS, the tolerance is one less until the segment ends. Cells that are
 * computed, for whatever reason, take what comes out, but for what is held (steady.h).
 *
 * All decisions follow from the pictures since kz_reuse_begin() alone; threads don't matter. A
 * picture may be decided before the one before it is finished, where that has no cells to check:
 * what is compared are inputs. */
#ifndef KZ_UPSCALE_REUSE_H
#define KZ_UPSCALE_REUSE_H

#include "upscale/regions.h"

/* Code values of 8 bit, root mean square over a cell. */
#define KZ_REUSE_RMS 2.0

typedef struct kz_reuse kz_reuse;

typedef struct kz_reuse_params {
    enum kz_reuse_mode mode; /* not OFF */
    double tolerance;        /* NEAR: code values of 8 bit */
    const kz_backend *backend;
    kz_device *device; /* outlives it */
    kz_upscale_side in, out;
    const kz_tile *tiles; /* of a whole picture, `columns` in each of `rows`; outlive it */
    int columns, rows;
    int margin; /* input samples around a cell on which its output depends beyond what a tile
                 * decides, since that is resampled; 0: it isn't */
    kz_region_costs costs;
} kz_reuse_params;

/* 0 or KZ_ERROR_MEMORY. The memory for pictures is allocated with the first of them. */
int kz_reuse_open(kz_reuse **reuse, const kz_reuse_params *params);
void kz_reuse_close(kz_reuse **reuse);

/* Bytes held, for pictures of so many bytes a sample. */
size_t kz_reuse_memory(const kz_reuse *reuse, int in_bytes, int out_bytes);

/* A segment begins: nothing before it is known any more. */
void kz_reuse_begin(kz_reuse *reuse);

/* What has to be computed of a picture. */
typedef struct kz_reuse_task {
    const kz_tile *tiles; /* the reuse's, until the next call but one */
    int n_tiles;
} kz_reuse_task;

/* Whether the next picture can be decided though the last one isn't finished. */
bool kz_reuse_can_decide(const kz_reuse *reuse);

/* Looks at the next picture, which stays until it is finished. At most one before it isn't yet. 0
 * or KZ_ERROR_MEMORY. */
int kz_reuse_decide(kz_reuse *reuse, const kz_plane *in, const kz_plane *out, kz_reuse_task *task);

/* Whether a cell is computed of the picture that was decided last. */
bool kz_reuse_is_computed(const kz_reuse *reuse, int cell);

/* The task of the first that isn't finished is done: fills the rest of `out`, and remembers what
 * was computed. `kept`: all of `out` is as a run before has left it, the task wasn't done, and
 * there is only something to remember; `out` may then be NULL: only what the next pictures would
 * need is of interest. */
void kz_reuse_finish(kz_reuse *reuse, const kz_plane *out, bool kept);

/* Of the last picture that was finished: */
enum kz_reuse_why { KZ_REUSED, KZ_REUSE_NEW, KZ_REUSE_CHECKED, KZ_REUSE_BESIDE };
enum kz_reuse_why kz_reuse_why(const kz_reuse *reuse, int cell);
const kz_cells *kz_reuse_cells(const kz_reuse *reuse);
const kz_reuse_task *kz_reuse_last_task(const kz_reuse *reuse);

kz_reuse_stats kz_reuse_get_stats(const kz_reuse *reuse);

#endif
