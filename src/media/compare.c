#include "media/compare_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "media/container.h"
#include "media/tags.h"

/* ---- tags and marks ---- */

static bool compare_tags(const kz_comparison *c, const AVStream *want, const AVStream *got,
                         const char *what, kz_report *report)
{
    const AVOutputFormat *format = c->expected->oformat;
    const char *key = kz_tag_missing(format, want->metadata, got->metadata);
    const int marks = want->disposition & kz_container_marks(format);
    if (key)
        kz_report_add(report, false, what, "its tag %s is missing or changed", key);
    else if (marks & ~got->disposition)
        kz_report_add(
            report, false, what, "its mark %s is missing",
            av_disposition_to_string((marks & ~got->disposition) & -(marks & ~got->disposition)));
    return !key && !(marks & ~got->disposition);
}

/* ---- the other streams ---- */

/* The n-th stream of one kind, or NULL. */
static AVStream *nth(const AVFormatContext *av, int n, bool attached)
{
    for (unsigned i = 0; i < av->nb_streams; i++)
        if (kz_is_attached(av->streams[i]) == attached && n-- == 0)
            return av->streams[i];
    return NULL;
}

static const char *first_difference(const kz_track *want, const kz_track *got)
{
    const size_t count = FFMIN(want->count, got->count);
    for (size_t i = 0; i < count; i++)
        if (want->stamps[i].hash != got->stamps[i].hash)
            return "their content differs";
    return "";
}

static void compare_track(const kz_comparison *c, int expected, kz_track *got, const char *what,
                          kz_report *report)
{
    kz_track *want = &c->ledger->tracks[expected];
    const int64_t moved = c->moved ? c->moved[expected] : 0;
    const double offset = kz_compare_offset(c), limit = kz_compare_tolerance(want, got, true);
    const char *differs = first_difference(want, got);
    if (want->count != got->count || differs[0]) {
        /* Some demuxers cut PCM and PGS into other pieces. */
        if (kz_track_same_content(want, got))
            kz_report_add(report, true, what, "all %zu bytes, in other packets", want->bytes);
        else
            kz_report_add(report, false, what, "%zu of %zu packets, %zu of %zu bytes%s%s",
                          got->count, want->count, got->bytes, want->bytes, differs[0] ? ": " : "",
                          differs);
        return;
    }
    const size_t off = kz_compare_times(want, got, offset, limit);
    if (off < want->count && moved)
        kz_report_add(report, true, what,
                      "all %zu packets, %lld of them moved in time: the input's "
                      "times don't grow",
                      want->count, (long long)moved);
    else if (off < want->count)
        kz_report_add(report, false, what, "packet %zu is at %.4f s instead of %.4f", off,
                      kz_track_seconds(got, off), kz_track_seconds(want, off) + offset);
    else
        kz_report_add(report, true, what, "all %zu packets, each at its time", want->count);
}

static bool is_mpeg_audio(enum AVCodecID codec)
{
    return codec == AV_CODEC_ID_MP1 || codec == AV_CODEC_ID_MP2 || codec == AV_CODEC_ID_MP3;
}

/* Some demuxers name a layer of MPEG audio before they have seen a packet. */
static bool same_codec(const AVCodecParameters *a, const AVCodecParameters *b)
{
    return a->codec_type == b->codec_type &&
           (a->codec_id == b->codec_id ||
            (is_mpeg_audio(a->codec_id) && is_mpeg_audio(b->codec_id)));
}

static void compare_stream(const kz_comparison *c, int expected, AVStream *got, kz_report *report)
{
    const AVStream *want = c->expected->streams[expected];
    const char *kind = av_get_media_type_string(want->codecpar->codec_type);
    char what[48];
    snprintf(what, sizeof(what), "stream %d (%s)", expected, kind ? kind : "data");
    if (!got || !same_codec(got->codecpar, want->codecpar)) {
        kz_report_add(report, false, what, "%s is there, %s is missing",
                      got ? avcodec_get_name(got->codecpar->codec_id) : "nothing",
                      avcodec_get_name(want->codecpar->codec_id));
        return;
    }
    if (compare_tags(c, want, got, what, report))
        compare_track(c, expected, &c->found->tracks[got->index], what, report);
}

/* What some muxers add by themselves: MP4's chapter text and timecode. */
static bool is_added(const AVStream *got, const AVStream *want)
{
    return got->codecpar->codec_type == AVMEDIA_TYPE_DATA &&
           (!want || want->codecpar->codec_type != AVMEDIA_TYPE_DATA);
}

/* A stream without a packet: many containers don't tell of it. */
static bool is_empty(const kz_comparison *c, unsigned stream)
{
    const kz_track *track = &c->ledger->tracks[stream];
    return track != c->ledger->video && track->count == 0;
}

static int compare_streams(const kz_comparison *c, kz_report *report)
{
    int result = 0, place = 0;
    for (unsigned i = 0; i < c->expected->nb_streams && result == 0; i++) {
        const AVStream *want = c->expected->streams[i];
        if (kz_is_attached(want))
            continue;
        AVStream *got = nth(c->found->av, place, false);
        while (got && is_added(got, want))
            got = nth(c->found->av, ++place, false);
        if (is_empty(c, i) && !(got && same_codec(got->codecpar, want->codecpar)))
            continue;
        place++;
        if (c->ledger->video == &c->ledger->tracks[i]) {
            c->found->video =
                got && got->codecpar->codec_type == AVMEDIA_TYPE_VIDEO ? got->index : -1;
            result = kz_compare_video(c, want, report);
            if (got)
                (void)compare_tags(c, want, got, "video", report);
        } else {
            compare_stream(c, (int)i, got, report);
        }
    }
    for (const AVStream *more; (more = nth(c->found->av, place, false)); place++)
        if (!is_added(more, NULL))
            kz_report_add(report, false, "streams", "there is one too many (%s)",
                          avcodec_get_name(more->codecpar->codec_id));
    return result;
}

