#include "media/fill.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <libavutil/mem.h>

#include "media/choice.h"
#include "media/container.h"
#include "media/tags.h"

static bool has_tag(const AVOutputFormat *format, uint32_t tag, enum AVCodecID codec)
{
    return tag && format->codec_tag && av_codec_get_id(format->codec_tag, tag) == codec;
}

/* Copies all but stale keys, and those that the container can't hold: muxers refuse some, and make
 * something else of others. Copied streams keep theirs unless they are cut. */
static int copy_metadata(AVStream *stream, const AVOutputFormat *format, const kz_input *input,
                         const AVStream *from, bool encoded)
{
    const bool cut = input->start > 0 || input->length != INT64_MAX;
    const AVDictionaryEntry *entry = NULL;
    while ((entry = av_dict_get(from->metadata, "", entry, AV_DICT_IGNORE_SUFFIX))) {
        if (kz_carry_is_stale(entry->key, encoded, cut) ||
            !kz_tag_is_kept(format, input->av, from, entry))
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
                      const kz_form *form)
{
    const uint32_t hvc1 = MKTAG('h', 'v', 'c', '1');
    if (avcodec_parameters_copy(stream->codecpar, form->par) < 0)
        return KZ_ERROR_MEMORY;
    /* Apple's players know HEVC in MP4 by this tag only. */
    if (has_tag(format, hvc1, form->par->codec_id))
        stream->codecpar->codec_tag = hvc1;
    stream->time_base = form->time_base;
    stream->avg_frame_rate = form->frame_rate;
    stream->sample_aspect_ratio = form->par->sample_aspect_ratio;
    int result = 0;
    /* Where it can't be kept the picture itself has been turned. */
    if (kz_container_keeps_rotation(format))
        result = keep_side(stream, from, AV_PKT_DATA_DISPLAYMATRIX);
    if (result == 0)
        result = keep_side(stream, from, AV_PKT_DATA_STEREO3D);
    if (result == 0)
        result = keep_side(stream, from, AV_PKT_DATA_SPHERICAL);
    if (result == 0)
        result =
            add_side(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA,
                     av_frame_get_side_data(form->like, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA));
    if (result == 0)
        result = add_side(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL,
                          av_frame_get_side_data(form->like, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL));
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

/* A cover picture's one packet is the attachment's content. */
static int fill_picture(AVStream *stream, const AVStream *from)
{
    const AVPacket *picture = &from->attached_pic;
    AVCodecParameters *par = stream->codecpar;
    char name[40];
    par->codec_type = AVMEDIA_TYPE_ATTACHMENT;
    par->codec_id = from->codecpar->codec_id;
    par->extradata = av_mallocz((size_t)picture->size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!par->extradata)
        return KZ_ERROR_MEMORY;
    memcpy(par->extradata, picture->data, (size_t)picture->size);
    par->extradata_size = picture->size;
    stream->disposition = 0;
    snprintf(name, sizeof(name), "cover.%s",
             par->codec_id == AV_CODEC_ID_MJPEG ? "jpg" : avcodec_get_name(par->codec_id));
    return av_dict_set(&stream->metadata, "filename", name, AV_DICT_DONT_OVERWRITE) < 0
               ? KZ_ERROR_MEMORY
               : 0;
}

static int fill_text(AVStream *stream, const AVStream *from, const kz_text *text)
{
    AVCodecParameters *par = stream->codecpar;
    size_t size = 0;
    const uint8_t *header = kz_text_header(text, &size);
    par->codec_type = AVMEDIA_TYPE_SUBTITLE;
    par->codec_id = AV_CODEC_ID_ASS;
    par->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!par->extradata)
        return KZ_ERROR_MEMORY;
    memcpy(par->extradata, header, size);
    par->extradata_size = (int)size;
    stream->time_base = from->time_base;
    return 0;
}

static int add_stream(AVFormatContext *av, const kz_carrier *carrier, int index,
                      const kz_form *form)
{
    const kz_input *input = carrier->input;
    const AVStream *from = input->av->streams[index];
    const enum kz_carry how = carrier->forms[index];
    AVStream *stream = avformat_new_stream(av, NULL);
    if (!stream || copy_metadata(stream, av->oformat, input, from, how == KZ_CARRY_VIDEO) != 0)
        return KZ_ERROR_MEMORY;
    stream->disposition = from->disposition;
    switch (how) {
    case KZ_CARRY_VIDEO:
        stream->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
        return form ? fill_video(stream, av->oformat, from, form) : 0;
    case KZ_CARRY_PICTURE:
        return fill_picture(stream, from);
    case KZ_CARRY_ASS:
        return fill_text(stream, from, carrier->texts[index]);
    default:
        return fill_copy(stream, av->oformat, from);
    }
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
    const AVDictionaryEntry *entry = NULL;
    while ((entry = av_dict_get(from->metadata, "", entry, AV_DICT_IGNORE_SUFFIX)))
        if (!kz_carry_is_of_the_file(entry->key) &&
            kz_tag_is_kept(av->oformat, from, NULL, entry) &&
            av_dict_set(&av->metadata, entry->key, entry->value, AV_DICT_MULTIKEY) < 0)
            return KZ_ERROR_MEMORY;
    return 0;
}

int kz_fill(AVFormatContext *av, const kz_carrier *carrier, const kz_form *form)
{
    const kz_input *input = carrier->input;
    int result = copy_global(av, input->av);
    for (int i = 0; i < input->count && result == 0; i++)
        if (carrier->map[i] >= 0)
            result = add_stream(av, carrier, i, form);
    if (result != 0 || kz_choice_drops(&input->choice, "chapters"))
        return result;
    return copy_chapters(av, input->av, input);
}
