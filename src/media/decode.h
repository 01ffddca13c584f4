/* The upscaled stream's packets to frames. Not thread-safe; uses libav's frame threads inside. */
#ifndef KZ_MEDIA_DECODE_H
#define KZ_MEDIA_DECODE_H

#include "media/frame.h"
#include "media/input.h"

typedef struct kz_decoder kz_decoder;

/* `input` must outlive the decoder. `threads` 0: libav's choice. */
int kz_decoder_open(kz_decoder **decoder, const kz_input *input, int threads, kz_log *log);
void kz_decoder_close(kz_decoder **decoder);

/* Hands over a packet; NULL begins draining. Takes ownership in every case. Returns 0 or
 * KZ_ERROR_FAILED (reported: codec, time). A damaged packet is a warning, not a failure. */
int kz_decoder_send(kz_decoder *decoder, kz_packet *packet);

/* The next frame, in presentation order, with its source timestamp (missing ones are continued from
 * the frame before), inside start and duration, its time counted from start. Returns 0, KZ_AGAIN
 * (send more), KZ_END (drained), KZ_ERROR_FAILED (the frame size or pixel format changes midway;
 * reported) or KZ_ERROR_MEMORY. */
int kz_decoder_receive(kz_decoder *decoder, kz_frame **frame);

/* Frames given, and damaged packets met. */
int64_t kz_decoder_frames(const kz_decoder *decoder);
int64_t kz_decoder_errors(const kz_decoder *decoder);

#endif
