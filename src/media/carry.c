#include "media/carry.h"

#include <libavutil/bprint.h>
#include <string.h>
#include <strings.h>

#include "media/choice.h"
#include "media/container.h"
#include "media/tags.h"

static bool is_cover(const AVStream *stream)
{
    return stream->disposition & AV_DISPOSITION_ATTACHED_PIC;
}

static enum kz_carry carry_cover(const AVStream *stream, const AVOutputFormat *format)
{
    if (!kz_container_holds_cover(format, stream->codecpar->codec_id))
        return KZ_CARRY_MISSING;
    return kz_container_is_matroska(format) ? KZ_CARRY_PICTURE : KZ_CARRY_PACKETS;
}

static bool is_timecode(const AVStream *stream)
{
    return stream->codecpar->codec_tag == MKTAG('t', 'm', 'c', 'd') &&
           av_dict_get(stream->metadata, "timecode", NULL, 0);
}

/* In a plain transport stream libav's muxer writes them as a stream of no known kind. */
static bool is_misplaced_pgs(const AVCodecParameters *par, const kz_vessel *vessel)
{
    return par->codec_id == AV_CODEC_ID_HDMV_PGS_SUBTITLE &&
           strcmp(vessel->format->name, "mpegts") == 0 &&
           !(vessel->path && av_match_ext(vessel->path, "m2ts"));
}

/* Libavformat's muxers refuse such a stream. A transport stream may announce one that never comes.
 */
static bool is_unknown(const AVCodecParameters *par, const AVOutputFormat *format)
{
    if (par->codec_type == AVMEDIA_TYPE_AUDIO)
        return par->sample_rate <= 0;
    return par->codec_type == AVMEDIA_TYPE_VIDEO && !(format->flags & AVFMT_NODIMENSIONS) &&
           (par->width <= 0 || par->height <= 0);
}

enum kz_carry kz_carry_of(const kz_input *input, int index, const kz_vessel *vessel)
{
    const AVOutputFormat *format = vessel->format;
    const AVStream *stream = input->av->streams[index];
    const AVCodecParameters *par = stream->codecpar;
    if (!input->streams[index].used)
        return KZ_CARRY_NOT;
    if (index == input->video)
        return kz_container_holds(format, AVMEDIA_TYPE_VIDEO, vessel->video) ? KZ_CARRY_VIDEO
                                                                             : KZ_CARRY_MISSING;
    if (kz_container_is_video_only(format) || is_misplaced_pgs(par, vessel) ||
        is_unknown(par, format))
        return KZ_CARRY_MISSING;
    if (is_timecode(stream))
        return KZ_CARRY_TIMECODE;
    if (is_cover(stream))
        return carry_cover(stream, format);
    if (par->codec_id == AV_CODEC_ID_MOV_TEXT && kz_container_is_matroska(format))
        return KZ_CARRY_ASS;
    return kz_container_holds(format, par->codec_type, par->codec_id) ? KZ_CARRY_PACKETS
                                                                      : KZ_CARRY_MISSING;
}

/* ---- what is to be said ---- */

static const char *kind_of(const AVStream *stream)
{
    const char *kind = av_get_media_type_string(stream->codecpar->codec_type);
    return is_cover(stream) ? "cover picture" : kind ? kind : "unknown";
}

static int refuse(const kz_input *input, int index, const kz_vessel *vessel, const char *codec,
                  kz_log *log)
{
    const AVOutputFormat *format = vessel->format;
    const char *path = vessel->path;
    const AVStream *stream = input->av->streams[index];
    if (index == input->video)
        return kz_fail(log, KZ_ERROR_USAGE, "%s: a %s file can't hold %s: choose another container",
                       path, format->name, codec);
    if (is_unknown(stream->codecpar, format))
        return kz_fail(log, KZ_ERROR_USAGE,
                       "%s: stream %d (%s, %s) doesn't tell its %s and may be empty: --drop %d "
                       "leaves it out",
                       path, index, kind_of(stream), codec,
                       stream->codecpar->codec_type == AVMEDIA_TYPE_AUDIO ? "sample rate" : "size",
                       index);
    return kz_fail(log, KZ_ERROR_USAGE,
                   "%s: a %s file can't hold stream %d (%s, %s): --drop %d leaves it out%s", path,
                   format->name, index, kind_of(stream), codec, index,
                   kz_container_is_matroska(format) ? "" : ", a .mkv file can hold most");
}

static int settle(enum kz_carry *form, const kz_input *input, int index, const kz_vessel *vessel,
                  kz_log *log)
{
    const AVOutputFormat *format = vessel->format;
    const AVStream *stream = input->av->streams[index];
    const char *codec =
        avcodec_get_name(index == input->video ? vessel->video : stream->codecpar->codec_id);
    if (*form == KZ_CARRY_ASS)
        kz_log_line(log, KZ_LOG_INFO,
                    "stream %d (subtitle, %s) becomes ASS: a %s file can't hold it "
                    "as it is",
                    index, codec, format->name);
    if (*form != KZ_CARRY_MISSING)
        return 0;
    if (index == input->video ||
        (!kz_container_is_video_only(format) && !kz_choice_drops(&input->choice, "unsupported")))
        return refuse(input, index, vessel, codec, log);
    *form = KZ_CARRY_NOT;
    kz_log_line(log, KZ_LOG_WARNING, "%s: left out: stream %d (%s, %s), which a %s file can't hold",
                vessel->path, index, kind_of(stream), codec, format->name);
    return 0;
}

