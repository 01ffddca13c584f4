#include "media/tags.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libavutil/parseutils.h>
#include <libavutil/timecode.h>

#include "media/container.h"

static bool is_one_of(const char *word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(word, list[i]) == 0)
            return true;
    return false;
}

#define IS_ONE_OF(word, list) is_one_of(word, list, sizeof(list) / sizeof((list)[0]))

static bool is_named(const AVDictionaryEntry *tag, const char *key)
{
    return strcasecmp(tag->key, key) == 0;
}

static bool is_of_matroska(const AVOutputFormat *format)
{
    return kz_container_is_matroska(format) || strcmp(format->name, "webm") == 0;
}

/* ---- names ---- */

/* The length of a key without a language at its end ("title-eng", "title-de"). */
static size_t bare_length(const char *key)
{
    const char *dash = strrchr(key, '-');
    const size_t after = dash ? strlen(dash + 1) : 0;
    return dash && (after == 2 || after == 3) && isalpha((unsigned char)dash[1]) &&
                   isalpha((unsigned char)dash[2]) &&
                   (after == 2 || isalpha((unsigned char)dash[3]))
               ? (size_t)(dash - key)
               : strlen(key);
}

/* Matroska has names of its own for these. */
static const char *native(const char *key)
{
    if (strcasecmp(key, "performer") == 0)
        return "lead_performer";
    return strcasecmp(key, "track") == 0 ? "part_number" : key;
}

static int letter(char c)
{
    return c == ' ' ? '_' : tolower((unsigned char)c);
}

static bool same_letters(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (letter(a[i]) != letter(b[i]))
            return false;
    return true;
}

/* Matroska's names have upper case letters, and no spaces. */
static bool same_name(const char *a, const char *b)
{
    a = native(a);
    b = native(b);
    return strlen(a) == strlen(b) && same_letters(a, b, strlen(a));
}

/* A language may come back under another of its codes. */
static bool same_bare_name(const char *a, const char *b)
{
    const size_t length = bare_length(a);
    return length == bare_length(b) && !a[length] == !b[length] && same_letters(a, b, length);
}

/* Of tags that get one name a file has the last. */
static bool is_last(const AVDictionary *tags, const AVDictionaryEntry *tag)
{
    const char *key = tag->key;
    while ((tag = av_dict_get(tags, "", tag, AV_DICT_IGNORE_SUFFIX)))
        if (same_name(key, tag->key))
            return false;
    return true;
}

/* ---- values ---- */

static bool time_of(const char *value, int64_t *seconds)
{
    int64_t microseconds;
    if (av_parse_time(&microseconds, value, 0) < 0)
        return false;
    *seconds = microseconds / 1000000;
    return true;
}

/* Degrees, as in "+48.1+011.6/". */
static bool place_of(const char *value, double place[2])
{
    char *end, *rest;
    place[0] = strtod(value, &rest);
    place[1] = strtod(rest, &end);
    return rest != value && end != rest && fabs(place[0]) <= 90 && fabs(place[1]) <= 180;
}

static bool same_time(const char *a, const char *b)
{
    int64_t x, y;
    return time_of(a, &x) && time_of(b, &y) ? x == y : strcmp(a, b) == 0;
}

static bool same_place(const char *a, const char *b)
{
    double x[2], y[2];
    return place_of(a, x) && place_of(b, y) ? fabs(x[0] - y[0]) + fabs(x[1] - y[1]) < 1e-3
                                            : strcmp(a, b) == 0;
}

static bool same_value(const char *key, const char *want, const char *got)
{
    /* Muxers write these in a form of their own. */
    if (strcasecmp(key, "creation_time") == 0)
        return same_time(want, got);
    if (strncasecmp(key, "location", 8) == 0)
        return same_place(want, got);
    return strcmp(want, got) == 0;
}

/* "eng", or where there may be several "eng,ger". */
static bool is_language(const char *value, bool several)
{
    const size_t length = strcspn(value, ",");
    if (length != 3 || (value[length] && !several))
        return false;
    return !value[length] || is_language(value + length + 1, several);
}

static bool is_lower_case(const char *value)
{
    while (*value >= 'a' && *value <= 'z')
        value++;
    return !*value;
}

/* A number as a byte gives it back. */
static bool is_byte(const char *value)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", (int)(uint8_t)atoi(value));
    return strcmp(text, value) == 0;
}

/* "3" or "3/12", as two bytes each give it back. */
static bool is_part(const char *value)
{
    char text[32];
    const char *slash = strchr(value, '/');
    const int part = (uint16_t)atoi(value), parts = slash ? (uint16_t)atoi(slash + 1) : 0;
    snprintf(text, sizeof(text), parts ? "%d/%d" : "%d", part, parts);
    return part && strcmp(text, value) == 0;
}

