#include "media/container.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <libavutil/mem.h>

/* Libav wraps anything else into a private stream that nobody can read. */
static bool mpegts_holds(enum AVCodecID codec)
{
    static const enum AVCodecID known[] = {AV_CODEC_ID_MPEG1VIDEO,
                                           AV_CODEC_ID_MPEG2VIDEO,
                                           AV_CODEC_ID_MPEG4,
                                           AV_CODEC_ID_H264,
                                           AV_CODEC_ID_HEVC,
                                           AV_CODEC_ID_VC1,
                                           AV_CODEC_ID_DIRAC,
                                           AV_CODEC_ID_CAVS,
                                           AV_CODEC_ID_MP1,
                                           AV_CODEC_ID_MP2,
                                           AV_CODEC_ID_MP3,
                                           AV_CODEC_ID_AAC,
                                           AV_CODEC_ID_AAC_LATM,
                                           AV_CODEC_ID_AC3,
                                           AV_CODEC_ID_EAC3,
                                           AV_CODEC_ID_DTS,
                                           AV_CODEC_ID_TRUEHD,
                                           AV_CODEC_ID_OPUS,
                                           AV_CODEC_ID_S302M,
                                           AV_CODEC_ID_PCM_BLURAY,
                                           AV_CODEC_ID_DVB_SUBTITLE,
                                           AV_CODEC_ID_DVB_TELETEXT,
                                           AV_CODEC_ID_HDMV_PGS_SUBTITLE};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i] == codec)
            return true;
    return false;
}

bool kz_container_holds(const AVOutputFormat *format, enum AVMediaType type, enum AVCodecID codec)
{
    if (type == AVMEDIA_TYPE_ATTACHMENT)
        return strcmp(format->name, "matroska") == 0;
    if (strcmp(format->name, "mpegts") == 0)
        return mpegts_holds(codec);
    /* Negative: libav doesn't know beforehand. */
    return avformat_query_codec(format, codec, FF_COMPLIANCE_EXPERIMENTAL) != 0;
}

const char *kz_container_advice(const AVOutputFormat *format, enum AVCodecID codec)
{
    if (strcmp(format->name, "matroska") != 0)
        return ": a .mkv file can hold most";
    if (codec == AV_CODEC_ID_MOV_TEXT)
        return ": it would have to be converted, which isn't done yet; a .mp4 file can hold it";
    return ": choose another container";
}

static bool has_tag(const AVOutputFormat *format, uint32_t tag, enum AVCodecID codec)
{
    return tag && format->codec_tag && av_codec_get_id(format->codec_tag, tag) == codec;
}

/* True for a key that tells of the stream as it was, and would be wrong from now on. Matroska may
 * add a language: "BPS-eng". */
static bool is_stale(const char *key, bool encoded)
{
    static const char *const counts[] = {"BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES"};
    if (strncasecmp(key, "_STATISTICS_", 12) == 0)
        return true;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const size_t length = strlen(counts[i]);
        if (strncasecmp(key, counts[i], length) == 0 && (!key[length] || key[length] == '-'))
            return true;
    }
    return encoded && strcasecmp(key, "encoder") == 0;
}

/* Copies all but stale keys; copied streams keep theirs unless they are cut. */
static int copy_metadata(AVStream *stream, const AVStream *from, bool encoded, bool cut)
{
    const AVDictionaryEntry *entry = NULL;
    while ((entry = av_dict_get(from->metadata, "", entry, AV_DICT_IGNORE_SUFFIX))) {
        if ((encoded || cut) && is_stale(entry->key, encoded))
            continue;
        if (av_dict_set(&stream->metadata, entry->key, entry->value, AV_DICT_MULTIKEY) < 0)
            return KZ_ERROR_MEMORY;
    }
    return 0;
}

static int add_side(AVStream *stream, enum AVPacketSideDataType type, const AVFrameSideData *side)
{
    return side ? kz_stream_side_add(stream, type, side->data, side->size) : 0;
}

/* What describes how to show the picture stays true of the larger one. */
static int keep_side(AVStream *stream, const AVStream *from, enum AVPacketSideDataType type)
{
    size_t size = 0;
    const uint8_t *data = kz_stream_side_get(from, type, &size);
    return data ? kz_stream_side_add(stream, type, data, size) : 0;
}

static int fill_video(AVStream *stream, const AVOutputFormat *format, const AVStream *from,
                      const kz_encoder *encoder)
{
    const AVCodecContext *context = kz_encoder_context(encoder);
    const uint32_t hvc1 = MKTAG('h', 'v', 'c', '1');
    if (avcodec_parameters_from_context(stream->codecpar, context) < 0)
        return KZ_ERROR_MEMORY;
    /* Apple's players know HEVC in MP4 by this tag only. */
    if (has_tag(format, hvc1, context->codec_id))
        stream->codecpar->codec_tag = hvc1;
    stream->time_base = context->time_base;
    stream->avg_frame_rate = context->framerate;
    stream->sample_aspect_ratio = context->sample_aspect_ratio;
    int result = keep_side(stream, from, AV_PKT_DATA_DISPLAYMATRIX);
    if (result == 0)
        result = keep_side(stream, from, AV_PKT_DATA_STEREO3D);
    if (result == 0)
        result = keep_side(stream, from, AV_PKT_DATA_SPHERICAL);
    if (result == 0)
        result = add_side(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA,
                          kz_encoder_side(encoder, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA));
    if (result == 0)
        result = add_side(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL,
                          kz_encoder_side(encoder, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL));
    return result;
}

