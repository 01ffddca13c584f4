/* A drawing that is held is held in the output, too. An encoder changes it a little from picture to
 * picture, and a network that sharpens makes more of that: it would flicker more than its source.
 *
 * A cell is held where a quarter of what it looks at is as it was in the picture before, to the
 * bit, as an encoder leaves what it skips, and it hasn't become brighter or darker as a whole.
 * There, in blocks in which nothing moves, an output sample changes by no more than the change of
 * the input, enlarged, and is no more than a bound away from what the network made. Pans, fades and
 * grain change all samples, and aren't touched. */
#ifndef KZ_UPSCALE_STEADY_H
#define KZ_UPSCALE_STEADY_H

#include "upscale/change.h"

/* How far an output sample may be from the network's, of the tolerance that the model bears. */
#define KZ_STEADY_SHARE 0.6

/* `task->out` has the cell's part as it was computed, `task->slot` holds that of the picture
 * before, whose input is KZ_ANCHOR_LAST. `most`: code values of `out`. Thread-safe. */
void kz_steady_hold(const kz_change *change, const kz_change_task *task, double most);

#endif
