/* Frames through libavfilter before they are upscaled: deinterlacing, turning, what the user asks
 * for, and the pixel formats that kizuna can't carry as they are. Not thread-safe. */
#ifndef KZ_MEDIA_FILTER_H
#define KZ_MEDIA_FILTER_H

#include "media/decode.h"
#include "media/fields.h"
#include "media/internal.h"

typedef struct kz_filter kz_filter;

/* `fields`: what was found in the input. NULL in *filter: the frames need nothing. 0,
 * KZ_ERROR_USAGE (a chain that libavfilter refuses, an alpha plane that would be lost),
 * KZ_ERROR_FAILED, KZ_ERROR_MEMORY; reported. `input` must outlive the filter. */
int kz_filter_open(kz_filter **filter, const kz_filter_params *params, kz_fields fields,
                   const kz_input *input, kz_log *log);
void kz_filter_close(kz_filter **filter);

/* What comes out, as tried with a blank frame. */
const kz_video_format *kz_filter_format(const kz_filter *filter);

/* Takes what `av` holds, which is left blank; NULL begins draining. 0, KZ_ERROR_FAILED or
 * KZ_ERROR_MEMORY; reported. */
int kz_filter_send(kz_filter *filter, AVFrame *av);

/* 0, KZ_AGAIN, KZ_END, KZ_ERROR_FAILED or KZ_ERROR_MEMORY (reported). */
int kz_filter_receive(kz_filter *filter, AVFrame *av);

#endif
