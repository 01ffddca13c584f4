/* Code values of a video plane to the numbers a network sees, and back. */
#ifndef KZ_PIXEL_LEVELS_H
#define KZ_PIXEL_LEVELS_H

#include "pixel/plane.h"

/* value = (code - zero) / span. Luma (ITU-T H.273): black is 0, white 1; nothing is clipped, so
 * that super-white and sub-black survive. Chroma: neutral is 0, the nominal excursion 1. */
typedef struct kz_levels {
    float zero;
    float span;
} kz_levels;

kz_levels kz_luma_levels(int depth, bool full_range);
kz_levels kz_chroma_levels(int depth, bool full_range);

/* Reads `count` samples of row `y` from column `x` as values. */
void kz_levels_load(kz_levels levels, const kz_plane *plane, int x, int y, int count,
                    float *values);

/* Writes values as samples, clipped to what `depth` bits hold. Integer planes get an ordered dither
 * fixed to the position in the plane (8×8, Bayer 1973), so that shallow gradients don't band and
 * still regions stay still; an exact code value comes out as itself. Float planes get the values.
 */
void kz_levels_store(kz_levels levels, const kz_plane *plane, int x, int y, int count,
                     const float *values);

#endif