static bool is_timecode(const AVStream *stream, const char *value)
{
    AVTimecode unused;
    return stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
           av_timecode_init_from_string(&unused, stream->avg_frame_rate, value, NULL) >= 0;
}

/* ---- MP4 and QuickTime ---- */

static bool mp4_holds_value(const AVDictionary *tags, const AVDictionaryEntry *tag)
{
    static const char *const bytes[] = {"media_type",       "hd_video",     "compilation",
                                        "gapless_playback", "episode_sort", "season_number"};
    double place[2];
    if (IS_ONE_OF(tag->key, bytes))
        return is_byte(tag->value);
    if (is_named(tag, "track") || is_named(tag, "disc"))
        return is_part(tag->value);
    if (is_named(tag, "location"))
        return place_of(tag->value, place);
    if (!is_named(tag, "location-eng"))
        return true;
    const AVDictionaryEntry *other = av_dict_get(tags, "location", NULL, 0);
    return other && strcmp(other->value, tag->value) == 0;
}

static bool mp4_keeps(const AVDictionary *tags, const AVDictionaryEntry *tag)
{
    static const char *const keys[] = {
        "title",    "artist",           "album_artist", "composer",      "album",
        "date",     "comment",          "genre",        "copyright",     "grouping",
        "lyrics",   "description",      "synopsis",     "show",          "episode_id",
        "network",  "keywords",         "episode_sort", "season_number", "media_type",
        "hd_video", "gapless_playback", "compilation",  "track",         "disc",
        "location", "location-eng"};
    return IS_ONE_OF(tag->key, keys) && mp4_holds_value(tags, tag);
}

static bool mov_keeps(const AVDictionaryEntry *tag)
{
    static const char *const keys[] = {"title", "artist",    "album", "date",  "comment",
                                       "genre", "copyright", "make",  "model", "location"};
    return IS_ONE_OF(tag->key, keys) && strlen(tag->value) < 65536;
}

/* Seconds from 1904 on; libavformat writes 1970's first as it writes none. */
static bool mov_holds_time(const AVDictionaryEntry *tag)
{
    int64_t seconds;
    return time_of(tag->value, &seconds) && seconds != 0 && seconds > -2082844800;
}

/* All tracks have the file's time. */
static bool is_time_of_file(const AVFormatContext *from, const AVDictionaryEntry *tag)
{
    const AVDictionaryEntry *other = av_dict_get(from->metadata, "creation_time", NULL, 0);
    return is_named(tag, "creation_time") && other && same_time(other->value, tag->value);
}

/* Those that QuickTime has numbers for; MP4 takes any three letters. */
static bool mov_has_language(const char *value)
{
    static const char known[] =
        " eng fra ger ita dut sve spa dan por nor heb jpn ara fin gre ice mlt tur chi urd hin tha "
        "kor lit pol hun est lav rus iri alb ron ces slk slv yid mac bul ukr bel uzb kaz aze arm "
        "geo mol kir tgk tuk mon pus kur kas snd tib nep san mar ben asm guj ori mal kan tam tel "
        "bur khm lao vie ind tgl may amh tir orm som swa run mlg epo wel baq cat lat que grn aym "
        "tat uig dzo jav ";
    char word[6];
    snprintf(word, sizeof(word), " %.3s ", value);
    return strstr(known, word) != NULL;
}

static bool mov_keeps_of_stream(const AVOutputFormat *format, const AVFormatContext *from,
                                const AVStream *stream, const AVDictionaryEntry *tag)
{
    if (is_named(tag, "creation_time"))
        return mov_holds_time(tag) && is_time_of_file(from, tag);
    if (is_named(tag, "language"))
        return is_language(tag->value, false) && is_lower_case(tag->value) &&
               (strcmp(format->name, "mov") != 0 || mov_has_language(tag->value));
    if (is_named(tag, "timecode"))
        return is_timecode(stream, tag->value);
    return is_named(tag, "handler_name") &&
           (strcmp(format->name, "mov") != 0 || strlen(tag->value) < 256);
}

static bool iso_keeps(const AVOutputFormat *format, const AVFormatContext *from,
                      const AVStream *stream, const AVDictionaryEntry *tag)
{
    if (stream)
        return mov_keeps_of_stream(format, from, stream, tag);
    if (is_named(tag, "creation_time"))
        return mov_holds_time(tag);
    return strcmp(format->name, "mp4") == 0 ? mp4_keeps(from->metadata, tag) : mov_keeps(tag);
}

/* ---- the others ---- */