/* Matroska refuses an attachment without a name or a type. */
static int name_attachment(AVStream *stream)
{
    char name[40];
    snprintf(name, sizeof(name), "attachment-%d", stream->index);
    int code = av_dict_set(&stream->metadata, "filename", name, AV_DICT_DONT_OVERWRITE);
    if (code >= 0 && stream->codecpar->codec_id == AV_CODEC_ID_NONE)
        code = av_dict_set(&stream->metadata, "mimetype", "application/octet-stream",
                           AV_DICT_DONT_OVERWRITE);
    return code < 0 ? KZ_ERROR_MEMORY : 0;
}

static int fill_copy(AVStream *stream, const AVOutputFormat *format, const AVStream *from)
{
    AVCodecParameters *par = stream->codecpar;
    if (avcodec_parameters_copy(par, from->codecpar) < 0 || kz_stream_side_copy(stream, from) != 0)
        return KZ_ERROR_MEMORY;
    if (!has_tag(format, par->codec_tag, par->codec_id))
        par->codec_tag = 0;
    /* Some demuxers give a block size for codecs that have none, and muxers believe it. */
    if (par->codec_id == AV_CODEC_ID_MP3 || par->codec_id == AV_CODEC_ID_AC3)
        par->block_align = 0;
    stream->time_base = from->time_base;
    stream->avg_frame_rate = from->avg_frame_rate;
    return par->codec_type == AVMEDIA_TYPE_ATTACHMENT ? name_attachment(stream) : 0;
}

static int add_stream(AVFormatContext *av, const kz_input *input, int index,
                      const kz_encoder *encoder)
{
    const AVStream *from = input->av->streams[index];
    const bool encoded = index == input->video;
    const bool cut = input->start > 0 || input->length != INT64_MAX;
    AVStream *stream = avformat_new_stream(av, NULL);
    if (!stream || copy_metadata(stream, from, encoded, cut) != 0)
        return KZ_ERROR_MEMORY;
    stream->disposition = from->disposition;
    return encoded ? fill_video(stream, av->oformat, from, encoder)
                   : fill_copy(stream, av->oformat, from);
}

/* The times of `from` counted from the start of the output, cut to its length; false: outside. */
static bool shift_chapter(AVChapter *chapter, const AVChapter *from, const kz_input *input)
{
    const int64_t shift = av_rescale_q(input->shift, AV_TIME_BASE_Q, from->time_base);
    const int64_t length = input->length == INT64_MAX
                               ? INT64_MAX
                               : av_rescale_q(input->length, AV_TIME_BASE_Q, from->time_base);
    chapter->id = from->id;
    chapter->time_base = from->time_base;
    chapter->start = FFMAX(0, from->start - shift);
    chapter->end = from->end == AV_NOPTS_VALUE ? AV_NOPTS_VALUE : from->end - shift;
    if (chapter->end != AV_NOPTS_VALUE && (chapter->end < 0 || (chapter->end == 0 && shift > 0)))
        return false;
    if (chapter->end != AV_NOPTS_VALUE)
        chapter->end = FFMIN(chapter->end, length);
    return chapter->start < length;
}

static int copy_chapters(AVFormatContext *av, const AVFormatContext *from, const kz_input *input)
{
    av->chapters = av_calloc(from->nb_chapters + 1, sizeof(*av->chapters));
    if (!av->chapters)
        return KZ_ERROR_MEMORY;
    for (unsigned i = 0; i < from->nb_chapters; i++) {
        AVChapter shifted = {0};
        if (!shift_chapter(&shifted, from->chapters[i], input))
            continue;
        AVChapter *chapter = av_memdup(&shifted, sizeof(shifted));
        if (!chapter)
            return KZ_ERROR_MEMORY;
        av->chapters[av->nb_chapters++] = chapter;
        if (av_dict_copy(&chapter->metadata, from->chapters[i]->metadata, 0) < 0)
            return KZ_ERROR_MEMORY;
    }
    return 0;
}

static int copy_global(AVFormatContext *av, const AVFormatContext *from)
{
    /* These describe the file that was, not what is in it. */
    static const char *const of_the_file[] = {"encoder", "major_brand", "minor_version",
                                              "compatible_brands"};
    if (av_dict_copy(&av->metadata, from->metadata, 0) < 0)
        return KZ_ERROR_MEMORY;
    for (size_t i = 0; i < sizeof(of_the_file) / sizeof(of_the_file[0]); i++)
        av_dict_set(&av->metadata, of_the_file[i], NULL, 0);
    return 0;
}

int kz_container_fill(AVFormatContext *av, int *map, const kz_input *input,
                      const kz_encoder *encoder)
{
    int result = copy_global(av, input->av);
    for (int i = 0; i < input->count && result == 0; i++) {
        map[i] = input->streams[i].used ? (int)av->nb_streams : -1;
        if (input->streams[i].used)
            result = add_stream(av, input, i, encoder);
    }
    return result == 0 ? copy_chapters(av, input->av, input) : result;
}
