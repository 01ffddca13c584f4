#include "pipeline/source.h"
#include "pipeline/stages.h"
#include "pixel/cut.h"

/* In a run of segments what is copied is read once more at the end. */
static bool copies(const kz_line *line)
{
    return !line->params->journal;
}

static int copy_packet(void *context, kz_packet *packet)
{
    return kz_output_copy(context, packet);
}

/* Notes the frame for the check at the end; in a run of segments also where one begins. */
static int note_frame(kz_line *line, kz_cutter *cutter, kz_frame *frame, int64_t index)
{
    if (!cutter)
        return kz_output_frame(line->params->output, frame);
    int error = index == 0 ? kz_output_first(line->params->output, frame) : 0;
    if (!error && kz_frame_examine(frame) != 0)
        error = kz_fail_memory(line->log, "a frame");
    if (error)
        return error;
    const kz_picture picture = kz_frame_picture(frame);
    kz_frame_get_mark(frame)->begins =
        kz_cutter_next(cutter, &picture.plane[0], kz_frame_time(frame));
    return 0;
}

static int forward_frames(kz_line *line, kz_cutter *cutter)
{
    const kz_pipeline_params *p = line->params;
    int64_t given = p->frames_before;
    for (;;) {
        kz_frame *frame;
        if (p->max_frames && given >= p->max_frames)
            return KZ_END;
        int error = kz_source_next(p->input, p->decoder, copies(line) ? copy_packet : NULL,
                                   p->output, &frame);
        if (error)
            return error;
        error = note_frame(line, cutter, frame, given);
        if (!error)
            error = kz_ring_push(line->decoded, frame, kz_frame_bytes(frame));
        if (error) {
            kz_frame_close(&frame);
            return error;
        }
        given++;
        kz_line_count(line, KZ_STAGE_DECODE);
    }
}

/* KZ_END: there is none. */
static int look_for_damage(const kz_line *line)
{
    const kz_pipeline_params *p = line->params;
    if (kz_decoder_errors(p->decoder))
        return kz_fail(line->log, KZ_ERROR_FAILED, "the input is damaged: %lld packets",
                       (long long)kz_decoder_errors(p->decoder));
    if (kz_input_is_cut(p->input))
        return kz_fail(line->log, KZ_ERROR_FAILED, "the input ends too early");
    const int late = kz_input_check_late(p->input);
    return late ? late : KZ_END;
}

void kz_stage_decode(kz_line *line)
{
    kz_cutter *cutter = NULL;
    int error = 0;
    if (line->params->journal && kz_cutter_open(&cutter) != 0)
        error = kz_fail_memory(line->log, "the pipeline");
    if (!error)
        error = forward_frames(line, cutter);
    kz_cutter_close(&cutter);
    if (error == KZ_END && line->params->strict)
        error = look_for_damage(line);
    pthread_mutex_lock(&line->lock);
    line->damaged = kz_decoder_errors(line->params->decoder);
    pthread_mutex_unlock(&line->lock);
    if (error != KZ_END)
        kz_line_fail(line, error);
    if (copies(line))
        kz_output_copy_end(line->params->output);
    kz_ring_finish(line->decoded);
}
