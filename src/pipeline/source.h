/* Frames out of an input, as the first stage and whoever looks ahead of it take them. */
#ifndef KZ_PIPELINE_SOURCE_H
#define KZ_PIPELINE_SOURCE_H

#include "media/decode.h"

/* What becomes of a packet of another stream than the video (ownership in every case). An error
 * ends the reading. */
typedef int kz_take_packet(void *context, kz_packet *packet);

/* The next frame; reads as much as that takes. Packets of other streams go to take(context, …), or
 * nowhere when that is NULL. KZ_END after the last. Errors as kz_input_read(),
 * kz_decoder_receive() and take() have them. */
int kz_source_next(kz_input *input, kz_decoder *decoder, kz_take_packet *take, void *context,
                   kz_frame **frame);

#endif
