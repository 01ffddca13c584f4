#include "media/chain.h"

#include <libavutil/display.h>
#include <libavutil/pixdesc.h>
#include <math.h>

#include "media/choice.h"

static void add(AVBPrint *chain, const char *filter)
{
    av_bprintf(chain, "%s%s", chain->len ? "," : "", filter);
}

/* ---- fields ---- */

static const char *deinterlacer(enum kz_deinterlace method)
{
    static const char *const names[] = {[KZ_DEINTERLACE_BWDIF] = "bwdif=mode=send_frame:deint=all",
                                        [KZ_DEINTERLACE_YADIF] = "yadif=mode=send_frame:deint=all",
                                        [KZ_DEINTERLACE_W3FDIF] = "w3fdif=mode=frame:deint=all",
                                        [KZ_DEINTERLACE_ESTDIF] = "estdif=mode=frame:deint=all"};
    return names[method];
}

static void say(const kz_input *input, kz_log *log, const char *text)
{
    kz_log_line(log, KZ_LOG_INFO, "fields  %s: %s", input->name, text);
}

/* One frame in, one frame out, and frames that aren't interlaced stay as they are. */
static void add_auto(AVBPrint *chain, const kz_input *input, kz_fields fields, kz_log *log)
{
    if (fields.seen == KZ_SCAN_TELECINED) {
        say(input, log, "telecined: fields matched (--ivtc gives the film's own frames)");
        add(chain, "fieldmatch=combmatch=full,bwdif=mode=send_frame:deint=interlaced");
    } else if (fields.flagged && fields.seen == KZ_SCAN_PROGRESSIVE) {
        say(input, log,
            "flagged as interlaced, but whole pictures: left as they are "
            "(--deinterlace bwdif to force it)");
    } else if (fields.flagged) {
        say(input, log, "interlaced: bwdif, a frame for a frame");
        add(chain, "bwdif=mode=send_frame:deint=interlaced");
    } else if (fields.seen == KZ_SCAN_INTERLACED) {
        /* A drawing that pans up looks like this too, and would only lose by it. */
        say(input, log, "may be interlaced, though not flagged so: --deinterlace bwdif if it is");
    }
}

static void add_fields(AVBPrint *chain, const kz_filter_params *params, const kz_input *input,
                       kz_fields fields, kz_log *log)
{
    if (params->ivtc)
        add(chain, "fieldmatch=combmatch=full,bwdif=mode=send_frame:deint=interlaced,decimate");
    else if (params->deinterlace == KZ_DEINTERLACE_AUTO)
        add_auto(chain, input, fields, log);
    else if (params->deinterlace != KZ_DEINTERLACE_OFF)
        add(chain, deinterlacer(params->deinterlace));
    else if (fields.flagged)
        kz_log_line(log, KZ_LOG_WARNING, "%s: interlaced frames are upscaled as they are",
                    input->name);
}

/* ---- turning ---- */

/* As ffmpeg's autorotate does it. */
static void add_turn(AVBPrint *chain, const kz_input *input, kz_log *log)
{
    size_t size = 0;
    const int32_t *matrix = (const int32_t *)(const void *)kz_stream_side_get(
        kz_input_video_stream(input), AV_PKT_DATA_DISPLAYMATRIX, &size);
    if (!matrix || size < 9 * sizeof(*matrix))
        return;
    const size_t before = chain->len;
    double angle = fmod(-round(av_display_rotation_get(matrix)) + 720, 360);
    if (fabs(angle - 90) < 1) {
        add(chain, matrix[3] > 0 ? "transpose=cclock_flip" : "transpose=clock");
    } else if (fabs(angle - 270) < 1) {
        add(chain, matrix[3] < 0 ? "transpose=clock_flip" : "transpose=cclock");
    } else if (fabs(angle - 180) < 1) {
        if (matrix[0] < 0)
            add(chain, "hflip");
        if (matrix[4] < 0)
            add(chain, "vflip");
    } else if (angle < 1 && matrix[4] < 0) {
        add(chain, "vflip");
    } else if (angle >= 1) {
        kz_log_line(log, KZ_LOG_WARNING, "%s: its rotation by %g degrees can't be kept",
                    input->name, angle);
    }
    if (chain->len != before)
        kz_log_line(log, KZ_LOG_INFO,
                    "turned  %s: upright, as players show it: the output can't "
                    "hold the rotation",
                    input->name);
}

void kz_chain_build(AVBPrint *chain, const kz_filter_params *params, const kz_input *input,
                    kz_fields fields, kz_log *log)
{
    add_fields(chain, params, input, fields, log);
    if (params->turn)
        add_turn(chain, input, log);
    if (params->vf && params->vf[0])
        add(chain, params->vf);
    if (params->fps)
        av_bprintf(chain, "%sfps=%s", chain->len ? "," : "", params->fps);
}

/* ---- pixel formats ---- */

static bool is_carried(enum AVPixelFormat format)
{
    kz_video_format unused;
    const char *name = av_get_pix_fmt_name(format);
    return name && kz_format_by_name(&unused, name) == 0;
}

/* The same samples in planes of their own. */
static enum AVPixelFormat planar_like(const AVPixFmtDescriptor *like)
{
    const int planes = like->nb_components >= 3 ? 3 : 1;
    for (const AVPixFmtDescriptor *d = NULL; (d = av_pix_fmt_desc_next(d));) {
        const enum AVPixelFormat format = av_pix_fmt_desc_get_id(d);
        if (is_carried(format) && d->nb_components == planes &&
            d->comp[0].depth == FFMAX(like->comp[0].depth, 8) &&
            d->log2_chroma_w == like->log2_chroma_w && d->log2_chroma_h == like->log2_chroma_h)
            return format;
    }
    return AV_PIX_FMT_NONE;
}

enum AVPixelFormat kz_chain_carried(enum AVPixelFormat format)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(format);
    const uint64_t colours = AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BAYER;
    if (!desc || desc->flags & (AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_FLOAT))
        return AV_PIX_FMT_NONE;
    if (is_carried(format))
        return format;
    /* A 10 bit Y'CbCr triple tells any two 8 bit RGB ones apart as well as a screen does. */
    if (desc->flags & colours)
        return desc->comp[0].depth > 8 && !(desc->flags & AV_PIX_FMT_FLAG_PAL)
                   ? AV_PIX_FMT_YUV444P12
                   : AV_PIX_FMT_YUV444P10;
    return planar_like(desc);
}

void kz_chain_convert(AVBPrint *chain, enum AVPixelFormat from, enum AVPixelFormat to, bool full)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(from);
    const char *name = av_get_pix_fmt_name(to);
    const char *comma = chain->len ? "," : "";
    const char *exact = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp";
    if (from == to)
        return;
    if (desc->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BAYER))
        av_bprintf(chain,
                   "%sscale=out_color_matrix=bt709:out_range=tv:%s,format=%s,"
                   "setparams=colorspace=bt709:range=tv",
                   comma, exact, name);
    else
        /* Left to itself the filter makes limited range of all. */
        av_bprintf(chain, "%sscale=%s%s,format=%s", comma,
                   full && desc->nb_components >= 3 ? "in_range=pc:out_range=pc:" : "", exact,
                   name);
}
