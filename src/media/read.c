#include <libavutil/avstring.h>
#include <math.h>
#include <string.h>

#include "media/internal.h"
#include "media/payload.h"

/* How far past the wanted end of the video the other streams' packets may still lie in the file. */
#define INTERLEAVE_SECONDS 5

static int64_t first_of(int64_t a, int64_t b)
{
    return a != AV_NOPTS_VALUE ? a : b;
}

static void note_reached(kz_input *input, const AVPacket *packet)
{
    const int64_t begin = first_of(packet->pts, packet->dts);
    if (begin == AV_NOPTS_VALUE)
        return;
    const AVRational base = input->av->streams[packet->stream_index]->time_base;
    const int64_t end = av_rescale_q(begin + packet->duration, base, AV_TIME_BASE_Q);
    input->reached = FFMAX(input->reached, end);
}

/* These containers tell, as their length, when they end: a late beginning is part of it. */
static bool counts_from_zero(const AVInputFormat *format)
{
    return av_match_name("matroska", format->name) || av_match_name("mov", format->name) ||
           av_match_name("nut", format->name) || av_match_name("asf", format->name);
}

/* Libav says nothing of a file that merely stops, so its length is compared with the header's. */
static void warn_if_short(kz_input *input)
{
    const AVFormatContext *av = input->av;
    if (input->length != INT64_MAX || input->reached == INT64_MIN || av->duration <= 0 ||
        av->duration_estimation_method == AVFMT_DURATION_FROM_BITRATE)
        return;
    const bool from_zero = av->start_time == AV_NOPTS_VALUE || counts_from_zero(av->iformat);
    const int64_t begin = from_zero ? 0 : av->start_time;
    const double got = (double)(input->reached - begin) / AV_TIME_BASE;
    const double told = (double)av->duration / AV_TIME_BASE;
    input->cut = got < told - 1.0;
    if (input->cut)
        kz_log_line(input->remarks, KZ_LOG_WARNING,
                    "%s: ends after %.1f of %.1f seconds: the file seems to be truncated",
                    input->name, got, told);
}

static int end_of_input(kz_input *input, int code)
{
    if (code == AVERROR_EXIT || kz_input_cancelled(input))
        return KZ_ERROR_CANCELLED;
    if (code == AVERROR(ENOMEM))
        return kz_fail_memory(input->log, "a packet");
    const int io = input->av->pb ? input->av->pb->error : 0;
    if (io < 0 && io != AVERROR_EOF)
        return kz_fail(input->log, KZ_ERROR_FAILED, "%s: can't read on: %s", input->name,
                       av_err2str(io));
    if (code == AVERROR_EOF) {
        warn_if_short(input);
        return KZ_END;
    }
    input->cut = true;
    kz_log_line(input->remarks, KZ_LOG_WARNING,
                "%s: unreadable from here on, as if it ended (%s): is the file truncated?",
                input->name, av_err2str(code));
    return KZ_END;
}

static void shift(AVPacket *packet, int64_t by)
{
    if (packet->pts != AV_NOPTS_VALUE)
        packet->pts -= by;
    if (packet->dts != AV_NOPTS_VALUE)
        packet->dts -= by;
}

static bool is_known(kz_input *input, const AVPacket *packet)
{
    if (packet->stream_index < input->count)
        return input->streams[packet->stream_index].used;
    if (input->late_stream || !kz_input_wants(input, input->av->streams[packet->stream_index]))
        return false;
    kz_log_line(input->remarks, KZ_LOG_WARNING, "%s: stream %d begins midway and isn't copied",
                input->name, packet->stream_index);
    input->late_stream = packet->stream_index;
    return false;
}

/* 0: wanted, KZ_AGAIN: not, KZ_END: nothing that follows is. Frames outside of start and duration
 * are left to the decoder, which needs their packets for the others. */
