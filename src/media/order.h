/* Decoding times of a whole stream. */
#ifndef KZ_MEDIA_ORDER_H
#define KZ_MEDIA_ORDER_H

#include <stddef.h>
#include <stdint.h>

/* From the presentation times of `count` packets in the order of their decoding: the times in
 * growing order, later by as few frames as make none decode after it is shown. The first ones,
 * which have no frame before them, count down by the same delay, as x265 does it. Encoders that
 * were opened anew in the middle give times that overlap; these don't. 0 or KZ_ERROR_MEMORY (not
 * reported). */
int kz_decoding_times(int64_t *decode, const int64_t *present, size_t count);

#endif
