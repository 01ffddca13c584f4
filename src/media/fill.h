/* An output's streams, chapters and tags as the input has them. */
#ifndef KZ_MEDIA_FILL_H
#define KZ_MEDIA_FILL_H

#include "media/carry.h"
#include "media/text.h"

typedef struct kz_fill_params {
    const kz_input *input;
    const kz_encoder *encoder;
    const enum kz_carry *forms; /* per input stream, as are texts */
    kz_text *const *texts;      /* the converters of streams that become ASS */
} kz_fill_params;

/* Makes the streams in the input's order (map[i]: the output stream of input stream i, or -1),
 * chapters and metadata. 0 or KZ_ERROR_MEMORY (not reported). */
int kz_fill(AVFormatContext *av, int *map, const kz_fill_params *params);

#endif
