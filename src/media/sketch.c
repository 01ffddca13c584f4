#include "media/sketch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "media/internal.h"

struct kz_sketch {
    char *path, *part; /* the file under its names, before and behind the end */
    kz_log *log;
    kz_video_format format;
    AVFormatContext *file;
    AVCodecContext *encoder;
    AVFrame *frame;
    AVPacket *packet;
    bool begun;             /* the header is written */
    bool written, finished; /* all of the file; and it has its name */
};

static int failed(const kz_sketch *s, const char *what, int code)
{
    char reason[AV_ERROR_MAX_STRING_SIZE];
    return kz_fail(s->log, KZ_ERROR_FAILED, "%s: %s: %s", s->path, what,
                   av_make_error_string(reason, sizeof(reason), code));
}

static int open_encoder(kz_sketch *s)
{
    const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
    AVCodecContext *e = s->encoder = avcodec_alloc_context3(codec);
    if (!e)
        return kz_fail_memory(s->log, s->path);
    e->width = s->format.width;
    e->height = s->format.height;
    e->pix_fmt = s->format.pixel_format;
    e->time_base = s->frame->time_base;
    e->sample_aspect_ratio = s->frame->sample_aspect_ratio;
    e->color_range = s->frame->color_range;
    e->colorspace = s->frame->colorspace;
    e->thread_count = 1; /* the network needs the others */
    e->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    AVDictionary *options = NULL;
    av_dict_set(&options, "preset", "ultrafast", 0);
    av_dict_set(&options, "crf", "20", 0);
    kz_av_note note = {0};
    e->opaque = &note;
    const int code = codec ? avcodec_open2(e, codec, &options) : AVERROR_ENCODER_NOT_FOUND;
    e->opaque = NULL;
    av_dict_free(&options);
    return code < 0 ? kz_fail(s->log, KZ_ERROR_USAGE, "%s: H.264 of %s: %s", s->path,
                              s->format.pixel_name, kz_av_reason_of(code, &note).text)
                    : 0;
}

static int write_header(kz_sketch *s)
{
    AVStream *stream = avformat_new_stream(s->file, NULL);
    if (!stream || avcodec_parameters_from_context(stream->codecpar, s->encoder) < 0)
        return kz_fail_memory(s->log, s->path);
    stream->time_base = s->encoder->time_base;
    const int code = avformat_write_header(s->file, NULL);
    return code < 0 ? failed(s, "cannot write", code) : 0;
}

static int open_file(kz_sketch *s)
{
    if (avformat_alloc_output_context2(&s->file, NULL, "matroska", s->part) < 0)
        return kz_fail_memory(s->log, s->path);
    const int code = avio_open(&s->file->pb, s->part, AVIO_FLAG_WRITE);
    return code < 0 ? failed(s, "cannot write", code) : 0;
}

int kz_sketch_open(kz_sketch **sketch, const char *path, const kz_video_format *format, kz_log *log)
{
    kz_sketch *s = *sketch = kz_alloc(1, sizeof(*s));
    if (!s)
        return kz_fail_memory(log, path);
    s->log = log;
    s->format = *format;
    s->path = kz_strdup(path);
    s->part = kz_asprintf("%s.part", path);
    s->frame = av_frame_alloc();
    s->packet = av_packet_alloc();
    int error =
        s->path && s->part && s->frame && s->packet ? open_file(s) : kz_fail_memory(log, path);
    if (error)
        kz_sketch_close(sketch);
    return error;
}

const char *kz_sketch_temporary(const kz_sketch *sketch)
{
    return sketch->part;
}

void kz_sketch_close(kz_sketch **sketch)
{
    kz_sketch *s = *sketch;
    if (!s)
        return;
    const bool left = s->file && s->file->pb;
    if (left)
        avio_closep(&s->file->pb);
    avformat_free_context(s->file);
    avcodec_free_context(&s->encoder);
    av_frame_free(&s->frame);
    av_packet_free(&s->packet);
    if (left || (s->written && !s->finished))
        unlink(s->part);
    kz_free(s->path);
    kz_free(s->part);
    kz_free(s);
    *sketch = NULL;
}

/* The first frame tells the time base and the tags. */
static int begin_file(kz_sketch *s)
{
    const int error = open_encoder(s);
    s->begun = true;
    return error ? error : write_header(s);
}

int kz_sketch_begin(kz_sketch *s, const kz_frame *frame, kz_picture *picture)
{
    av_frame_unref(s->frame);
    s->frame->format = frame->av->format;
    s->frame->width = frame->av->width;
    s->frame->height = frame->av->height;
    if (av_frame_get_buffer(s->frame, 0) < 0 || av_frame_copy(s->frame, frame->av) < 0)
        return kz_fail_memory(s->log, s->path);
    s->frame->pts = frame->av->pts;
    s->frame->time_base = frame->av->time_base;
    s->frame->color_range = frame->av->color_range;
    s->frame->colorspace = frame->av->colorspace;
    s->frame->sample_aspect_ratio = frame->av->sample_aspect_ratio;
    const kz_frame view = {.av = s->frame};
    *picture = kz_frame_picture(&view);
    return s->begun ? 0 : begin_file(s);
}

static int write_packets(kz_sketch *s)
{
    int code;
    while ((code = avcodec_receive_packet(s->encoder, s->packet)) >= 0) {
        av_packet_rescale_ts(s->packet, s->encoder->time_base, s->file->streams[0]->time_base);
        code = av_interleaved_write_frame(s->file, s->packet);
        if (code < 0)
            return failed(s, "cannot write", code);
    }
    return code == AVERROR(EAGAIN) || code == AVERROR_EOF ? 0 : failed(s, "H.264", code);
}

int kz_sketch_put(kz_sketch *s)
{
    const int code = avcodec_send_frame(s->encoder, s->frame);
    return code < 0 ? failed(s, "H.264", code) : write_packets(s);
}

int kz_sketch_finish(kz_sketch *s)
{
    if (!s->begun)
        return 0;
    s->written = true;
    int code = avcodec_send_frame(s->encoder, NULL);
    int error = code < 0 ? failed(s, "H.264", code) : write_packets(s);
    if (error)
        return error;
    code = av_write_trailer(s->file);
    const int closed = avio_closep(&s->file->pb);
    if (code < 0 || closed < 0)
        return failed(s, "cannot write", code < 0 ? code : closed);
    if (rename(s->part, s->path) != 0)
        return failed(s, "cannot rename", AVERROR(errno));
    s->finished = true;
    return 0;
}
