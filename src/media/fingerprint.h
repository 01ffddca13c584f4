/* A picture's brightness in a few coarse cells: enough to notice a black, scrambled or swapped
 * frame, whatever its size, depth and range. */
#ifndef KZ_MEDIA_FINGERPRINT_H
#define KZ_MEDIA_FINGERPRINT_H

#include "media/internal.h"

/* The mean luma of 4 × 2 cells, a byte each (16 is black, 235 white); 0: the pixel format can't be
 * read. */
uint64_t kz_fingerprint(const AVFrame *frame);

/* The largest difference between cells, in such steps; 0 where one of them is unknown. */
int kz_fingerprint_distance(uint64_t a, uint64_t b);

#endif
