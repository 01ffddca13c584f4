#include "media/format.h"

#include <dlfcn.h>
#include <libavutil/parseutils.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "media/internal.h"

/* One sample per step, in host order, at the low end of its bytes, each plane on its own. */
static bool planar_in_host_order(const AVPixFmtDescriptor *desc)
{
    const uint64_t unfit = AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM |
                           AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_ALPHA |
                           AV_PIX_FMT_FLAG_BAYER | AV_PIX_FMT_FLAG_FLOAT;
    const uint64_t host = AV_HAVE_BIGENDIAN ? AV_PIX_FMT_FLAG_BE : 0;
    if (desc->flags & unfit || (desc->nb_components != 1 && desc->nb_components != 3))
        return false;
    const int bytes = desc->comp[0].depth > 8 ? 2 : 1;
    if (bytes == 2 && (desc->flags & AV_PIX_FMT_FLAG_BE) != host)
        return false;
    for (int i = 0; i < desc->nb_components; i++) {
        const AVComponentDescriptor *comp = &desc->comp[i];
        if (comp->plane != i || comp->step != bytes || comp->offset || comp->shift ||
            comp->depth != desc->comp[0].depth)
            return false;
    }
    return desc->comp[0].depth >= 8 && desc->comp[0].depth <= 16;
}

bool kz_format_is_rate(const char *text)
{
    AVRational rate;
    return av_parse_video_rate(&rate, text) >= 0 && rate.num > 0 && rate.den > 0;
}

int kz_format_by_name(kz_video_format *format, const char *pixel_name)
{
    const enum AVPixelFormat number = av_get_pix_fmt(pixel_name);
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(number);
    if (!desc || !planar_in_host_order(desc) || desc->log2_chroma_w > 2 || desc->log2_chroma_h > 2)
        return KZ_ERROR_USAGE;
    format->pixel_format = number;
    format->pixel_name = desc->name;
    format->depth = desc->comp[0].depth;
    format->planes = desc->nb_components;
    format->shift_x = desc->log2_chroma_w;
    format->shift_y = desc->log2_chroma_h;
    return 0;
}

bool kz_format_is_full(int pixel_format, enum AVColorRange range)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(pixel_format);
    if (range == AVCOL_RANGE_UNSPECIFIED && desc && desc->nb_components == 1)
        return true;
    return range == AVCOL_RANGE_JPEG || (desc && strncmp(desc->name, "yuvj", 4) == 0);
}

enum kz_chroma_site kz_format_site(enum AVChromaLocation location)
{
    switch (location) {
    case AVCHROMA_LOC_CENTER:
        return KZ_SITE_CENTER;
    case AVCHROMA_LOC_TOPLEFT:
        return KZ_SITE_TOP_LEFT;
    case AVCHROMA_LOC_TOP:
        return KZ_SITE_TOP;
    case AVCHROMA_LOC_BOTTOMLEFT:
        return KZ_SITE_BOTTOM_LEFT;
    case AVCHROMA_LOC_BOTTOM:
        return KZ_SITE_BOTTOM;
    default:
        return KZ_SITE_LEFT;
    }
}

static kz_luma_weights weights(float r, float b)
{
    return (kz_luma_weights){r, 1.0f - r - b, b};
}

kz_luma_weights kz_format_luma(enum AVColorSpace matrix, int height)
{
    switch (matrix) {
    case AVCOL_SPC_BT709:
        return weights(0.2126f, 0.0722f);
    case AVCOL_SPC_SMPTE170M:
    case AVCOL_SPC_BT470BG:
        return weights(0.299f, 0.114f);
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
        return weights(0.2627f, 0.0593f);
    case AVCOL_SPC_SMPTE240M:
        return weights(0.212f, 0.087f);
    case AVCOL_SPC_FCC:
        return weights(0.30f, 0.11f);
    default:
        return kz_format_luma(height >= 720 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M, height);
    }
}

const char *kz_media_versions(char *buffer, size_t size)
{
    const unsigned format = avformat_version(), codec = avcodec_version();
    /* libavcodec has no call for it, but x265, where it is in use, is in this process already. */
    const char *const *x265 = dlsym(RTLD_DEFAULT, "x265_version_str");
    snprintf(buffer, size, "libavformat %u.%u.%u, libavcodec %u.%u.%u%s%s",
             AV_VERSION_MAJOR(format), AV_VERSION_MINOR(format), AV_VERSION_MICRO(format),
             AV_VERSION_MAJOR(codec), AV_VERSION_MINOR(codec), AV_VERSION_MICRO(codec),
             x265 ? ", x265 " : "", x265 ? *x265 : "");
    return buffer;
}
