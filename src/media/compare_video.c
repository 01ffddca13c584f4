#include "media/compare_internal.h"

#include <libavutil/display.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "media/fingerprint.h"

/* ---- times ---- */

double kz_compare_tolerance(const kz_track *want, const kz_track *got, bool copied)
{
    const double tick = av_q2d(got->base);
    return 1e-6 + (copied ? 2 * (tick + av_q2d(want->base)) : tick);
}

size_t kz_compare_times(const kz_track *want, const kz_track *got, double offset, double limit)
{
    const size_t count = FFMIN(want->count, got->count);
    for (size_t i = 0; i < count; i++)
        if (want->stamps[i].time != AV_NOPTS_VALUE &&
            fabs(kz_track_seconds(got, i) - kz_track_seconds(want, i) - offset) > limit)
            return i;
    return count;
}

static int by_time(const void *a, const void *b)
{
    const kz_stamp *x = a, *y = b;
    return (x->time > y->time) - (x->time < y->time);
}

/* Packets stand in decoding order, frames in the order of their times. */
static int sorted(kz_track *copy, const kz_track *track)
{
    *copy = (kz_track){.base = track->base, .count = track->count, .capacity = track->count};
    copy->stamps = kz_alloc(track->count, sizeof(*copy->stamps));
    if (!copy->stamps)
        return KZ_ERROR_MEMORY;
    if (track->count)
        memcpy(copy->stamps, track->stamps, track->count * sizeof(*copy->stamps));
    qsort(copy->stamps, copy->count, sizeof(*copy->stamps), by_time);
    return 0;
}

/* ---- the video ---- */

double kz_compare_offset(const kz_comparison *c)
{
    const kz_track *want = c->ledger->video;
    kz_track got;
    double offset = 0;
    if (c->found->video < 0 || !want->count || !c->found->tracks[c->found->video].count)
        return 0;
    if (sorted(&got, &c->found->tracks[c->found->video]) != 0)
        return 0;
    offset = kz_track_seconds(&got, 0) - kz_track_seconds(want, 0);
    kz_free(got.stamps);
    return offset;
}

static bool times_are_known(const kz_track *track)
{
    for (size_t i = 0; i < track->count; i++)
        if (track->stamps[i].time == AV_NOPTS_VALUE)
            return false;
    return true;
}

/* Frames against the file's packets. */
static int compare_frames(const kz_comparison *c, kz_report *report)
{
    const kz_track *want = c->ledger->video, *packets = &c->found->tracks[c->found->video];
    kz_track got;
    if (packets->count != want->count) {
        kz_report_add(report, false, "frames", "%zu of %zu are there", packets->count, want->count);
        return 0;
    }
    if (!times_are_known(packets)) {
        kz_report_add(report, true, "frames", "%zu; this container keeps no times", want->count);
        return 0;
    }
    if (sorted(&got, packets) != 0)
        return KZ_ERROR_MEMORY;
    const double offset = kz_compare_offset(c);
    const size_t off =
        kz_compare_times(want, &got, offset, kz_compare_tolerance(want, &got, false));
    if (off < want->count)
        kz_report_add(report, false, "frames", "frame %zu is shown at %.4f s instead of %.4f", off,
                      kz_track_seconds(&got, off), kz_track_seconds(want, off) + offset);
    else
        kz_report_add(report, true, "frames", "all %zu, each at its time", want->count);
    kz_free(got.stamps);
    return 0;
}

/* What the encoder gave is what was read back. */
static void compare_encoded(const kz_comparison *c, kz_report *report)
{
    if (c->encoded && !kz_track_same_content(c->encoded, &c->found->tracks[c->found->video]))
        kz_report_add(report, false, "video", "read back it isn't what the encoder gave");
}

/* Steps of 219 between black and white by which a cell's mean may change. Networks and encoders
 * stay below 4; a black cell or another picture is far above. */
#define MAX_CHANGE 24

/* The first frame whose picture is another one than the input's, or the count. */
static size_t first_changed(const kz_track *want, const kz_track *got)
{
    for (size_t i = 0; i < want->count; i++)
        if (kz_fingerprint_distance(want->stamps[i].hash, got->stamps[i].hash) > MAX_CHANGE)
            return i;
    return want->count;
}

static void compare_decoded(const kz_comparison *c, kz_report *report)
{
    const kz_track *want = c->ledger->video;
    if (!c->checker)
        return;
    const kz_track *got = &c->checker->frames;
    const double offset =
        got->count && want->count ? kz_track_seconds(got, 0) - kz_track_seconds(want, 0) : 0;
    if (c->checker->errors)
        kz_report_add(report, false, "decoding", "%lld packets or frames are damaged",
                      (long long)c->checker->errors);
    else if (got->count != want->count)
        kz_report_add(report, false, "decoding", "%zu of %zu frames come out", got->count,
                      want->count);
    else if (kz_compare_times(want, got, offset, kz_compare_tolerance(want, got, false)) <
             want->count)
        kz_report_add(report, false, "decoding", "the frames' times aren't the input's");
    else if (first_changed(want, got) < want->count)
        kz_report_add(report, false, "decoding", "frame %zu isn't the input's picture",
                      first_changed(want, got));
    else
        kz_report_add(report, true, "decoding", "all %zu frames decode", want->count);
}

