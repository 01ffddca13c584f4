#include "media/text.h"

#include <string.h>

#include "base/mem.h"

struct kz_text {
    AVCodecContext *decoder;
    kz_log *log;
    int stream;
};

int kz_text_open(kz_text **text, const AVStream *stream, kz_log *log)
{
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    kz_text *fresh = *text = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, "subtitles");
    fresh->log = log;
    fresh->stream = stream->index;
    fresh->decoder = avcodec_alloc_context3(codec);
    int code = fresh->decoder ? avcodec_parameters_to_context(fresh->decoder, stream->codecpar)
                              : AVERROR(ENOMEM);
    if (code >= 0) {
        fresh->decoder->pkt_timebase = stream->time_base;
        code = avcodec_open2(fresh->decoder, codec, NULL);
    }
    if (code >= 0)
        return 0;
    kz_text_close(text);
    return kz_fail(log, code == AVERROR(ENOMEM) ? KZ_ERROR_MEMORY : KZ_ERROR_FAILED,
                   "stream %d: subtitle decoder: %s", stream->index, av_err2str(code));
}

void kz_text_close(kz_text **text)
{
    if (!*text)
        return;
    avcodec_free_context(&(*text)->decoder);
    kz_free(*text);
    *text = NULL;
}

const uint8_t *kz_text_header(const kz_text *text, size_t *size)
{
    *size = (size_t)text->decoder->subtitle_header_size;
    return text->decoder->subtitle_header;
}

/* Puts the line into `av`, whose times stay. */
static int set_line(AVPacket *av, const char *line)
{
    AVPacket *fresh = av_packet_alloc();
    const size_t length = strlen(line);
    int code = fresh ? av_new_packet(fresh, (int)length) : AVERROR(ENOMEM);
    if (code >= 0) {
        memcpy(fresh->data, line, length);
        fresh->pts = av->pts;
        fresh->dts = av->dts;
        fresh->duration = av->duration;
        fresh->stream_index = av->stream_index;
        fresh->flags = av->flags;
        av_packet_unref(av);
        av_packet_move_ref(av, fresh);
    }
    av_packet_free(&fresh);
    return code < 0 ? KZ_ERROR_MEMORY : 0;
}

int kz_text_convert(kz_text *text, kz_packet **packet)
{
    AVSubtitle subtitle = {0};
    AVPacket *av = (*packet)->av;
    int got = 0, result = 0;
    const int code = avcodec_decode_subtitle2(text->decoder, &subtitle, &got, av);
    if (code < 0)
        result =
            kz_fail(text->log, KZ_ERROR_FAILED, "stream %d: a subtitle at %.3f s: %s", text->stream,
                    (double)av->pts * av_q2d((*packet)->time_base), av_err2str(code));
    const bool line = result == 0 && got && subtitle.num_rects > 0 && subtitle.rects[0]->ass;
    if (line)
        result = set_line(av, subtitle.rects[0]->ass);
    if (got)
        avsubtitle_free(&subtitle);
    if (!line || result != 0)
        kz_packet_close(packet);
    return result == KZ_ERROR_MEMORY ? kz_fail_memory(text->log, "a subtitle") : result;
}