/* Of the file where `stream` is NULL. */
static void list_tags(AVBPrint *text, const kz_input *input, const AVStream *stream,
                      const AVOutputFormat *format)
{
    const bool encoded = stream && stream->index == input->video;
    const AVDictionary *tags = stream ? stream->metadata : input->av->metadata;
    const AVDictionaryEntry *tag = NULL;
    while ((tag = av_dict_get(tags, "", tag, AV_DICT_IGNORE_SUFFIX))) {
        if (!tag->value[0] || kz_carry_is_stale(tag->key, encoded, true) ||
            (!stream && kz_carry_is_of_the_file(tag->key)) ||
            !kz_tag_is_lost(format, input->av, stream, tag))
            continue;
        if (stream)
            av_bprintf(text, "%s%s of stream %d", text->len ? ", " : "", tag->key, stream->index);
        else
            av_bprintf(text, "%s%s", text->len ? ", " : "", tag->key);
    }
}

/* Without a line of its own for each: some files have hundreds of tags. */
static void say_lost_tags(const enum kz_carry *forms, const kz_input *input,
                          const AVOutputFormat *format, const char *path, kz_log *log)
{
    AVBPrint text;
    av_bprint_init(&text, 0, 400);
    list_tags(&text, input, NULL, format);
    for (int i = 0; i < input->count; i++)
        if (kz_carry_is_stream(forms[i]))
            list_tags(&text, input, input->av->streams[i], format);
    if (text.len)
        kz_log_line(log, KZ_LOG_WARNING, "%s: a %s file can't hold these tags%s: %s%s", path,
                    format->name, kz_container_is_matroska(format) ? "" : ", a .mkv file can",
                    text.str, av_bprint_is_complete(&text) ? "" : " …");
    av_bprint_finalize(&text, NULL);
}

static void list_marks(AVBPrint *text, int marks, int stream)
{
    for (int bit = 0; bit < 31; bit++)
        if (marks >> bit & 1)
            av_bprintf(text, "%s%s of stream %d", text->len ? ", " : "",
                       av_disposition_to_string(1 << bit), stream);
}

static void say_lost_marks(const enum kz_carry *forms, const kz_input *input,
                           const AVOutputFormat *format, const char *path, kz_log *log)
{
    AVBPrint text;
    /* These two say how the stream is stored, and a first stream is the default one anyway. */
    const int kept = kz_container_marks(format) | AV_DISPOSITION_ATTACHED_PIC |
                     AV_DISPOSITION_STILL_IMAGE | AV_DISPOSITION_DEFAULT;
    av_bprint_init(&text, 0, 400);
    for (int i = 0; i < input->count; i++)
        if (kz_carry_is_stream(forms[i]))
            list_marks(&text, input->av->streams[i]->disposition & ~kept, i);
    if (text.len)
        kz_log_line(log, KZ_LOG_WARNING, "%s: a %s file can't hold these marks: %s", path,
                    format->name, text.str);
    av_bprint_finalize(&text, NULL);
}

int kz_carry_plan(enum kz_carry *forms, const kz_input *input, const kz_vessel *vessel, kz_log *log)
{
    const AVOutputFormat *format = vessel->format;
    const char *path = vessel->path;
    int result = 0;
    for (int i = 0; i < input->count; i++) {
        forms[i] = kz_carry_of(input, i, vessel);
        const int settled = settle(&forms[i], input, i, vessel, log);
        result = result ? result : settled;
    }
    if (result != 0 || kz_container_is_video_only(format))
        return result;
    if (input->av->nb_chapters && !kz_container_keeps_chapters(format) &&
        !kz_choice_drops(&input->choice, "chapters"))
        kz_log_line(log, KZ_LOG_WARNING,
                    "%s: a %s file can't hold the %u chapters, a .mkv file can", path, format->name,
                    input->av->nb_chapters);
    say_lost_tags(forms, input, format, path, log);
    say_lost_marks(forms, input, format, path, log);
    return 0;
}

/* ---- the default container ---- */

static bool holds_all(const kz_input *input, const AVOutputFormat *format, const char *path)
{
    const kz_vessel vessel = {.format = format, .path = path, .video = AV_CODEC_ID_HEVC};
    if (input->av->nb_chapters && !kz_container_keeps_chapters(format))
        return false;
    for (int i = 0; i < input->count; i++)
        if (kz_carry_of(input, i, &vessel) == KZ_CARRY_MISSING)
            return false;
    return true;
}

const AVOutputFormat *kz_carry_container(const kz_input *input, const char *path)
{
    static const char *const fit[] = {"mp4", "mov", "mpegts", "nut"};
    const AVOutputFormat *format = kz_container_find(NULL, path);
    for (size_t i = 0; format && i < sizeof(fit) / sizeof(fit[0]); i++)
        if (strcmp(format->name, fit[i]) == 0 && holds_all(input, format, path))
            return format;
    return kz_container_find("matroska", NULL);
}

/* ---- tags ---- */

bool kz_carry_is_of_the_file(const char *key)
{
    static const char *const keys[] = {"encoder", "major_brand", "minor_version",
                                       "compatible_brands", "duration"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcasecmp(key, keys[i]) == 0)
            return true;
    return false;
}

/* Matroska may add a language: "BPS-eng". */
bool kz_carry_is_stale(const char *key, bool encoded, bool changed)
{
    static const char *const counts[] = {"BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES"};
    /* MP4's and Matroska's muxers write their own. */
    if (strcasecmp(key, "vendor_id") == 0 || strcasecmp(key, "DURATION") == 0 ||
        (encoded && strcasecmp(key, "encoder") == 0))
        return true;
    if (!changed && !encoded)
        return false;
    if (strncasecmp(key, "_STATISTICS_", 12) == 0)
        return true;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const size_t length = strlen(counts[i]);
        if (strncasecmp(key, counts[i], length) == 0 && (!key[length] || key[length] == '-'))
            return true;
    }
    return false;
}
