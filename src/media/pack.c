#include "media/pack.h"

#include <libavutil/pixdesc.h>
#include <stdbool.h>

static enum AVPixelFormat packed_like(enum AVPixelFormat planar)
{
    return planar == AV_PIX_FMT_YUV420P10   ? AV_PIX_FMT_P010
           : planar == AV_PIX_FMT_YUV444P10 ? AV_PIX_FMT_YUV444P16
                                            : AV_PIX_FMT_NONE;
}

static bool is_among(enum AVPixelFormat form, const enum AVPixelFormat *taken)
{
    while (*taken != AV_PIX_FMT_NONE && *taken != form)
        taken++;
    return *taken == form;
}

enum AVPixelFormat kz_pack_form(enum AVPixelFormat planar, const enum AVPixelFormat *taken)
{
    if (!taken || is_among(planar, taken))
        return planar;
    const enum AVPixelFormat packed = packed_like(planar);
    return is_among(packed, taken) ? packed : AV_PIX_FMT_NONE;
}

static void pack_row(uint16_t *to, int step, const uint16_t *from, int width, int shift)
{
    for (int x = 0; x < width; x++)
        to[x * step] = (uint16_t)(from[x] << shift);
}

static void pack_component(AVFrame *to, const AVFrame *from, int index)
{
    const AVPixFmtDescriptor *wide = av_pix_fmt_desc_get(to->format);
    const AVPixFmtDescriptor *flat = av_pix_fmt_desc_get(from->format);
    const AVComponentDescriptor *c = &wide->comp[index];
    const int shift = c->shift + c->depth - flat->comp[index].depth;
    const int width = AV_CEIL_RSHIFT(from->width, index ? flat->log2_chroma_w : 0);
    const int height = AV_CEIL_RSHIFT(from->height, index ? flat->log2_chroma_h : 0);
    for (int y = 0; y < height; y++) {
        char *row = (char *)to->data[c->plane] + (ptrdiff_t)y * to->linesize[c->plane] + c->offset;
        const uint8_t *source = from->data[index] + (ptrdiff_t)y * from->linesize[index];
        pack_row((uint16_t *)(void *)row, c->step / 2, (const uint16_t *)(const void *)source,
                 width, shift);
    }
}

int kz_pack(AVFrame *to, enum AVPixelFormat form, const AVFrame *from)
{
    to->format = form;
    to->width = from->width;
    to->height = from->height;
    int code = av_frame_copy_props(to, from);
    if (code >= 0)
        code = av_frame_get_buffer(to, 0);
    for (int i = 0; i < 3 && code >= 0; i++)
        pack_component(to, from, i);
    if (code >= 0)
        return 0;
    av_frame_unref(to);
    return AVERROR(ENOMEM);
}
