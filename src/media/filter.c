#include "media/filter.h"

#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "media/chain.h"
#include "media/choice.h"

/* Filters that match fields or drop one frame in five want to see some before they give one. */
#define TRIAL_FRAMES 30

struct kz_filter {
    AVFilterGraph *graph;
    AVFilterContext *source, *sink;
    const kz_input *input;
    kz_log *log;
    kz_av_note note;
    kz_video_format format;
};

static int failed(const kz_filter *filter, int code, const char *what)
{
    const kz_av_reason reason = kz_av_reason_of(code, &filter->note);
    if (code == AVERROR(ENOMEM))
        return kz_fail_memory(filter->log, what);
    return kz_fail(filter->log, KZ_ERROR_FAILED, "%s: %s: %s", filter->input->name, what,
                   reason.text);
}

/* ---- one graph ---- */

static void close_graph(kz_filter *filter)
{
    avfilter_graph_free(&filter->graph);
    filter->source = filter->sink = NULL;
}

static int add_source(kz_filter *filter, enum AVPixelFormat pixels)
{
    const kz_video_format *in = &filter->input->format;
    char args[300];
    int length = snprintf(args, sizeof(args),
                          "video_size=%dx%d:pix_fmt=%d:time_base=%d/%d:pixel_aspect=%d/%d",
                          in->width, in->height, pixels, in->time_base.num, in->time_base.den,
                          in->sample_aspect.num, in->sample_aspect.den);
    if (in->frame_rate.num > 0)
        snprintf(args + length, sizeof(args) - (size_t)length, ":frame_rate=%d/%d",
                 in->frame_rate.num, in->frame_rate.den);
    return avfilter_graph_create_filter(&filter->source, avfilter_get_by_name("buffer"), "in", args,
                                        NULL, filter->graph);
}

static int parse(kz_filter *filter, const char *chain)
{
    AVFilterInOut *outputs = avfilter_inout_alloc(), *inputs = avfilter_inout_alloc();
    int code = AVERROR(ENOMEM);
    if (outputs && inputs) {
        *outputs = (AVFilterInOut){.name = av_strdup("in"), .filter_ctx = filter->source};
        *inputs = (AVFilterInOut){.name = av_strdup("out"), .filter_ctx = filter->sink};
        code = avfilter_graph_parse_ptr(filter->graph, chain, &inputs, &outputs, filter->graph);
    }
    avfilter_inout_free(&inputs);
    avfilter_inout_free(&outputs);
    return code;
}

static int open_graph(kz_filter *filter, const char *chain)
{
    filter->note.text[0] = '\0';
    filter->graph = avfilter_graph_alloc();
    if (!filter->graph)
        return AVERROR(ENOMEM);
    filter->graph->opaque = &filter->note;
    /* Two runs give the same bytes, and the cores belong to the network. */
    filter->graph->nb_threads = 1;
    int code = add_source(filter, filter->input->format.pixel_format);
    if (code >= 0)
        code = avfilter_graph_create_filter(&filter->sink, avfilter_get_by_name("buffersink"),
                                            "out", NULL, NULL, filter->graph);
    if (code >= 0)
        code = parse(filter, chain);
    return code < 0 ? code : avfilter_graph_config(filter->graph, filter->graph);
}

/* ---- what comes out, by trial ---- */

static AVFrame *blank_frame(const kz_filter *filter, int64_t number)
{
    const kz_video_format *in = &filter->input->format;
    const AVCodecParameters *par = kz_input_video_stream(filter->input)->codecpar;
    AVFrame *frame = av_frame_alloc();
    if (!frame)
        return NULL;
    frame->format = in->pixel_format;
    frame->width = in->width;
    frame->height = in->height;
    frame->color_range = par->color_range;
    frame->colorspace = par->color_space;
    frame->color_primaries = par->color_primaries;
    frame->color_trc = par->color_trc;
    frame->chroma_location = par->chroma_location;
    frame->sample_aspect_ratio = (AVRational){in->sample_aspect.num, in->sample_aspect.den};
    const AVRational base = {in->time_base.num, in->time_base.den};
    const AVRational step = in->frame_rate.num > 0
                                ? (AVRational){in->frame_rate.den, in->frame_rate.num}
                                : (AVRational){1, 25};
    frame->pts = av_rescale_q(number, step, base);
    if (av_frame_get_buffer(frame, 0) < 0) {
        av_frame_free(&frame);
        return NULL;
    }
    ptrdiff_t strides[4];
    for (int i = 0; i < 4; i++)
        strides[i] = frame->linesize[i];
    av_image_fill_black(frame->data, strides, frame->format, frame->color_range, frame->width,
                        frame->height);
    return frame;
}

