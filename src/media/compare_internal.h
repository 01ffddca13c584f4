/* What the two halves of the comparison share. */
#ifndef KZ_MEDIA_COMPARE_INTERNAL_H
#define KZ_MEDIA_COMPARE_INTERNAL_H

#include "media/compare.h"

/* How far a time may lie from where it belongs: the rounding to the file's units, of this time and
 * of the one that all are counted from. Copied streams were rounded when the input was written too,
 * and some readers count on from the first time of several packets.
 */
double kz_compare_tolerance(const kz_track *want, const kz_track *got, bool copied);

/* The first stamp whose time is off by more than `limit`, or the count. `offset`: got - want. */
size_t kz_compare_times(const kz_track *want, const kz_track *got, double offset, double limit);

/* Seconds by which the whole file lies later than the input: by its first frame. */
double kz_compare_offset(const kz_comparison *c);

/* The video's findings. `expected` is the stream as it was asked for. 0 or KZ_ERROR_MEMORY. */
int kz_compare_video(const kz_comparison *c, const AVStream *expected, kz_report *report);

#endif
