#include "media/decode.h"

#include <libavutil/pixdesc.h>
#include <string.h>

#include "base/mem.h"
#include "media/codec.h"
#include "media/fields.h"
#include "media/filter.h"
#include "media/internal.h"

/* A decoder that answers every call at the end with an error would never let go. */
#define MAX_ERRORS_IN_A_ROW 1000

struct kz_decoder {
    const kz_input *input;
    kz_codec *codec;
    kz_filter *filter; /* NULL: frames are given as they were decoded */
    AVFrame *frame;
    AVFrame *there; /* the same on a device, where it decodes and there is no filter; else blank */
    size_t device_memory;
    kz_log *log;
    int64_t next;   /* the timestamp after the last frame's; AV_NOPTS_VALUE before the first */
    int64_t last;   /* the last frame's timestamp */
    int64_t frames; /* given */
    int64_t errors; /* damaged packets */
    bool draining;
    bool uneven_met; /* the warning about timestamps is out */
    bool flushed;    /* the filter has been told of the end */
};

static int open_filter(kz_decoder *decoder, const kz_decoder_params *params)
{
    kz_fields fields = {0};
    /* Chosen by hand, it needs no look. */
    if (params->filter.deinterlace <= KZ_DEINTERLACE_OFF && !params->filter.ivtc)
        fields = kz_fields_find(decoder->input, params->input);
    return kz_filter_open(&decoder->filter, &params->filter, fields, decoder->input, decoder->log);
}

int kz_decoder_open(kz_decoder **decoder, const kz_input *input, const kz_decoder_params *params,
                    kz_log *log)
{
    *decoder = NULL;
    kz_decoder *fresh = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, "a decoder");
    fresh->input = input;
    fresh->log = log;
    fresh->next = fresh->last = AV_NOPTS_VALUE;
    fresh->frame = av_frame_alloc();
    fresh->there = av_frame_alloc();
    int result = fresh->frame && fresh->there ? 0 : kz_fail_memory(log, "a decoder");
    if (result == 0)
        result = kz_codec_open(&fresh->codec, input, params->threads, log);
    if (result == 0)
        result = open_filter(fresh, params);
    if (result != 0)
        kz_decoder_close(&fresh);
    *decoder = fresh;
    return result;
}

void kz_decoder_close(kz_decoder **decoder)
{
    kz_decoder *old = *decoder;
    if (!old)
        return;
    kz_filter_close(&old->filter);
    av_frame_free(&old->frame);
    av_frame_free(&old->there);
    kz_codec_close(&old->codec);
    kz_free(old);
    *decoder = NULL;
}

int kz_decoder_watch(kz_decoder *decoder, const kz_block_watch *watch)
{
    return decoder->filter ? 0 : kz_codec_watch(decoder->codec, watch);
}

/* References, pictures being put in order and libav's reserve, besides those given; for each there
 * is what it was decoded into and what is read. */
enum { MOST_SURFACES = 16 + 16 + 5 };

void kz_decoder_accelerate(kz_decoder *decoder, void *context, int held)
{
    const kz_video_format *format = &decoder->input->format;
    const size_t samples = (size_t)format->width * (size_t)format->height * 3 / 2;
    if (kz_codec_accelerate(decoder->codec, context, held))
        decoder->device_memory =
            2 * (size_t)(MOST_SURFACES + held) * samples * (format->depth > 8 ? 2 : 1);
}

size_t kz_decoder_device_memory(const kz_decoder *decoder)
{
    return decoder->device_memory;
}

/* Seconds in the source, for messages. */
static double source_time(const kz_decoder *decoder, int64_t timestamp)
{
    if (timestamp == AV_NOPTS_VALUE)
        return 0;
    const AVRational base = kz_input_video_stream(decoder->input)->time_base;
    return (double)timestamp * av_q2d(base) + decoder->input->start;
}

/* The first one is reported, the others only counted: a bad disc gives thousands. */
static void count_damage(kz_decoder *decoder, const char *what)
{
    if (decoder->errors++ == 0)
        kz_log_line(decoder->log, KZ_LOG_WARNING, "%s: damaged %s near %.3f s: %s",
                    decoder->input->name, kz_codec_name(decoder->codec),
                    source_time(decoder, decoder->last), what);
}

