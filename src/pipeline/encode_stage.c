#include "pipeline/stages.h"

/* Writes what the encoder has. KZ_AGAIN: it wants more frames. KZ_END: drained. */
static int write_packets(kz_line *line, kz_encoder *encoder)
{
    for (;;) {
        kz_packet *packet;
        int error = kz_encoder_receive(encoder, &packet);
        if (!error)
            error = kz_output_video(line->params->output, packet);
        if (error)
            return error;
        pthread_mutex_lock(&line->lock);
        line->packets++;
        pthread_mutex_unlock(&line->lock);
    }
}

/* The encoder opens on the first frame, whose side data it may have to write into its header. */
static int start(kz_line *line, kz_encoder **encoder, const kz_frame *first)
{
    const kz_pipeline_params *p = line->params;
    int error = kz_encoder_open(encoder, &p->encoder, &p->out_format, first, line->log);
    return error ? error : kz_output_start(p->output, *encoder);
}

static int encode_frame(kz_line *line, kz_encoder **encoder, kz_frame *frame)
{
    double time = kz_frame_time(frame);
    int error = *encoder ? 0 : start(line, encoder, frame);
    if (error) {
        kz_frame_close(&frame);
        return error;
    }
    error = kz_encoder_send(*encoder, frame);
    if (error)
        return error;
    kz_line_count(line, KZ_STAGE_ENCODE);
    pthread_mutex_lock(&line->lock);
    line->media_time = time;
    pthread_mutex_unlock(&line->lock);
    error = write_packets(line, *encoder);
    return error == KZ_AGAIN ? 0 : error;
}

static int drain(kz_line *line, kz_encoder *encoder)
{
    if (!encoder)
        return kz_fail(line->log, KZ_ERROR_FAILED, "the video stream has no frame to decode");
    int error = kz_encoder_send(encoder, NULL);
    return error ? error : write_packets(line, encoder);
}

void kz_stage_encode(kz_line *line)
{
    kz_encoder *encoder = NULL;
    void *item;
    int error;
    while (!(error = kz_ring_pop(line->upscaled, &item)))
        if ((error = encode_frame(line, &encoder, item)))
            break;
    if (error == KZ_END)
        error = drain(line, encoder);
    if (error != KZ_END)
        kz_line_fail(line, error);
    kz_encoder_close(&encoder);
}
