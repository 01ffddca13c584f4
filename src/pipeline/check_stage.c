#include "base/mem.h"
#include "pipeline/stages.h"

/* Decodes what was encoded, and in a run of segments keeps it. */
struct check {
    kz_line *line;
    kz_segment_writer *writer; /* of the segment under way */
    size_t checked;            /* frames decoded before it */
};

/* What doesn't decode ends the run at once, not after the last frame. */
static int look_for_errors(const kz_line *line)
{
    if (!line->checker || !kz_checker_errors(line->checker))
        return 0;
    return kz_fail(line->log, KZ_ERROR_FAILED, "what the encoder made can't be decoded again");
}

static int open_writer(struct check *c)
{
    kz_journal *journal = c->line->params->journal;
    char *path = kz_journal_segment_path(journal, kz_journal_segments(journal));
    if (!path)
        return kz_fail_memory(c->line->log, "a path");
    int error = kz_segment_create(&c->writer, path, c->line->log);
    kz_free(path);
    return error;
}

static int take_packet(struct check *c, const kz_packet *packet)
{
    kz_line *line = c->line;
    int error = 0;
    if (line->params->journal && !c->writer)
        error = open_writer(c);
    if (!error && c->writer)
        error = kz_segment_add(c->writer, packet);
    if (!error && line->checker)
        error = kz_checker_packet(line->checker, packet);
    if (!error)
        error = look_for_errors(line);
    if (!error)
        kz_line_count(line, KZ_STAGE_CHECK);
    return error;
}

static int end_segment(struct check *c, const kz_made *end)
{
    kz_line *line = c->line;
    kz_segment_info info;
    int error = line->checker ? kz_checker_flush(line->checker) : 0;
    if (!error)
        error = look_for_errors(line);
    if (!error && !c->writer)
        error = open_writer(c);
    if (!error)
        error = kz_segment_finish(&c->writer, end->marks, end->n_marks, line->checker, c->checked,
                                  &info);
    if (!error)
        error = kz_journal_add_segment(line->params->journal, &info);
    if (!error && line->checker)
        c->checked = kz_checker_frames(line->checker);
    return error;
}

void kz_stage_check(kz_line *line)
{
    struct check c = {.line = line};
    void *item;
    int error;
    while (!(error = kz_ring_pop(line->encoded, &item))) {
        kz_made *made = item;
        error = made->packet ? take_packet(&c, made->packet) : end_segment(&c, made);
        kz_made_close(&made);
        if (error)
            break;
    }
    if (error == KZ_END && line->checker && !line->params->journal)
        error = kz_checker_packet(line->checker, NULL) == 0 ? KZ_END : KZ_ERROR_MEMORY;
    kz_segment_abandon(&c.writer);
    if (error != KZ_END)
        kz_line_fail(line, error);
}