static int send(kz_decoder *decoder, const AVPacket *packet)
{
    const bool known = packet && packet->flags & AV_PKT_FLAG_CORRUPT;
    if (known)
        count_damage(decoder, "the packet is incomplete");
    const int code = kz_codec_send(decoder->codec, packet);
    if (code >= 0 || code == AVERROR_EOF)
        return 0;
    if (kz_codec_is_lost(decoder->codec))
        return KZ_ERROR_FAILED;
    if (code == AVERROR(ENOMEM) || code == AVERROR(EAGAIN))
        return kz_fail(decoder->log, KZ_ERROR_FAILED, "%s: decoder %s at %.3f s: %s",
                       decoder->input->name, kz_codec_name(decoder->codec),
                       source_time(decoder, decoder->last), av_err2str(code));
    if (!known)
        count_damage(decoder, av_err2str(code));
    return 0;
}

int kz_decoder_send(kz_decoder *decoder, kz_packet *packet)
{
    decoder->draining = decoder->draining || !packet;
    const int result = send(decoder, packet ? packet->av : NULL);
    kz_packet_close(&packet);
    return result;
}

/* What the frame lasts, at least one unit. */
static int64_t duration_of(const kz_decoder *decoder, const AVFrame *frame)
{
    const kz_ratio rate = decoder->input->format.frame_rate;
    int64_t duration = kz_frame_duration(frame);
    if (duration <= 0 && rate.num > 0)
        duration = av_rescale_q(1, (AVRational){rate.den, rate.num}, frame->time_base);
    return duration > 0 ? duration : 1;
}

static void set_time(kz_decoder *decoder, AVFrame *frame)
{
    int64_t time = frame->best_effort_timestamp;
    frame->time_base = kz_input_video_stream(decoder->input)->time_base;
    if (time == AV_NOPTS_VALUE)
        time = decoder->next == AV_NOPTS_VALUE ? 0 : decoder->next;
    if (decoder->last != AV_NOPTS_VALUE && time <= decoder->last) {
        if (!decoder->uneven_met)
            kz_log_line(decoder->log, KZ_LOG_WARNING,
                        "%s: a frame's time at %.3f s isn't after the one before: moved",
                        decoder->input->name, source_time(decoder, time));
        decoder->uneven_met = true;
        time = decoder->last + 1;
    }
    frame->pts = time;
    kz_frame_set_duration(frame, duration_of(decoder, frame));
    decoder->last = time;
    decoder->next = time + kz_frame_duration(frame);
}

static bool is_wanted(const kz_decoder *decoder, const AVFrame *frame)
{
    const kz_input *input = decoder->input;
    if (input->start > 0 && frame->pts < 0)
        return false;
    return frame->pts < input->streams[input->video].end;
}

static int check_format(const kz_decoder *decoder, const AVFrame *frame)
{
    const kz_video_format *format = &decoder->input->format;
    if (frame->width == format->width && frame->height == format->height &&
        frame->format == format->pixel_format)
        return 0;
    const char *name = av_get_pix_fmt_name(frame->format);
    return kz_fail(decoder->log, KZ_ERROR_FAILED,
                   "%s: the frame at %.3f s is %dx%d %s, the stream began as %dx%d %s",
                   decoder->input->name, source_time(decoder, frame->pts), frame->width,
                   frame->height, name ? name : "unknown", format->width, format->height,
                   format->pixel_name);
}

static int add_stream_side(const kz_decoder *decoder, AVFrame *frame,
                           enum AVPacketSideDataType from, enum AVFrameSideDataType to)
{
    size_t size = 0;
    const uint8_t *data = kz_stream_side_get(kz_input_video_stream(decoder->input), from, &size);
    if (!data || av_frame_get_side_data(frame, to))
        return 0;
    AVFrameSideData *side = av_frame_new_side_data(frame, to, size);
    if (!side)
        return kz_fail_memory(decoder->log, "a frame");
    memcpy(side->data, data, size);
    return 0;
}

