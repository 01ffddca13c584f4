#include "pipeline/stages.h"

/* Passes on what the decoder has. KZ_AGAIN: it wants more packets. KZ_END: drained, or enough. */
static int forward_frames(kz_line *line)
{
    const kz_pipeline_params *p = line->params;
    for (;;) {
        kz_frame *frame;
        if (p->max_frames && kz_decoder_frames(p->decoder) >= p->max_frames)
            return KZ_END;
        int error = kz_decoder_receive(p->decoder, &frame);
        if (error)
            return error;
        error = kz_output_frame(p->output, frame);
        if (!error)
            error = kz_ring_push(line->decoded, frame, kz_frame_bytes(frame));
        if (error) {
            kz_frame_close(&frame);
            return error;
        }
        kz_line_count(line, KZ_STAGE_DECODE);
    }
}

/* One packet on, or the end of the file into the decoder, once. */
static int read_one(kz_line *line)
{
    const kz_pipeline_params *p = line->params;
    kz_packet *packet = NULL;
    int error = kz_input_read(p->input, &packet);
    if (error == KZ_END)
        return kz_decoder_send(p->decoder, NULL);
    if (error)
        return error;
    if (kz_packet_is_video(packet))
        return kz_decoder_send(p->decoder, packet);
    return kz_output_copy(p->output, packet);
}

void kz_stage_decode(kz_line *line)
{
    int error;
    while ((error = forward_frames(line)) == KZ_AGAIN) {
        error = read_one(line);
        if (error)
            break;
    }
    pthread_mutex_lock(&line->lock);
    line->damaged = kz_decoder_errors(line->params->decoder);
    pthread_mutex_unlock(&line->lock);
    if (error != KZ_END)
        kz_line_fail(line, error);
    kz_output_copy_end(line->params->output);
    kz_ring_finish(line->decoded);
}
