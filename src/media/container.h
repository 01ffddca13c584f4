/* What a container can hold, and an output's streams as the input has them. */
#ifndef KZ_MEDIA_CONTAINER_H
#define KZ_MEDIA_CONTAINER_H

#include "media/internal.h"

bool kz_container_holds(const AVOutputFormat *format, enum AVMediaType type, enum AVCodecID codec);

/* What to do about it, to end the message with. */
const char *kz_container_advice(const AVOutputFormat *format, enum AVCodecID codec);

/* Makes the streams in the input's order (map[i]: the output stream of input stream i, or -1),
 * chapters and metadata. 0 or KZ_ERROR_MEMORY (not reported). */
int kz_container_fill(AVFormatContext *av, int *map, const kz_input *input,
                      const kz_encoder *encoder);

#endif