/* The first frame that the chain makes of blank ones, into `out`; false: none came. */
static bool try_blank(kz_filter *filter, AVFrame *out)
{
    int code = AVERROR(EAGAIN);
    for (int i = 0; i < TRIAL_FRAMES && code == AVERROR(EAGAIN); i++) {
        AVFrame *frame = blank_frame(filter, i);
        if (!frame || av_buffersrc_add_frame(filter->source, frame) < 0)
            i = TRIAL_FRAMES;
        av_frame_free(&frame);
        code = av_buffersink_get_frame(filter->sink, out);
    }
    if (code == AVERROR(EAGAIN) && av_buffersrc_add_frame(filter->source, NULL) >= 0)
        code = av_buffersink_get_frame(filter->sink, out);
    return code >= 0;
}

static kz_ratio ratio(AVRational value)
{
    return value.num > 0 && value.den > 0 ? (kz_ratio){value.num, value.den} : (kz_ratio){0, 1};
}

/* Fills the format from a frame where one came, else from what the graph says. */
static int describe(kz_filter *filter, bool came, const AVFrame *frame)
{
    const AVFilterContext *sink = filter->sink;
    const int pixels = came ? frame->format : av_buffersink_get_format(sink);
    kz_video_format *format = &filter->format;
    *format = filter->input->format;
    /* Not yet carried: the conversion follows. */
    format->pixel_format = pixels;
    format->width = av_buffersink_get_w(sink);
    format->height = av_buffersink_get_h(sink);
    format->sample_aspect = ratio(av_buffersink_get_sample_aspect_ratio(sink));
    format->frame_rate = ratio(av_buffersink_get_frame_rate(sink));
    format->time_base = ratio(av_buffersink_get_time_base(sink));
    if (came)
        format->full_range = kz_format_is_full(pixels, frame->color_range);
    if (kz_format_by_name(format, av_get_pix_fmt_name(pixels)) != 0)
        return KZ_AGAIN;
    if (came) {
        format->site = kz_format_site(frame->chroma_location);
        format->luma = kz_format_luma(frame->colorspace, format->height);
    }
    return 0;
}

/* Opens the graph, asks a blank frame for its format, and opens it again for the real ones.
 * KZ_AGAIN: what comes out has to be converted. */
static int try_chain(kz_filter *filter, const char *chain)
{
    AVFrame *frame = av_frame_alloc();
    int code = frame ? open_graph(filter, chain) : AVERROR(ENOMEM);
    int result = 0;
    if (code >= 0)
        result = describe(filter, try_blank(filter, frame), frame);
    av_frame_free(&frame);
    close_graph(filter);
    if (code >= 0)
        return result;
    if (code == AVERROR(ENOMEM))
        return kz_fail_memory(filter->log, "filters");
    const kz_av_reason reason = kz_av_reason_of(code, &filter->note);
    return kz_fail(filter->log, KZ_ERROR_USAGE, "filter chain '%s': %s", chain, reason.text);
}

/* ---- life ---- */

static int check_alpha(const kz_filter *filter, enum AVPixelFormat pixels)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(pixels);
    if (!desc || !(desc->flags & AV_PIX_FMT_FLAG_ALPHA) || desc->flags & AV_PIX_FMT_FLAG_PAL ||
        kz_choice_drops(&filter->input->choice, "alpha"))
        return 0;
    return kz_fail(filter->log, KZ_ERROR_USAGE,
                   "%s: the video has an alpha plane (%s), which the output can't hold: "
                   "--drop alpha leaves it out",
                   filter->input->name, desc->name);
}