/* Completes the frame just decoded. */
static int complete(kz_decoder *decoder)
{
    AVFrame *av = decoder->frame;
    const kz_ratio aspect = decoder->input->format.sample_aspect;
    int result = check_format(decoder, av);
    /* Where container and stream differ, the container is what players believe. */
    if (aspect.num > 0)
        av->sample_aspect_ratio = (AVRational){aspect.num, aspect.den};
    if (result == 0)
        result = add_stream_side(decoder, av, AV_PKT_DATA_MASTERING_DISPLAY_METADATA,
                                 AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
    if (result == 0)
        result = add_stream_side(decoder, av, AV_PKT_DATA_CONTENT_LIGHT_LEVEL,
                                 AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
    if (result == 0 && (av->decode_error_flags || av->flags & AV_FRAME_FLAG_CORRUPT))
        count_damage(decoder, "a frame decoded only in part");
    return result;
}

/* The next wanted frame, into decoder->frame. */
static int decode(kz_decoder *decoder)
{
    int failures = 0;
    while (failures < MAX_ERRORS_IN_A_ROW) {
        const int code = kz_codec_receive(decoder->codec, decoder->frame, decoder->there);
        if (code == AVERROR(EAGAIN))
            return KZ_AGAIN;
        if (code == AVERROR_EOF)
            return KZ_END;
        if (code == AVERROR(ENOMEM))
            return kz_fail_memory(decoder->log, "a frame");
        if (kz_codec_is_lost(decoder->codec))
            return KZ_ERROR_FAILED;
        if (code < 0) {
            failures++;
            count_damage(decoder, av_err2str(code));
            continue;
        }
        failures = 0;
        set_time(decoder, decoder->frame);
        if (is_wanted(decoder, decoder->frame))
            return complete(decoder);
        av_frame_unref(decoder->frame);
        av_frame_unref(decoder->there);
    }
    return decoder->draining ? KZ_END : KZ_AGAIN;
}

/* The next filtered frame, into decoder->frame. */
static int decode_filtered(kz_decoder *decoder)
{
    int result;
    while ((result = kz_filter_receive(decoder->filter, decoder->frame)) == KZ_AGAIN) {
        result = decode(decoder);
        if (result == KZ_AGAIN || (result == KZ_END && decoder->flushed))
            return result;
        if (result != 0 && result != KZ_END)
            return result;
        decoder->flushed = result == KZ_END;
        av_frame_unref(decoder->there);
        result = kz_filter_send(decoder->filter, result == KZ_END ? NULL : decoder->frame);
        if (result != 0)
            return result;
    }
    return result;
}

int kz_decoder_receive(kz_decoder *decoder, kz_frame **frame)
{
    int result = decoder->filter ? decode_filtered(decoder) : decode(decoder);
    if (result == 0 && kz_frame_wrap(frame, decoder->frame) != 0)
        result = kz_fail_memory(decoder->log, "a frame");
    if (result == 0 && decoder->there->buf[0] && kz_frame_place(*frame, decoder->there) != 0) {
        kz_frame_close(frame);
        result = kz_fail_memory(decoder->log, "a frame");
    }
    av_frame_unref(decoder->frame);
    av_frame_unref(decoder->there);
    decoder->frames += result == 0;
    return result;
}

const kz_video_format *kz_decoder_format(const kz_decoder *decoder)
{
    return decoder->filter ? kz_filter_format(decoder->filter) : &decoder->input->format;
}

int64_t kz_decoder_expected(const kz_decoder *decoder)
{
    const kz_ratio before = decoder->input->format.frame_rate;
    const kz_ratio after = kz_decoder_format(decoder)->frame_rate;
    const int64_t frames = kz_input_frames(decoder->input);
    if (before.num <= 0 || after.num <= 0)
        return frames;
    return av_rescale(frames, (int64_t)after.num * before.den, (int64_t)after.den * before.num);
}

int64_t kz_decoder_frames(const kz_decoder *decoder)
{
    return decoder->frames;
}

int64_t kz_decoder_errors(const kz_decoder *decoder)
{
    return decoder->errors;
}

bool kz_decoder_can_seek(const kz_decoder *decoder)
{
    return !decoder->filter;
}

int kz_decoder_seek(kz_decoder *decoder, kz_input *input, int64_t time)
{
    kz_codec_flush(decoder->codec);
    decoder->next = decoder->last = AV_NOPTS_VALUE;
    decoder->draining = false;
    return kz_input_seek(input, time);
}
