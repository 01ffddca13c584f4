#include "base/mem.h"
#include "base/thread.h"
#include "pipeline/stages.h"

/* A segment's encoder is drained before the next one opens. That costs nothing where the network is
 * what the processors are busy with, and two encoders at once would take twice the memory. */

struct encode {
    kz_line *line;
    kz_encoder *encoder;
    kz_made *ending; /* the segment's end, with the marks of its frames so far */
};

static int push(kz_line *line, kz_made *made)
{
    int error = kz_ring_push(line->encoded, made, made->packet ? kz_packet_bytes(made->packet) : 0);
    if (error)
        kz_made_close(&made);
    return error;
}

/* To the file at once, with a reference for the check; or only to the check, which then keeps it in
 * the segment's file. Ownership in every case. */
static int pass_on(kz_line *line, kz_packet *packet)
{
    const bool direct = !line->params->journal;
    kz_made *made = NULL;
    int error = 0;
    if (!direct || line->checker)
        error = kz_made_open(&made, packet, direct);
    if (error)
        kz_fail_memory(line->log, "a packet");
    if (!error && made)
        error = push(line, made);
    if (!direct)
        return error;
    if (error)
        kz_packet_close(&packet);
    return error ? error : kz_output_video(line->params->output, packet);
}

/* Passes on what the encoder has. KZ_AGAIN: it wants more frames. KZ_END: drained. */
static int pass_packets(struct encode *e)
{
    for (;;) {
        kz_packet *packet;
        int error = kz_encoder_receive(e->encoder, &packet);
        const size_t bytes = error ? 0 : kz_packet_bytes(packet);
        if (!error)
            error = pass_on(e->line, packet);
        if (error)
            return error;
        pthread_mutex_lock(&e->line->lock);
        e->line->packets++;
        e->line->bytes += (int64_t)bytes;
        pthread_mutex_unlock(&e->line->lock);
    }
}

/* One thread keeps up with the network of two processors; a graphics card's frames need more. */
int kz_check_threads(void)
{
    const int share = kz_cpu_count() / 4;
    return share < 1 ? 1 : share > 4 ? 4 : share;
}

/* What all encoders of the run have in common is learnt from the first. */
static int start(kz_line *line, const kz_encoder *encoder)
{
    const kz_pipeline_params *p = line->params;
    int error = kz_form_open(&line->form, encoder) ? kz_fail_memory(line->log, "the output") : 0;
    if (!error && p->check)
        error = kz_checker_open(&line->checker, line->form, kz_check_threads(), line->log);
    if (error)
        return error;
    /* Segments are put together at the end: too late to learn that the container refuses them. */
    return p->journal ? kz_output_rehearse(p->output, line->form)
                      : kz_output_start(p->output, line->form);
}

/* The encoder opens on the run's first frame, whose side data it may have to write into its header;
 * those of later segments on the same one, so that all headers are equal. */
static int open_encoder(struct encode *e, const kz_frame *frame)
{
    kz_line *line = e->line;
    const kz_pipeline_params *p = line->params;
    if (!line->like && kz_frame_shell(&line->like, frame) != 0)
        return kz_fail_memory(line->log, "a frame");
    kz_encoder_params params = p->encoder;
    params.strict = p->strict;
    params.told = &line->told;
    int error = kz_encoder_open(&e->encoder, &params, &p->out_format, line->like, line->log);
    if (error)
        return error;
    if (!line->form)
        return start(line, e->encoder);
    if (kz_form_matches(line->form, e->encoder))
        return 0;
    return kz_fail(line->log, KZ_ERROR_FAILED,
                   "encoder %s writes another header for each segment: --no-resume encodes the "
                   "whole at once",
                   p->encoder.codec);
}

/* Drains the encoder and says that its segment is complete. */
static int end_segment(struct encode *e)
{
    int error = kz_encoder_send(e->encoder, NULL);
    if (!error)
        error = pass_packets(e);
    if (error != KZ_END || !e->ending)
        return error;
    kz_encoder_close(&e->encoder);
    /* Else the next one's memory would come on top of the holes that this one leaves. */
    kz_memory_release();
    kz_made *ending = e->ending;
    e->ending = NULL;
    error = push(e->line, ending);
    return error ? error : KZ_END;
}

/* In a run of segments: what the frame means for them. */
static int note_frame(struct encode *e, kz_frame *frame)
{
    const kz_frame_mark *mark = kz_frame_get_mark(frame);
    int error = 0;
    if (!e->line->params->journal)
        return 0;
    if (mark->begins && e->encoder && (error = end_segment(e)) == KZ_END)
        error = 0;
    if (!error && !e->ending && kz_made_open_end(&e->ending))
        error = kz_fail_memory(e->line->log, "a segment");
    if (!error && kz_made_add(e->ending, mark))
        error = kz_fail_memory(e->line->log, "a segment");
    return error;
}

static int encode_frame(struct encode *e, kz_frame *frame)
{
    kz_line *line = e->line;
    double time = kz_frame_time(frame);
    int error = note_frame(e, frame);
    if (!error && !e->encoder)
        error = open_encoder(e, frame);
    if (error) {
        kz_frame_close(&frame);
        return error;
    }
    error = kz_encoder_send(e->encoder, frame);
    if (error)
        return error;
    kz_line_count(line, KZ_STAGE_ENCODE);
    pthread_mutex_lock(&line->lock);
    line->media_time = time;
    pthread_mutex_unlock(&line->lock);
    error = pass_packets(e);
    return error == KZ_AGAIN ? 0 : error;
}

static int finish(struct encode *e)
{
    const kz_pipeline_params *p = e->line->params;
    if (e->encoder)
        return end_segment(e);
    if (p->frames_before)
        return KZ_END;
    return kz_input_has_no_frame(p->input);
}

void kz_stage_encode(kz_line *line)
{
    struct encode e = {.line = line};
    void *item;
    int error;
    while (!(error = kz_ring_pop(line->upscaled, &item)))
        if ((error = encode_frame(&e, item)))
            break;
    if (error == KZ_END)
        error = finish(&e);
    if (error != KZ_END)
        kz_line_fail(line, error);
    kz_ring_finish(line->encoded);
    kz_encoder_close(&e.encoder);
    kz_made_close(&e.ending);
}
