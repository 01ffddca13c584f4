#include "pipeline/source.h"

/* One packet on, or the end of the file into the decoder, once. */
static int read_one(kz_input *input, kz_decoder *decoder, kz_take_packet *take, void *context)
{
    kz_packet *packet = NULL;
    int error = kz_input_read(input, &packet);
    if (error == KZ_END)
        return kz_decoder_send(decoder, NULL);
    if (error)
        return error;
    if (kz_packet_is_video(packet))
        return kz_decoder_send(decoder, packet);
    if (take)
        return take(context, packet);
    kz_packet_close(&packet);
    return 0;
}

int kz_source_next(kz_input *input, kz_decoder *decoder, kz_take_packet *take, void *context,
                   kz_frame **frame)
{
    int error;
    while ((error = kz_decoder_receive(decoder, frame)) == KZ_AGAIN)
        if ((error = read_one(input, decoder, take, context)))
            break;
    return error;
}
