/* Frames out of an input, as the first stage and whoever looks ahead of it take them. */
#ifndef KZ_PIPELINE_SOURCE_H
#define KZ_PIPELINE_SOURCE_H

#include "media/decode.h"
#include "media/output.h"

/* The next frame; reads as much as that takes. Packets of other streams go to `copied`, or nowhere
 * when that is NULL. KZ_END after the last. Errors as kz_input_read(), kz_decoder_receive() and
 * kz_output_copy() have them. */
int kz_source_next(kz_input *input, kz_decoder *decoder, kz_output *copied, kz_frame **frame);

#endif
