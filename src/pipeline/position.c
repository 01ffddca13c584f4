#include "pipeline/position.h"

#include "base/mem.h"
#include "pipeline/source.h"

struct way {
    kz_position *position;
    kz_segment_marks marks;
    size_t last; /* first frame of the last segment */
    kz_log *log;
};

static int read_marks(struct way *way)
{
    const kz_journal *journal = way->position->journal;
    int error = 0;
    for (int i = 0; i < kz_journal_segments(journal) && !error; i++) {
        char *path = kz_journal_segment_path(journal, i);
        way->last = way->marks.n_frames;
        error = path ? kz_segment_marks_add(&way->marks, path, way->log)
                     : kz_fail_memory(way->log, "a path");
        kz_free(path);
    }
    return error;
}

/* KZ_AGAIN: it is another frame than the marks say. */
static int next_frame(struct way *way, kz_frame **frame, size_t index)
{
    int error = kz_source_next(way->position->input, way->position->decoder, NULL, NULL, frame);
    if (error)
        return error == KZ_END ? KZ_AGAIN : error;
    if (kz_frame_examine(*frame) != 0)
        error = kz_fail_memory(way->log, "a frame");
    else if (kz_frame_get_mark(*frame)->hash != way->marks.frames[index].hash)
        error = KZ_AGAIN;
    if (error)
        kz_frame_close(frame);
    return error;
}

static int pass_frames(struct way *way, size_t from)
{
    int error = 0;
    for (size_t i = from; i < way->marks.n_frames && !error; i++) {
        kz_frame *frame = NULL;
        error = next_frame(way, &frame, i);
        kz_frame_close(&frame);
    }
    return error;
}

static int take_first(struct way *way)
{
    return next_frame(way, &way->position->first, 0);
}

/* What lies before the last segment is of no interest; its frames must be those of the marks. */
static int seek_last(struct way *way)
{
    const kz_frame_mark *begin = &way->marks.frames[way->last];
    kz_frame *frame = NULL;
    bool found = false;
    int error = kz_decoder_seek(way->position->decoder, way->position->input, begin->time);
    while (!error && !found) {
        error = kz_source_next(way->position->input, way->position->decoder, NULL, NULL, &frame);
        if (error)
            return error == KZ_END ? KZ_AGAIN : error;
        if (kz_frame_examine(frame) != 0)
            error = kz_fail_memory(way->log, "a frame");
        const kz_frame_mark *mark = kz_frame_get_mark(frame);
        found = !error && mark->time >= begin->time;
        if (found && mark->hash != begin->hash)
            error = KZ_AGAIN;
        kz_frame_close(&frame);
    }
    return error ? error : pass_frames(way, way->last + 1);
}

static int go(struct way *way, bool seek)
{
    int error = read_marks(way);
    if (!error && way->marks.n_frames)
        error = take_first(way);
    if (error || !way->marks.n_frames)
        return error;
    if (seek && way->last > 0 && kz_decoder_can_seek(way->position->decoder))
        return seek_last(way);
    return pass_frames(way, 1);
}

int kz_position_go(kz_position *position, bool seek, kz_log *log)
{
    struct way way = {.position = position, .log = log};
    int error = go(&way, seek);
    kz_segment_marks_close(&way.marks);
    if (error)
        kz_frame_close(&position->first);
    if (error == KZ_AGAIN && !seek)
        return kz_fail(log, KZ_ERROR_FAILED,
                       "the input decodes to other frames than in the unfinished run: --restart "
                       "begins anew");
    return error;
}