/* Adds to the chain whatever its outcome still needs, and opens it for good. */
static int settle(kz_filter *filter, AVBPrint *chain)
{
    int result = chain->len ? try_chain(filter, chain->str) : KZ_AGAIN;
    if (!chain->len)
        filter->format = filter->input->format;
    if (result == KZ_AGAIN) {
        const enum AVPixelFormat from = filter->format.pixel_format, to = kz_chain_carried(from);
        if (to == AV_PIX_FMT_NONE)
            return kz_fail(filter->log, KZ_ERROR_FAILED,
                           "%s: pixel format %s isn't supported: convert the video first (ffmpeg "
                           "-pix_fmt yuv444p)",
                           filter->input->name, av_get_pix_fmt_name(from));
        result = check_alpha(filter, from);
        kz_chain_convert(chain, from, to, filter->format.full_range);
        if (result == 0)
            result = try_chain(filter, chain->str);
    }
    if (result != 0)
        return result;
    const int code = open_graph(filter, chain->str);
    return code < 0 ? failed(filter, code, "filters") : 0;
}

int kz_filter_open(kz_filter **filter, const kz_filter_params *params, kz_fields fields,
                   const kz_input *input, kz_log *log)
{
    AVBPrint chain;
    *filter = NULL;
    av_bprint_init(&chain, 0, AV_BPRINT_SIZE_UNLIMITED);
    kz_chain_build(&chain, params, input, fields, log);
    const enum AVPixelFormat pixels = input->format.pixel_format;
    if (!chain.len && kz_chain_carried(pixels) == pixels)
        return 0;
    kz_filter *fresh = *filter = kz_alloc(1, sizeof(*fresh));
    int result = fresh && av_bprint_is_complete(&chain) ? 0 : kz_fail_memory(log, "filters");
    if (result == 0) {
        fresh->input = input;
        fresh->log = log;
        result = settle(fresh, &chain);
    }
    if (result == 0)
        kz_log_line(log, KZ_LOG_VERBOSE, "filters %s", chain.str);
    av_bprint_finalize(&chain, NULL);
    if (result != 0)
        kz_filter_close(filter);
    return result;
}

void kz_filter_close(kz_filter **filter)
{
    if (!*filter)
        return;
    close_graph(*filter);
    kz_free(*filter);
    *filter = NULL;
}

const kz_video_format *kz_filter_format(const kz_filter *filter)
{
    return &filter->format;
}

/* ---- frames ---- */

int kz_filter_send(kz_filter *filter, AVFrame *av)
{
    const int code = av_buffersrc_add_frame(filter->source, av);
    return code < 0 ? failed(filter, code, "filters") : 0;
}

/* Some filters leave the duration in the units of the time base before them. */
static void set_duration(const kz_filter *filter, AVFrame *av)
{
    const kz_ratio rate = filter->format.frame_rate;
    const AVRational before = {filter->input->format.time_base.num,
                               filter->input->format.time_base.den};
    int64_t duration = 0;
    if (rate.num == filter->input->format.frame_rate.num &&
        rate.den == filter->input->format.frame_rate.den)
        duration = av_rescale_q(kz_frame_duration(av), before, av->time_base);
    else if (rate.num > 0)
        duration = av_rescale_q(1, (AVRational){rate.den, rate.num}, av->time_base);
    kz_frame_set_duration(av, FFMAX(duration, 1));
}

int kz_filter_receive(kz_filter *filter, AVFrame *av)
{
    const int code = av_buffersink_get_frame(filter->sink, av);
    if (code == AVERROR(EAGAIN))
        return KZ_AGAIN;
    if (code == AVERROR_EOF)
        return KZ_END;
    if (code < 0)
        return failed(filter, code, "filters");
    av->time_base = av_buffersink_get_time_base(filter->sink);
    set_duration(filter, av);
    return 0;
}
