#include "pipeline/join.h"

#include <string.h>

#include "base/mem.h"
#include "media/order.h"

struct join {
    const kz_pipeline_params *params;
    kz_log *log;
    kz_segment_marks marks;
    int64_t *decode; /* decoding times of all packets */
    size_t packet;   /* the next one's number */
    bool read_all;   /* of the input */
    kz_checker *checker;
};

static int read_marks(struct join *j)
{
    const kz_journal *journal = j->params->journal;
    int error = 0;
    for (int i = 0; i < kz_journal_segments(journal) && !error; i++) {
        char *path = kz_journal_segment_path(journal, i);
        error =
            path ? kz_segment_marks_add(&j->marks, path, j->log) : kz_fail_memory(j->log, "a path");
        kz_free(path);
    }
    if (!error) {
        j->decode = kz_alloc_raw(j->marks.n_packets, sizeof(*j->decode));
        if (!j->decode || kz_decoding_times(j->decode, j->marks.packets, j->marks.n_packets) != 0)
            error = kz_fail_memory(j->log, "the output");
    }
    return error;
}

/* One packet of the input on; its video was upscaled. */
static int read_one(struct join *j)
{
    kz_packet *packet = NULL;
    int error = kz_input_read(j->params->source, &packet);
    if (error == KZ_END) {
        j->read_all = true;
        kz_output_copy_end(j->params->output);
        return j->params->strict ? kz_input_check_late(j->params->source) : 0;
    }
    if (error)
        return error;
    if (kz_packet_is_video(packet)) {
        kz_packet_close(&packet);
        return 0;
    }
    /* Between two pictures, or behind the last, may lie hours of sound. */
    error = kz_output_copy(j->params->output, packet);
    return error ? error : kz_output_spill(j->params->output);
}

/* Reads the input as far as the packet needs, so that what is written doesn't depend on when. */
static int write_packet(struct join *j, kz_packet *packet)
{
    kz_output *output = j->params->output;
    int error = 0;
    kz_packet_set_decode(packet, j->decode[j->packet++]);
    while (!error && !j->read_all && kz_output_is_ahead(output, packet))
        error = read_one(j);
    if (error) {
        kz_packet_close(&packet);
        return error;
    }
    return kz_output_video(output, packet);
}

/* The tags of the first decoded frame; the others' times and fingerprints are in the segments. */
static int look_at(struct join *j, const kz_packet *packet)
{
    if (!j->checker || kz_checker_frames(j->checker))
        return 0;
    return kz_checker_packet(j->checker, packet);
}

static int check_digest(struct join *j, kz_segment *segment, int index)
{
    char digest[KZ_DIGEST_TEXT];
    kz_segment_digest(segment, digest);
    if (strcmp(digest, kz_journal_digest(j->params->journal, index)) == 0)
        return 0;
    (void)!kz_journal_cut(j->params->journal, index);
    return kz_fail(j->log, KZ_ERROR_FAILED,
                   "segment %d is damaged: the same command makes it and those after it again",
                   index);
}

static int write_segment(struct join *j, int index)
{
    kz_segment *segment = NULL;
    kz_packet *packet;
    char *path = kz_journal_segment_path(j->params->journal, index);
    int error = path ? kz_segment_open(&segment, path, j->log) : kz_fail_memory(j->log, "a path");
    kz_free(path);
    while (!error && !(error = kz_segment_read(segment, &packet))) {
        if (j->packet == j->marks.n_packets)
            error = kz_fail(j->log, KZ_ERROR_FAILED, "segment %d has changed", index);
        if (!error)
            error = look_at(j, packet);
        if (error)
            kz_packet_close(&packet);
        else
            error = write_packet(j, packet);
    }
    if (error == KZ_END)
        error = check_digest(j, segment, index);
    kz_segment_close(&segment);
    return error;
}

static int start(struct join *j, const kz_form *form)
{
    const kz_pipeline_params *p = j->params;
    int error = read_marks(j);
    if (!error && p->max_frames && (int64_t)j->marks.n_frames >= p->max_frames)
        kz_input_end_at(p->source, j->marks.frames[j->marks.n_frames - 1].time + 1,
                        kz_decoder_format(p->decoder)->time_base);
    if (!error && p->check)
        error = kz_checker_open(&j->checker, form, 1, j->log);
    if (!error)
        error = kz_output_marks(p->output, j->marks.frames, j->marks.n_frames);
    return error ? error : kz_output_start(p->output, form);
}

static int write_all(struct join *j)
{
    int error = 0;
    for (int i = 0; i < kz_journal_segments(j->params->journal) && !error; i++)
        error = write_segment(j, i);
    while (!error && !j->read_all)
        error = read_one(j);
    if (!error && j->checker && !kz_checker_frames(j->checker))
        error = kz_checker_packet(j->checker, NULL);
    if (!error && j->checker)
        error = kz_checker_replace(j->checker, j->marks.checked, j->marks.n_checked);
    return error;
}

int kz_join(const kz_pipeline_params *params, const kz_form *form, kz_log *log)
{
    struct join j = {.params = params, .log = log};
    int error = start(&j, form);
    if (!error)
        error = write_all(&j);
    if (!error)
        error = kz_journal_note_output(params->journal, kz_output_temporary(params->output));
    if (!error)
        error = kz_output_finish(params->output, j.checker);
    kz_checker_close(&j.checker);
    kz_segment_marks_close(&j.marks);
    kz_free(j.decode);
    return error;
}