static bool is_open(int tag)
{
    return tag == 2; /* "unspecified" in H.273's three tables */
}

static void compare_tag(kz_report *report, const char *name, int want, int got,
                        const char *want_name, const char *got_name)
{
    if (want != got && !(is_open(want) && got == 0) && !(want == 0 && is_open(got)))
        kz_report_add(report, false, "colour", "the %s is %s, the input's is %s", name,
                      got_name ? got_name : "unknown", want_name ? want_name : "unknown");
}

static void compare_colour(const kz_comparison *c, kz_report *report)
{
    const AVFrame *like = c->ledger->like;
    const AVCodecParameters *par = c->found->av->streams[c->found->video]->codecpar;
    const int before = report->failures;
    const bool full = kz_format_is_full(like->format, like->color_range);
    if (full != (par->color_range == AVCOL_RANGE_JPEG))
        kz_report_add(report, false, "colour", "the range is %s, the input's is %s",
                      full ? "limited" : "full", full ? "full" : "limited");
    compare_tag(report, "matrix", like->colorspace, par->color_space,
                av_color_space_name(like->colorspace), av_color_space_name(par->color_space));
    compare_tag(report, "set of primaries", like->color_primaries, par->color_primaries,
                av_color_primaries_name(like->color_primaries),
                av_color_primaries_name(par->color_primaries));
    compare_tag(report, "transfer", like->color_trc, par->color_trc,
                av_color_transfer_name(like->color_trc), av_color_transfer_name(par->color_trc));
    if (report->failures == before)
        kz_report_add(report, true, "colour",
                      "matrix, primaries, transfer and range as the input's");
}

static void compare_shape(const kz_comparison *c, kz_report *report)
{
    const AVFrame *like = c->ledger->like;
    AVStream *stream = c->found->av->streams[c->found->video];
    const AVCodecParameters *par = stream->codecpar;
    const AVRational pixel = av_guess_sample_aspect_ratio(c->found->av, stream, NULL);
    const double want = (double)like->width / like->height *
                        (like->sample_aspect_ratio.num > 0 ? av_q2d(like->sample_aspect_ratio) : 1);
    const double got = (double)par->width / par->height * (pixel.num > 0 ? av_q2d(pixel) : 1);
    /* Sides are rounded to even numbers. */
    const double slack = 3.0 / FFMIN(par->width, par->height) + 0.002;
    kz_report_add(report, fabs(got / want - 1) <= slack, "shape",
                  "%dx%d, shown as %.4f:1 (input %.4f)", par->width, par->height, got, want);
}

static double rotation(const AVStream *stream)
{
    size_t size = 0;
    const uint8_t *matrix = kz_stream_side_get(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    return matrix ? av_display_rotation_get((const int32_t *)(const void *)matrix) : 0;
}

static void compare_rotation(const kz_comparison *c, const AVStream *expected, kz_report *report)
{
    const double want = rotation(expected), got = rotation(c->found->av->streams[c->found->video]);
    if (fabs(want - got) > 0.5)
        kz_report_add(report, false, "rotation", "%g degrees, the input's is %g", got, want);
}

static const void *side_of(const kz_comparison *c, enum AVPacketSideDataType in_stream,
                           enum AVFrameSideDataType in_frame)
{
    size_t size = 0;
    const void *data = kz_stream_side_get(c->found->av->streams[c->found->video], in_stream, &size);
    const AVFrameSideData *side =
        !data && c->checker ? av_frame_get_side_data(c->checker->first, in_frame) : NULL;
    return side ? side->data : data;
}

static void compare_hdr(const kz_comparison *c, kz_report *report)
{
    const AVFrame *like = c->ledger->like;
    const AVFrameSideData *side =
        av_frame_get_side_data(like, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
    const AVMasteringDisplayMetadata *want = side ? (const void *)side->data : NULL;
    const AVMasteringDisplayMetadata *got = side_of(c, AV_PKT_DATA_MASTERING_DISPLAY_METADATA,
                                                    AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
    if (want && want->has_luminance && want->has_primaries)
        kz_report_add(report,
                      got && fabs(av_q2d(got->max_luminance) - av_q2d(want->max_luminance)) < 1,
                      "HDR10", "mastering display%s", got ? "" : " is missing");
    side = av_frame_get_side_data(like, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
    const AVContentLightMetadata *light = side ? (const void *)side->data : NULL;
    const AVContentLightMetadata *found =
        side_of(c, AV_PKT_DATA_CONTENT_LIGHT_LEVEL, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
    if (light)
        kz_report_add(report,
                      found && found->MaxCLL == light->MaxCLL && found->MaxFALL == light->MaxFALL,
                      "HDR10", "content light level%s", found ? "" : " is missing");
}

int kz_compare_video(const kz_comparison *c, const AVStream *expected, kz_report *report)
{
    if (c->found->video < 0) {
        kz_report_add(report, false, "video", "there is none");
        return 0;
    }
    const int result = compare_frames(c, report);
    compare_encoded(c, report);
    compare_decoded(c, report);
    compare_shape(c, report);
    compare_rotation(c, expected, report);
    compare_colour(c, report);
    compare_hdr(c, report);
    return result;
}
