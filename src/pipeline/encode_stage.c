#include "base/thread.h"
#include "pipeline/stages.h"

/* A reference for the check; the packet itself is written. */
static int pass_on(kz_line *line, const kz_packet *packet)
{
    kz_packet *clone = NULL;
    if (!line->checker)
        return 0;
    int error = kz_packet_clone(&clone, packet);
    if (error)
        return kz_fail_memory(line->log, "a packet");
    error = kz_ring_push(line->encoded, clone, kz_packet_bytes(clone));
    if (error)
        kz_packet_close(&clone);
    return error;
}

/* Writes what the encoder has. KZ_AGAIN: it wants more frames. KZ_END: drained. */
static int write_packets(kz_line *line, kz_encoder *encoder)
{
    for (;;) {
        kz_packet *packet;
        int error = kz_encoder_receive(encoder, &packet);
        if (error)
            return error;
        error = pass_on(line, packet);
        if (error)
            kz_packet_close(&packet);
        else
            error = kz_output_video(line->params->output, packet);
        if (error)
            return error;
        pthread_mutex_lock(&line->lock);
        line->packets++;
        pthread_mutex_unlock(&line->lock);
    }
}

/* One thread keeps up with the network of two processors; a graphics card's frames need more. */
static int check_threads(void)
{
    const int share = kz_cpu_count() / 4;
    return share < 1 ? 1 : share > 4 ? 4 : share;
}

/* The encoder opens on the first frame, whose side data it may have to write into its header. */
static int start(kz_line *line, kz_encoder **encoder, const kz_frame *first)
{
    const kz_pipeline_params *p = line->params;
    int error = kz_encoder_open(encoder, &p->encoder, &p->out_format, first, line->log);
    if (!error && p->check)
        error = kz_checker_open(&line->checker, *encoder, check_threads(), line->log);
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
    kz_ring_finish(line->encoded);
    kz_encoder_close(&encoder);
}