static bool mpegts_keeps(const AVStream *stream, const AVDictionaryEntry *tag)
{
    if (!stream || !is_named(tag, "language") || !is_language(tag->value, true))
        return false;
    return stream->codecpar->codec_type == AVMEDIA_TYPE_AUDIO ||
           stream->codecpar->codec_id == AV_CODEC_ID_DVB_SUBTITLE ||
           stream->codecpar->codec_id == AV_CODEC_ID_DVB_TELETEXT;
}

/* Those that it writes as elements, where readers find them again. */
static bool is_stereo_mode(const char *value)
{
    static const char *const modes[] = {"left_right",         "bottom_top",
                                        "top_bottom",         "checkerboard_rl",
                                        "checkerboard_lr",    "row_interleaved_rl",
                                        "row_interleaved_lr", "col_interleaved_rl",
                                        "col_interleaved_lr", "anaglyph_cyan_red",
                                        "right_left",         "anaglyph_green_magenta",
                                        "block_lr",           "block_rl"};
    return IS_ONE_OF(value, modes);
}

static bool matroska_keeps(const AVStream *stream, const AVDictionaryEntry *tag)
{
    int64_t seconds;
    if (is_named(tag, "creation_time"))
        return !stream && time_of(tag->value, &seconds);
    if (is_named(tag, "stereo_mode"))
        return stream && stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
               is_stereo_mode(tag->value);
    /* Longer names are read in part. */
    return !is_named(tag, "encoding_tool") && !is_named(tag, "duration") && strlen(tag->key) < 1024;
}

/* Longer ones are read in part. */
static bool nut_keeps(const AVDictionaryEntry *tag)
{
    return strlen(tag->key) < 256 && strlen(tag->value) < 1024;
}

bool kz_tag_is_kept(const AVOutputFormat *format, const AVFormatContext *from,
                    const AVStream *stream, const AVDictionaryEntry *tag)
{
    if (kz_container_is_video_only(format) ||
        !is_last(stream ? stream->metadata : from->metadata, tag))
        return false;
    if (strcmp(format->name, "mpegts") == 0)
        return mpegts_keeps(stream, tag);
    if (kz_container_is_mov(format))
        return iso_keeps(format, from, stream, tag);
    if (is_of_matroska(format))
        return matroska_keeps(stream, tag);
    return strcmp(format->name, "nut") != 0 || nut_keeps(tag);
}

bool kz_tag_is_lost(const AVOutputFormat *format, const AVFormatContext *from,
                    const AVStream *stream, const AVDictionaryEntry *tag)
{
    if (kz_tag_is_kept(format, from, stream, tag))
        return false;
    const AVDictionaryEntry *other = av_dict_get(from->metadata, "creation_time", NULL, 0);
    return !(stream && is_time_of_file(from, tag) && kz_tag_is_kept(format, from, NULL, other));
}

/* ---- reading back ---- */

/* Most containers write an undetermined language by leaving it out. */
static bool says_nothing(const AVDictionaryEntry *tag)
{
    return !tag->value[0] || (is_named(tag, "language") && strcmp(tag->value, "und") == 0);
}

/* Libavformat's reader of Matroska gives a tag that has a language under the bare name too, in the
 * place of the one without. */
static bool is_hidden(const AVOutputFormat *format, const AVDictionary *tags,
                      const AVDictionaryEntry *tag)
{
    const size_t length = strlen(tag->key);
    const AVDictionaryEntry *other = NULL;
    while (is_of_matroska(format) && (other = av_dict_get(tags, "", other, AV_DICT_IGNORE_SUFFIX)))
        if (bare_length(other->key) == length && other->key[length] == '-' &&
            same_letters(other->key, tag->key, length))
            return true;
    return false;
}

static bool has_tag(const AVDictionary *tags, const AVDictionaryEntry *wanted)
{
    const AVDictionaryEntry *tag = NULL;
    while ((tag = av_dict_get(tags, "", tag, AV_DICT_IGNORE_SUFFIX)))
        if ((same_name(wanted->key, tag->key) || same_bare_name(wanted->key, tag->key)) &&
            same_value(wanted->key, wanted->value, tag->value))
            return true;
    return false;
}

static bool is_known(const AVOutputFormat *format)
{
    return is_of_matroska(format) || kz_container_is_mov(format) ||
           strcmp(format->name, "mpegts") == 0 || strcmp(format->name, "nut") == 0;
}

const char *kz_tag_missing(const AVOutputFormat *format, const AVDictionary *want,
                           const AVDictionary *got)
{
    const AVDictionaryEntry *tag = NULL;
    while (is_known(format) && (tag = av_dict_get(want, "", tag, AV_DICT_IGNORE_SUFFIX)))
        if (!says_nothing(tag) && !is_hidden(format, want, tag) && !has_tag(got, tag))
            return tag->key;
    return NULL;
}
