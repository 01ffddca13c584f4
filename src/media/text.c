#include "media/text.h"

#include <libavutil/avstring.h>
#include <libavutil/intreadwrite.h>
#include <string.h>

#include "base/mem.h"

struct kz_text {
    AVCodecContext *decoder;
    kz_log *log;
    int stream;
    bool told; /* of letters that aren't UTF-8 */
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

/* ---- what isn't UTF-8 ---- */

static bool is_utf8(const uint8_t *text, const uint8_t *end)
{
    int32_t letter;
    while (text < end)
        if (av_utf8_decode(&letter, &text, end, 0) < 0)
            return false;
    return true;
}

/* Appends a letter, which fits. */
static void put(uint8_t **to, uint32_t letter)
{
    uint8_t byte;
    PUT_UTF8(letter, byte, *(*to)++ = byte;)
}

/* From behind the byte order mark on; half a pair at the end is left out. */
static void put_utf16(uint8_t **to, const uint8_t *from, const uint8_t *end, bool big)
{
    while (end - from >= 2) {
        uint32_t letter = big ? AV_RB16(from) : AV_RL16(from);
        from += 2;
        if (letter >= 0xD800 && letter < 0xDC00 && end - from >= 2) {
            const uint32_t low = big ? AV_RB16(from) : AV_RL16(from);
            letter = 0x10000 + ((letter - 0xD800) << 10 | (low & 0x3FF));
            from += 2;
        }
        put(to, letter < 0xD800 || letter > 0xDFFF ? letter : 0xFFFD);
    }
}

static void put_latin(uint8_t **to, const uint8_t *from, const uint8_t *end)
{
    while (from < end)
        put(to, *from++);
}

static void tell_latin(kz_text *text, double seconds)
{
    if (!text->told)
        kz_log_line(text->log, KZ_LOG_WARNING,
                    "stream %d: the subtitle at %.3f s isn't UTF-8: it and others like it are "
                    "taken as Latin-1",
                    text->stream, seconds);
    text->told = true;
}

/* A sample is its text's length, the text, and boxes about it. The text is UTF-8, or UTF-16 with a
 * mark; what is neither some programs have written in Latin-1. One that gets too long stays. */
static int repair(kz_text *text, AVPacket *av, double seconds)
{
    const size_t size = (size_t)av->size, length = size < 2 ? 0 : AV_RB16(av->data);
    if (length > size - FFMIN(size, 2) || is_utf8(av->data + 2, av->data + 2 + length))
        return 0;
    const uint8_t *from = av->data + 2, *end = from + length;
    const unsigned mark = length < 2 ? 0 : AV_RB16(from);
    AVPacket *fresh = av_packet_alloc();
    int code = fresh ? av_new_packet(fresh, (int)(size + length)) : AVERROR(ENOMEM);
    if (code >= 0)
        code = av_packet_copy_props(fresh, av);
    if (code >= 0) {
        uint8_t *to = fresh->data + 2;
        if (mark == 0xFEFF || mark == 0xFFFE) {
            put_utf16(&to, from + 2, end, mark == 0xFEFF);
        } else {
            tell_latin(text, seconds);
            put_latin(&to, from, end);
        }
        const size_t became = (size_t)(to - fresh->data) - 2;
        memcpy(to, end, size - 2 - length);
        AV_WB16(fresh->data, became);
        av_shrink_packet(fresh, (int)(size - length + became));
        if (became <= UINT16_MAX) {
            av_packet_unref(av);
            av_packet_move_ref(av, fresh);
        }
    }
    av_packet_free(&fresh);
    return code < 0 ? KZ_ERROR_MEMORY : 0;
}

/* ---- converting ---- */

/* Zeros behind the text, where boxes might stand, make libav's decoder refuse all of it. */
static int decode(const kz_text *text, AVSubtitle *subtitle, int *got, AVPacket *av)
{
    const int code = avcodec_decode_subtitle2(text->decoder, subtitle, got, av);
    const int whole = 2 + AV_RB16(av->data);
    if (code != AVERROR_INVALIDDATA || whole >= av->size)
        return code;
    av->size = whole;
    return avcodec_decode_subtitle2(text->decoder, subtitle, got, av);
}

int kz_text_convert(kz_text *text, kz_packet **packet)
{
    AVSubtitle subtitle = {0};
    AVPacket *av = (*packet)->av;
    const double seconds = (double)av->pts * av_q2d((*packet)->time_base);
    int got = 0, result = repair(text, av, seconds);
    /* A length alone says nothing. */
    const int code = result == 0 && av->size > 2 ? decode(text, &subtitle, &got, av) : 0;
    if (code < 0)
        result = kz_fail(text->log, KZ_ERROR_FAILED,
                         "stream %d: a subtitle at %.3f s: %s: --drop %d leaves the stream out",
                         text->stream, seconds, av_err2str(code), text->stream);
    const bool line = result == 0 && got && subtitle.num_rects > 0 && subtitle.rects[0]->ass;
    if (line)
        result = set_line(av, subtitle.rects[0]->ass);
    if (got)
        avsubtitle_free(&subtitle);
    if (!line || result != 0)
        kz_packet_close(packet);
    return result == KZ_ERROR_MEMORY ? kz_fail_memory(text->log, "a subtitle") : result;
}
