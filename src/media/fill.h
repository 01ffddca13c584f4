/* An output's streams, chapters and tags as the input has them. */
#ifndef KZ_MEDIA_FILL_H
#define KZ_MEDIA_FILL_H

#include "media/carrier.h"

/* Makes the carrier's streams in the input's order, chapters and metadata. NULL `form`: the
 * video stream only gets its tags. 0 or KZ_ERROR_MEMORY (not reported). */
int kz_fill(AVFormatContext *av, const kz_carrier *carrier, const kz_form *form);

#endif