/* ---- attachments ---- */

static const char *tag_of(const AVStream *stream, const char *key)
{
    const AVDictionaryEntry *entry = av_dict_get(stream->metadata, key, NULL, 0);
    return entry ? entry->value : "";
}

/* What is in it, wherever libav keeps it. */
static const uint8_t *content(const AVStream *stream, size_t *size)
{
    if (stream->disposition & AV_DISPOSITION_ATTACHED_PIC && stream->attached_pic.data) {
        *size = (size_t)stream->attached_pic.size;
        return stream->attached_pic.data;
    }
    *size = (size_t)stream->codecpar->extradata_size;
    return stream->codecpar->extradata;
}

static void compare_attachment(const kz_comparison *c, const AVStream *want, const AVStream *source,
                               const AVStream *got, int *equal, kz_report *report)
{
    const char *name = tag_of(want, "filename");
    size_t want_size = 0, got_size = 0;
    if (!got) {
        kz_report_add(report, false, "attachments", "%s is missing", name[0] ? name : "one");
        return;
    }
    const uint8_t *a = content(source, &want_size);
    const uint8_t *b = content(got, &got_size);
    if (want_size != got_size || (want_size && memcmp(a, b, want_size) != 0))
        kz_report_add(report, false, "attachments", "%s has changed", name[0] ? name : "one");
    else if (kz_container_is_matroska(c->expected->oformat) &&
             (strcmp(name, tag_of(got, "filename")) != 0 ||
              (tag_of(want, "mimetype")[0] &&
               strcmp(tag_of(want, "mimetype"), tag_of(got, "mimetype")) != 0)))
        kz_report_add(report, false, "attachments", "%s is now %s (%s)", name,
                      tag_of(got, "filename"), tag_of(got, "mimetype"));
    else
        ++*equal;
}

static void compare_attachments(const kz_comparison *c, kz_report *report)
{
    const kz_carrier *carrier = c->ledger->carrier;
    const int before = report->failures;
    int equal = 0, n = 0;
    for (int i = 0; i < carrier->input->count; i++) {
        const AVStream *source = carrier->input->av->streams[i];
        if (carrier->map[i] < 0 || !kz_is_attached(source))
            continue;
        compare_attachment(c, c->expected->streams[carrier->map[i]], source,
                           nth(c->found->av, n++, true), &equal, report);
    }
    if (nth(c->found->av, n, true))
        kz_report_add(report, false, "attachments", "there is one too many");
    if (n && report->failures == before)
        kz_report_add(report, true, "attachments", "all %d", equal);
}

/* ---- the rest ---- */

/* Where a muxer moves all streams so that none begins before zero, chapters stay. */
static bool same_chapter(const AVChapter *want, const AVChapter *got, double offset)
{
    const double difference =
        (double)got->start * av_q2d(got->time_base) - (double)want->start * av_q2d(want->time_base);
    const double limit = 0.0015 + fabs(offset);
    return fabs(difference) <= limit &&
           strcmp(av_dict_get(want->metadata, "title", NULL, 0)
                      ? av_dict_get(want->metadata, "title", NULL, 0)->value
                      : "",
                  av_dict_get(got->metadata, "title", NULL, 0)
                      ? av_dict_get(got->metadata, "title", NULL, 0)->value
                      : "") == 0;
}

static void compare_chapters(const kz_comparison *c, kz_report *report)
{
    const AVFormatContext *want = c->expected, *got = c->found->av;
    if (!want->nb_chapters || !kz_container_keeps_chapters(want->oformat))
        return;
    if (want->nb_chapters != got->nb_chapters) {
        kz_report_add(report, false, "chapters", "%u of %u are there", got->nb_chapters,
                      want->nb_chapters);
        return;
    }
    for (unsigned i = 0; i < want->nb_chapters; i++) {
        if (!same_chapter(want->chapters[i], got->chapters[i], kz_compare_offset(c))) {
            kz_report_add(report, false, "chapters", "chapter %u has another time or title", i + 1);
            return;
        }
    }
    kz_report_add(report, true, "chapters", "all %u", want->nb_chapters);
}

static void compare_global_tags(const kz_comparison *c, kz_report *report)
{
    const char *key =
        kz_tag_missing(c->expected->oformat, c->expected->metadata, c->found->av->metadata);
    if (key)
        kz_report_add(report, false, "tags", "%s is missing or changed", key);
    else if (av_dict_count(c->expected->metadata))
        kz_report_add(report, true, "tags", "all that a %s file can hold",
                      c->expected->oformat->name);
}

/* What the container had no place for. */
static void report_missing(const kz_comparison *c, kz_report *report)
{
    const kz_carrier *carrier = c->ledger->carrier;
    for (int i = 0; i < carrier->input->count; i++) {
        const AVCodecParameters *par = carrier->input->av->streams[i]->codecpar;
        if (carrier->forms[i] == KZ_CARRY_MISSING)
            kz_report_add(report, false, "streams",
                          "stream %d of the input (%s) has no place in a %s "
                          "file",
                          i, avcodec_get_name(par->codec_id), c->expected->oformat->name);
    }
}

int kz_compare(const kz_comparison *comparison, kz_report *report)
{
    const int result = compare_streams(comparison, report);
    compare_attachments(comparison, report);
    compare_chapters(comparison, report);
    compare_global_tags(comparison, report);
    report_missing(comparison, report);
    return result;
}