static int wanted_video(kz_input *input, const AVPacket *packet)
{
    const int64_t end = input->streams[input->video].end;
    const int64_t decode = first_of(packet->dts, packet->pts);
    if (input->wait_key && !(packet->flags & AV_PKT_FLAG_KEY))
        return KZ_AGAIN;
    input->wait_key = false;
    if (decode != AV_NOPTS_VALUE && decode >= end) {
        const AVRational base = kz_input_video_stream(input)->time_base;
        return (double)(decode - end) * av_q2d(base) > INTERLEAVE_SECONDS ? KZ_END : KZ_AGAIN;
    }
    const int64_t time = first_of(packet->pts, packet->dts);
    if (time != AV_NOPTS_VALUE)
        input->mark = FFMAX(input->mark, time);
    return 0;
}

static int wanted_copy(const kz_input *input, const AVPacket *packet)
{
    const int64_t time = first_of(packet->pts, packet->dts);
    if (time == AV_NOPTS_VALUE)
        return 0;
    if (input->start > 0 && time < 0)
        return KZ_AGAIN;
    return time < input->streams[packet->stream_index].end ? 0 : KZ_AGAIN;
}

static int64_t step_of(const AVStream *stream, const AVPacket *packet)
{
    if (packet->duration > 0)
        return packet->duration;
    if (stream->avg_frame_rate.num <= 0)
        return 1;
    return FFMAX(1, av_rescale_q(1, av_inv_q(stream->avg_frame_rate), stream->time_base));
}

/* A video packet without a decoding time gets the least of the presentation times around it, as far
 * back as the codec reorders; before the first ones lie times that count down from them. */
static void complete_decoding_time(kz_input *input, AVPacket *packet)
{
    const AVStream *stream = input->av->streams[packet->stream_index];
    kz_input_stream *state = &input->streams[packet->stream_index];
    const int delay = av_clip(stream->codecpar->video_delay, 0, KZ_MAX_DELAY);
    if (stream->codecpar->codec_type != AVMEDIA_TYPE_VIDEO || packet->pts == AV_NOPTS_VALUE)
        return;
    for (; state->n_reordered < delay; state->n_reordered++)
        state->reordered[state->n_reordered] =
            packet->pts + (state->n_reordered - delay) * step_of(stream, packet);
    int i = state->n_reordered;
    for (; i > 0 && state->reordered[i - 1] > packet->pts; i--)
        state->reordered[i] = state->reordered[i - 1];
    state->reordered[i] = packet->pts;
    if (packet->dts == AV_NOPTS_VALUE)
        packet->dts = state->reordered[0];
    memmove(state->reordered, state->reordered + 1,
            (size_t)state->n_reordered * sizeof(state->reordered[0]));
}

/* A cover has no time: it belongs to every part of the file. */
static void place(const kz_input *input, AVPacket *packet)
{
    const AVStream *stream = input->av->streams[packet->stream_index];
    if (stream->disposition & AV_DISPOSITION_ATTACHED_PIC)
        packet->pts = packet->dts = 0;
    else
        shift(packet, input->streams[packet->stream_index].shift);
}

static int take(kz_input *input, kz_packet **packet)
{
    AVPacket *av = input->packet;
    note_reached(input, av);
    if (!is_known(input, av))
        return KZ_AGAIN;
    const int index = av->stream_index;
    place(input, av);
    const bool video = index == input->video;
    const int result = video ? wanted_video(input, av) : wanted_copy(input, av);
    if (result != 0)
        return result;
    if (!video)
        complete_decoding_time(input, av);
    if (input->streams[index].strip_adts) {
        const int header = kz_adts_header(av);
        av->data += header;
        av->size -= header;
    }
    if (kz_packet_wrap(packet, av, input->av->streams[index]->time_base) != 0)
        return kz_fail_memory(input->log, "a packet");
    (*packet)->video = video;
    (*packet)->mark = input->mark;
    return 0;
}

