#include "media/container.h"

#include <stdio.h>
#include <string.h>

#include <libavutil/avstring.h>

/* ---- names ---- */

static const AVOutputFormat *by_ending(const char *path)
{
    const AVOutputFormat *format = av_guess_format(NULL, path, NULL);
    /* Apple's .m4v is an MP4 file; libav's table for it is older than HEVC. */
    if (format && strcmp(format->name, "ipod") == 0)
        return av_guess_format("mp4", NULL, NULL);
    return format;
}

const AVOutputFormat *kz_container_find(const char *name, const char *path)
{
    char ending[64];
    if (!name)
        return path ? by_ending(path) : NULL;
    const AVOutputFormat *format = av_guess_format(name, NULL, NULL);
    if (format)
        return format;
    snprintf(ending, sizeof(ending), "x.%s", name);
    return by_ending(ending);
}

const char *kz_container_ending(const AVOutputFormat *format, const char *path, char *buffer,
                                size_t size)
{
    const char *dot = path ? strrchr(path, '.') : NULL;
    const char *endings = format->extensions ? format->extensions : "";
    if (kz_container_is_matroska(format) || !*endings)
        return ".mkv";
    if (dot && !strchr(dot, '/') && by_ending(path) == format)
        snprintf(buffer, size, "%s", dot);
    else
        snprintf(buffer, size, ".%.*s", (int)strcspn(endings, ","), endings);
    return buffer;
}

bool kz_container_is_matroska(const AVOutputFormat *format)
{
    return strcmp(format->name, "matroska") == 0;
}

bool kz_container_is_mov(const AVOutputFormat *format)
{
    return strcmp(format->name, "mp4") == 0 || strcmp(format->name, "mov") == 0;
}

bool kz_container_is_video_only(const AVOutputFormat *format)
{
    return av_match_name(format->name, "yuv4mpegpipe,rawvideo,hevc,h264,ivf,obu,image2,image2pipe,"
                                       "mpeg2video");
}

/* ---- streams ---- */

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
                                           AV_CODEC_ID_HDMV_PGS_SUBTITLE,
                                           AV_CODEC_ID_TIMED_ID3,
                                           AV_CODEC_ID_SMPTE_KLV};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i] == codec)
            return true;
    return false;
}

bool kz_container_holds(const AVOutputFormat *format, enum AVMediaType type, enum AVCodecID codec)
{
    if (type == AVMEDIA_TYPE_ATTACHMENT)
        return kz_container_is_matroska(format);
    if (codec == AV_CODEC_ID_NONE ||
        (type == AVMEDIA_TYPE_DATA && kz_container_is_matroska(format)))
        return false;
    if (kz_container_is_video_only(format) && type != AVMEDIA_TYPE_VIDEO)
        return false;
    /* It has a tag for HEVC, but nothing that says when a frame is shown. */
    if (strcmp(format->name, "avi") == 0 && codec == AV_CODEC_ID_HEVC)
        return false;
    if (strcmp(format->name, "mpegts") == 0)
        return mpegts_holds(codec);
    /* Negative: libav doesn't know beforehand. */
    return avformat_query_codec(format, codec, FF_COMPLIANCE_EXPERIMENTAL) != 0;
}

bool kz_container_holds_cover(const AVOutputFormat *format, enum AVCodecID codec)
{
    const bool common = codec == AV_CODEC_ID_MJPEG || codec == AV_CODEC_ID_PNG;
    if (kz_container_is_mov(format))
        return common || codec == AV_CODEC_ID_BMP;
    return kz_container_is_matroska(format) &&
           (common || codec == AV_CODEC_ID_BMP || codec == AV_CODEC_ID_GIF ||
            codec == AV_CODEC_ID_TIFF || codec == AV_CODEC_ID_WEBP);
}

/* ---- the rest ---- */

bool kz_container_keeps_chapters(const AVOutputFormat *format)
{
    return kz_container_is_matroska(format) || kz_container_is_mov(format) ||
           strcmp(format->name, "nut") == 0 || strcmp(format->name, "webm") == 0;
}

bool kz_container_keeps_rotation(const AVOutputFormat *format)
{
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 10, 100)
    if (kz_container_is_matroska(format))
        return true;
#endif
    return kz_container_is_mov(format);
}

int kz_container_marks(const AVOutputFormat *format)
{
    const int impaired = AV_DISPOSITION_HEARING_IMPAIRED | AV_DISPOSITION_VISUAL_IMPAIRED;
    const int kinds = AV_DISPOSITION_DUB | AV_DISPOSITION_COMMENT | AV_DISPOSITION_DEFAULT;
    if (kz_container_is_matroska(format) || strcmp(format->name, "webm") == 0)
        return kinds | impaired | AV_DISPOSITION_FORCED | AV_DISPOSITION_ORIGINAL;
    if (strcmp(format->name, "mp4") == 0)
        return kinds | impaired | AV_DISPOSITION_FORCED | AV_DISPOSITION_CAPTIONS |
               AV_DISPOSITION_DESCRIPTIONS;
    if (strcmp(format->name, "nut") == 0)
        return kinds | AV_DISPOSITION_ORIGINAL | AV_DISPOSITION_LYRICS | AV_DISPOSITION_KARAOKE;
    if (strcmp(format->name, "mpegts") == 0)
        return impaired | AV_DISPOSITION_CLEAN_EFFECTS;
    return kz_container_is_mov(format) ? AV_DISPOSITION_DEFAULT : 0;
}
