/* Where a film can be cut into segments: at changes of scene, by the luma of the frames alone, so
 * that every run cuts in the same places. Not thread-safe. */
#ifndef KZ_PIXEL_CUT_H
#define KZ_PIXEL_CUT_H

#include "base/error.h"
#include "pixel/plane.h"

/* A segment's length. Within the bounds a change of scene begins the next one; without any the
 * longest does. The frames bound what a segment holds whatever the timestamps say. */
#define KZ_CUT_LEAST_SECONDS 4.0
#define KZ_CUT_MOST_SECONDS 20.0
#define KZ_CUT_MOST_FRAMES 1200

typedef struct kz_cutter kz_cutter;

int kz_cutter_open(kz_cutter **cutter); /* 0 or KZ_ERROR_MEMORY (not reported) */
void kz_cutter_close(kz_cutter **cutter);

/* Looks at the next frame's luma, shown at `seconds`; true: a segment begins with it. The first
 * frame begins one. What follows a beginning depends on nothing before it: a cutter opened there
 * gives the same answers. */
bool kz_cutter_next(kz_cutter *cutter, const kz_plane *luma, double seconds);

#endif