static int read_next(kz_input *input)
{
    kz_packet *ahead = input->ahead;
    if (!ahead)
        return av_read_frame(input->av, input->packet);
    input->ahead = ahead->next;
    av_packet_move_ref(input->packet, ahead->av);
    kz_packet_close(&ahead);
    return 0;
}

int kz_input_read(kz_input *input, kz_packet **packet)
{
    for (;;) {
        if (kz_input_cancelled(input))
            return KZ_ERROR_CANCELLED;
        const int code = read_next(input);
        if (code == AVERROR(EAGAIN))
            continue;
        if (code < 0)
            return end_of_input(input, code);
        const int result = take(input, packet);
        av_packet_unref(input->packet);
        if (result != KZ_AGAIN)
            return result;
    }
}

/* The timestamp of the next key frame, or AV_NOPTS_VALUE when none comes up to `limit`. */
static int64_t next_key(kz_input *input, int64_t limit)
{
    int64_t found = AV_NOPTS_VALUE;
    bool done = false;
    while (!done && !kz_input_cancelled(input) && av_read_frame(input->av, input->packet) >= 0) {
        const AVPacket *packet = input->packet;
        if (packet->stream_index == input->video) {
            const int64_t time = first_of(packet->pts, packet->dts);
            if (packet->flags & AV_PKT_FLAG_KEY)
                found = time;
            done = packet->flags & AV_PKT_FLAG_KEY || first_of(packet->dts, packet->pts) > limit;
        }
        av_packet_unref(input->packet);
    }
    return found;
}

/* Streams without an index seek by bisection, which may end anywhere near the beginning. */
static int rewind_input(kz_input *input)
{
    AVFormatContext *av = input->av;
    const bool indexless =
        strcmp(av->iformat->name, "mpegts") == 0 || strcmp(av->iformat->name, "mpeg") == 0;
    const int64_t begin = av->start_time == AV_NOPTS_VALUE ? 0 : av->start_time;
    const int code = indexless ? av_seek_frame(av, -1, 0, AVSEEK_FLAG_BYTE)
                               : av_seek_frame(av, -1, begin, AVSEEK_FLAG_BACKWARD);
    input->wait_key = false;
    if (code < 0)
        return kz_fail(input->log, KZ_ERROR_FAILED, "%s: can't seek to %g seconds", input->name,
                       input->start);
    return 0;
}

/* Some containers seek by decoding time, some to any packet near by: where the key frame found
 * there comes too late, a place further back is tried. */
int kz_input_seek(kz_input *input, int64_t time)
{
    AVFormatContext *av = input->av;
    if (av->pb && !(av->pb->seekable & AVIO_SEEKABLE_NORMAL))
        return 0;
    const AVRational base = kz_input_video_stream(input)->time_base;
    const int64_t target = input->streams[input->video].shift + time;
    const double from_begin = input->start + (double)time * av_q2d(base);
    bool moved = false;
    for (double back = 0.25; back < from_begin; back = back * 4) {
        const int64_t place = target - llrint(back / av_q2d(base));
        if (av_seek_frame(av, input->video, place, AVSEEK_FLAG_BACKWARD) < 0)
            break;
        moved = true;
        const int64_t key = next_key(input, target);
        if (kz_input_cancelled(input))
            return KZ_ERROR_CANCELLED;
        if (key == AV_NOPTS_VALUE || key > target)
            continue;
        input->wait_key = true;
        if (av_seek_frame(av, input->video, place, AVSEEK_FLAG_BACKWARD) >= 0)
            return 0;
        break;
    }
    return moved ? rewind_input(input) : 0;
}

int kz_input_late_stream(const kz_input *input)
{
    return input->late_stream;
}

int kz_input_check_late(const kz_input *input)
{
    const int stream = input->late_stream;
    return stream ? kz_fail(input->log, KZ_ERROR_FAILED,
                            "%s: stream %d begins midway and can't be copied: --drop %d goes on "
                            "without it",
                            input->name, stream, stream)
                  : 0;
}

bool kz_input_is_cut(const kz_input *input)
{
    return input->cut;
}
