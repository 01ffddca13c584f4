#include "media/encode.h"

#include <libavutil/mastering_display_metadata.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "media/gpu.h"
#include "media/internal.h"
#include "media/pack.h"

/* More frames than any encoder holds back. */
#define FRAMES_UNDER_WAY 1024

struct sent_frame {
    int64_t pts, duration;
};

struct kz_encoder {
    const AVCodec *codec; /* the context loses it when opening fails */
    AVCodecContext *context;
    AVPacket *packet;
    AVFrame *like; /* side data of the first frame, no samples */
    kz_log *log;
    kz_av_note note;           /* of opening, then of what came after */
    int code;                  /* libav's, of opening */
    enum AVPixelFormat pixels; /* of the frames that come; the context's are as it takes them */
    AVFrame *packed;           /* for frames on their way, where the two differ */
    bool strict;
    unsigned own, *told; /* a bit for each of losses[] that the user knows of; in `own` where
                          * nobody else keeps them */
    int64_t sent, received;
    struct sent_frame frames[FRAMES_UNDER_WAY]; /* frame n at n modulo the size */
};

/* NULL: the encoder takes any. */
static const enum AVPixelFormat *taken_formats(const AVCodec *codec)
{
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
    const void *formats = NULL;
    avcodec_get_supported_config(NULL, codec, AV_CODEC_CONFIG_PIX_FORMAT, 0, &formats, NULL);
    return formats;
#else
    return codec->pix_fmts;
#endif
}

static int check_format(const AVCodec *codec, const kz_video_format *format, kz_log *log)
{
    const enum AVPixelFormat *taken = taken_formats(codec);
    char list[400] = "";
    if (kz_pack_form(format->pixel_format, taken) != AV_PIX_FMT_NONE)
        return 0;
    for (int i = 0; taken[i] != AV_PIX_FMT_NONE; i++) {
        kz_video_format known;
        const char *name = av_get_pix_fmt_name(taken[i]);
        const size_t length = strlen(list);
        if (name && kz_format_by_name(&known, name) == 0)
            snprintf(list + length, sizeof(list) - length, " %s", name);
    }
    return kz_fail(log, KZ_ERROR_USAGE, "encoder %s doesn't take pixel format %s; it takes:%s",
                   codec->name, format->pixel_name, list[0] ? list : " none that kizuna makes");
}

/* Encoders name their constant quality differently. */
static const char *quality_option(const void *private)
{
    return private && av_opt_find((void *)(uintptr_t) private, "crf", NULL, 0, 0) ? "crf" : "cq";
}

static int check_option(const AVCodecContext *context, const char *option, const char *meaning,
                        kz_log *log)
{
    if (context->priv_data && av_opt_find(context->priv_data, option, NULL, 0, 0))
        return 0;
    return kz_fail(log, KZ_ERROR_USAGE, "encoder %s has no %s", context->codec->name, meaning);
}

/* "a=b:c=d" as libav wants it: x265 alone would take "no-sao" without a value. */
static int check_pairs(const char *pairs, kz_log *log)
{
    while (*pairs) {
        const size_t length = strcspn(pairs, ":");
        const char *sign = memchr(pairs, '=', length);
        if (length && (!sign || sign == pairs))
            return kz_fail(log, KZ_ERROR_USAGE,
                           "x265 parameter \"%.*s\": write name=value (%.*s=1 switches it on)",
                           (int)length, pairs, (int)length, pairs);
        pairs += length + (pairs[length] == ':');
    }
    return 0;
}

static int check_options(const kz_encoder_params *params, const AVCodecContext *context,
                         kz_log *log)
{
    int result = 0;
    if (params->preset)
        result = check_option(context, "preset", "presets", log);
    if (result == 0 && params->crf >= 0)
        result = check_option(context, quality_option(context->priv_data),
                              "constant quality (crf) option", log);
    if (result == 0 && params->x265_params)
        result = check_option(context, "x265-params", "x265 parameters", log);
    if (result == 0 && params->x265_params)
        result = check_pairs(params->x265_params, log);
    return result;
}

int kz_encoder_check(const kz_encoder_params *params, const kz_video_format *format, kz_log *log)
{
    kz_av_log_setup();
    const AVCodec *codec = avcodec_find_encoder_by_name(params->codec);
    if (!codec)
        return kz_fail(log, KZ_ERROR_USAGE, "encoder '%s' isn't in this libavcodec", params->codec);
    if (codec->type != AVMEDIA_TYPE_VIDEO)
        return kz_fail(log, KZ_ERROR_USAGE, "encoder %s isn't one for video", codec->name);
    AVCodecContext *context = avcodec_alloc_context3(codec);
    if (!context)
        return kz_fail_memory(log, "an encoder");
    int result = check_format(codec, format, log);
    if (result == 0)
        result = check_options(params, context, log);
    avcodec_free_context(&context);
    return result;
}

/* Without a rate x265 takes the time base for one, and believes in 1000 frames a second. */
static AVRational rate_of(const kz_video_format *format)
{
    const kz_ratio rate = format->frame_rate, base = format->time_base;
    if (rate.num > 0 && rate.den > 0)
        return (AVRational){rate.num, rate.den};
    const double inverse = (double)base.den / base.num;
    if (inverse >= 10 && inverse <= 120)
        return (AVRational){base.den, base.num};
    return (AVRational){25, 1};
}

static void set_format(AVCodecContext *context, const kz_video_format *format)
{
    context->width = format->width;
    context->height = format->height;
    context->pix_fmt = kz_pack_form(format->pixel_format, taken_formats(context->codec));
    context->field_order = AV_FIELD_PROGRESSIVE;
    context->time_base = (AVRational){format->time_base.num, format->time_base.den};
    context->framerate = rate_of(format);
    context->sample_aspect_ratio =
        (AVRational){format->sample_aspect.num, format->sample_aspect.den};
}

/* Tags are passed on as they are: what the source left open stays open. */
static void set_colour(AVCodecContext *context, const kz_video_format *format, const AVFrame *like)
{
    if (like) {
        context->color_range = like->color_range;
        context->color_primaries = like->color_primaries;
        context->color_trc = like->color_trc;
        context->colorspace = like->colorspace;
        context->chroma_sample_location = like->chroma_location;
    }
    if (format->full_range)
        context->color_range = AVCOL_RANGE_JPEG;
}

static long scaled(AVRational value, int scale)
{
    return lrint(av_q2d(value) * scale);
}

/* libx265's wrapper drops this side data, so it goes the way of the command line. */
static void hdr_params(const AVFrame *like, char *text, size_t size)
{
    const AVFrameSideData *side =
        like ? av_frame_get_side_data(like, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA) : NULL;
    const AVMasteringDisplayMetadata *d = side ? (const void *)side->data : NULL;
    side = like ? av_frame_get_side_data(like, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL) : NULL;
    const AVContentLightMetadata *light = side ? (const void *)side->data : NULL;
    text[0] = '\0';
    if (d || light)
        snprintf(text, size, ":hdr10=1:repeat-headers=1");
    if (d && d->has_primaries && d->has_luminance)
        snprintf(
            text + strlen(text), size - strlen(text),
            ":master-display=G(%ld,%ld)B(%ld,%ld)R(%ld,%ld)WP(%ld,%ld)L(%ld,%ld)",
            scaled(d->display_primaries[1][0], 50000), scaled(d->display_primaries[1][1], 50000),
            scaled(d->display_primaries[2][0], 50000), scaled(d->display_primaries[2][1], 50000),
            scaled(d->display_primaries[0][0], 50000), scaled(d->display_primaries[0][1], 50000),
            scaled(d->white_point[0], 50000), scaled(d->white_point[1], 50000),
            scaled(d->max_luminance, 10000), scaled(d->min_luminance, 10000));
    if (light)
        snprintf(text + strlen(text), size - strlen(text), ":max-cll=%u,%u", light->MaxCLL,
                 light->MaxFALL);
}

/* x265 counts the machine's processors, and this process may have fewer. 0: its own count. */
static int x265_pool(const kz_encoder_params *params)
{
    const int ours = kz_cpu_count();
    if (params->threads > 0 || ours >= sysconf(_SC_NPROCESSORS_ONLN))
        return params->threads;
    return ours;
}

/* The encoder's remark of its own settings holds thread counts, which would make equal pictures
 * unequal files. Threads become a pool: as frame threads they would be limited to 16. */
static char *x265_params(const kz_encoder_params *params, const AVFrame *like, int width)
{
    char hdr[300], pools[40] = "", frames[40] = "";
    hdr_params(like, hdr, sizeof(hdr));
    const int pool = x265_pool(params);
    if (pool > 0)
        snprintf(pools, sizeof(pools), ":pools=%d", pool);
    if (params->frame_threads > 0)
        snprintf(frames, sizeof(frames), ":frame-threads=%d", params->frame_threads);
    const char *own = params->x265_params && params->x265_params[0] ? params->x265_params : NULL;
    /* With larger blocks x265 writes beyond its memory in some pictures narrower than 64. */
    const char *narrow = width < 64 ? ":ctu=16" : "";
    return kz_asprintf("log-level=error:info=0%s%s%s%s%s%s", narrow, pools, frames, hdr,
                       own ? ":" : "", own ? own : "");
}

static int set_options(AVDictionary **options, const kz_encoder_params *params,
                       AVCodecContext *context, const AVFrame *like, kz_log *log)
{
    int code = 0;
    context->thread_count = params->frame_threads ? params->frame_threads : params->threads;
    if (params->global_header)
        context->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    if (params->preset)
        code = av_dict_set(options, "preset", params->preset, 0);
    if (code >= 0 && params->crf >= 0) {
        char number[40];
        snprintf(number, sizeof(number), "%.6g", params->crf);
        code = av_dict_set(options, quality_option(context->priv_data), number, 0);
    }
    if (code >= 0 && strcmp(context->codec->name, "libx265") == 0) {
        char *text = x265_params(params, like, context->width);
        context->thread_count = 0;
        code = text ? av_dict_set(options, "x265-params", text, 0) : AVERROR(ENOMEM);
        kz_free(text);
    }
    return code < 0 ? kz_fail_memory(log, "encoder options") : 0;
}

bool kz_encoder_is_nvenc(const char *name)
{
    const size_t length = strlen(name);
    return length > 6 && strcmp(name + length - 6, "_nvenc") == 0;
}

static int open_failed(const kz_encoder *encoder, const kz_encoder_params *params, int code)
{
    const char *name = encoder->codec->name;
    const kz_av_reason reason = kz_av_reason_of(code, &encoder->note);
    char quality[40] = "";
    /* NVENC says the same of its sessions. */
    if (code == AVERROR(ENOMEM) && !encoder->note.text[0])
        return kz_fail_memory(encoder->log, name);
    if (kz_encoder_is_nvenc(name) && (code == AVERROR(EPERM) || code == AVERROR(ENOSYS)))
        return kz_fail(encoder->log, KZ_ERROR_FAILED, "encoder %s: no NVIDIA driver", name);
    if (code != AVERROR(EINVAL) && code != AVERROR(ERANGE) && code != AVERROR_OPTION_NOT_FOUND)
        return kz_fail(encoder->log, KZ_ERROR_FAILED, "encoder %s: %s", name, reason.text);
    if (params->crf >= 0)
        snprintf(quality, sizeof(quality), ", quality %.6g", params->crf);
    return kz_fail(encoder->log, KZ_ERROR_USAGE, "encoder %s refuses %dx%d%s%s%s%s%s: %s", name,
                   encoder->context->width, encoder->context->height,
                   params->preset ? ", preset " : "", params->preset ? params->preset : "", quality,
                   params->x265_params ? ", " : "", params->x265_params ? params->x265_params : "",
                   reason.text);
}

/* What libav met but didn't use: left-over options, and x265's own, which it only mutters about. */
static int check_used(const kz_encoder *encoder, AVDictionary *left)
{
    const char *name = encoder->codec->name;
    const AVDictionaryEntry *entry = av_dict_get(left, "", NULL, AV_DICT_IGNORE_SUFFIX);
    if (entry)
        return kz_fail(encoder->log, KZ_ERROR_USAGE, "encoder %s doesn't know option %s=%s", name,
                       entry->key, entry->value);
    if (strncmp(encoder->note.text, "Unknown option", 14) == 0 ||
        strncmp(encoder->note.text, "Invalid value", 13) == 0)
        return kz_fail(encoder->log, KZ_ERROR_USAGE, "encoder %s: %s", name, encoder->note.text);
    return 0;
}

/* What travels with frames and gets lost in encoders. */
static const struct {
    enum AVFrameSideDataType type;
    const char *name, *word; /* of --drop */
    const char *option;      /* an encoder that has it keeps them */
} losses[] = {
    {AV_FRAME_DATA_DYNAMIC_HDR_PLUS, "HDR10+ metadata", "hdr10plus", NULL},
    {AV_FRAME_DATA_DOVI_METADATA, "Dolby Vision metadata", "dovi", NULL},
    {AV_FRAME_DATA_DOVI_RPU_BUFFER, "Dolby Vision metadata", "dovi", NULL},
    {AV_FRAME_DATA_A53_CC, "closed captions", "captions", "a53cc"},
};

enum { LOSSES = sizeof(losses) / sizeof(losses[0]) };

static bool is_lost(const kz_encoder *encoder, int loss, const AVFrame *frame)
{
    const char *option = losses[loss].option;
    return av_frame_get_side_data(frame, losses[loss].type) &&
           !(option && encoder->context->priv_data &&
             av_opt_find(encoder->context->priv_data, option, NULL, 0, 0));
}

/* Before anything has been encoded there is a choice. */
static int refuse_lost(kz_encoder *encoder, const kz_choice *choice, const AVFrame *like)
{
    for (int i = 0; like && i < LOSSES; i++) {
        if (kz_choice_drops(choice, losses[i].word))
            *encoder->told |= 1U << i;
        else if (is_lost(encoder, i, like))
            return kz_fail(encoder->log, KZ_ERROR_USAGE,
                           "the video has %s, which encoder %s can't keep: --drop %s goes on "
                           "without",
                           losses[i].name, encoder->codec->name, losses[i].word);
    }
    return 0;
}

static int note_lost(kz_encoder *encoder, const AVFrame *frame)
{
    const double seconds = (double)frame->pts * av_q2d(encoder->context->time_base);
    for (int i = 0; i < LOSSES; i++) {
        if (*encoder->told >> i & 1 || !is_lost(encoder, i, frame))
            continue;
        if (encoder->strict)
            return kz_fail(encoder->log, KZ_ERROR_FAILED,
                           "from %.3f s on the video has %s, which encoder %s can't keep: --drop "
                           "%s goes on without",
                           seconds, losses[i].name, encoder->codec->name, losses[i].word);
        kz_log_line(encoder->log, KZ_LOG_WARNING,
                    "from %.3f s on the video has %s, which encoder %s can't keep", seconds,
                    losses[i].name, encoder->codec->name);
        *encoder->told |= 1U << i;
    }
    return 0;
}

static int open_codec(kz_encoder *encoder, const kz_encoder_params *params, const AVFrame *like)
{
    AVCodecContext *context = encoder->context;
    AVDictionary *options = NULL;
    int result = set_options(&options, params, context, like, encoder->log);
    if (result == 0 && params->context && !(context->hw_device_ctx = kz_av_gpu(params->context)))
        result = kz_fail(encoder->log, KZ_ERROR_FAILED, "encoder %s: no NVIDIA driver",
                         encoder->codec->name);
    if (result == 0) {
        context->opaque = &encoder->note;
        encoder->code = avcodec_open2(context, encoder->codec, &options);
        /* The threads of libav that work on a frame each would all complain into it. */
        if (encoder->codec->capabilities & AV_CODEC_CAP_FRAME_THREADS)
            context->opaque = NULL;
        result = encoder->code < 0 ? open_failed(encoder, params, encoder->code)
                                   : check_used(encoder, options);
    }
    av_dict_free(&options);
    return result;
}

static int prepare(kz_encoder *encoder, const kz_encoder_params *params,
                   const kz_video_format *format, const AVFrame *like)
{
    encoder->codec = avcodec_find_encoder_by_name(params->codec);
    encoder->context = avcodec_alloc_context3(encoder->codec);
    encoder->packet = av_packet_alloc();
    encoder->like = av_frame_alloc();
    encoder->packed = av_frame_alloc();
    encoder->pixels = format->pixel_format;
    if (!encoder->context || !encoder->packet || !encoder->like || !encoder->packed ||
        (like && av_frame_copy_props(encoder->like, like) < 0))
        return kz_fail_memory(encoder->log, "an encoder");
    set_format(encoder->context, format);
    set_colour(encoder->context, format, like);
    const int result = refuse_lost(encoder, &params->choice, like);
    return result == 0 ? open_codec(encoder, params, like) : result;
}

int kz_encoder_open(kz_encoder **encoder, const kz_encoder_params *params,
                    const kz_video_format *format, const kz_frame *like, kz_log *log)
{
    *encoder = NULL;
    int result = kz_encoder_check(params, format, log);
    if (result != 0)
        return result;
    kz_encoder *fresh = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, "an encoder");
    fresh->log = log;
    fresh->strict = params->strict;
    fresh->told = params->told ? params->told : &fresh->own;
    result = prepare(fresh, params, format, like ? like->av : NULL);
    fresh->note = (kz_av_note){0};
    if (result != 0)
        kz_encoder_close(&fresh);
    *encoder = fresh;
    return result;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Libav's words for what NVENC says are a programmer's; those that every other machine meets have
 * better ones. */
static void explain(const kz_encoder *encoder, char *why, size_t size)
{
    static const char session[] = "OpenEncodeSessionEx failed: ";
    const char *note = encoder->note.text, *reason = note + strlen(session);
    const AVCodecContext *context = encoder->context;
    if (encoder->code == AVERROR(ENOENT) || begins(note, "OpenEncodeSessionEx failed: unsupported"))
        snprintf(why, size, "this GPU has no NVENC");
    else if (begins(note, session))
        snprintf(why, size, "NVENC opens no session: %.*s", (int)strcspn(reason, "(") - 1, reason);
    else if (begins(note, "Provided device"))
        snprintf(why, size, "this GPU's NVENC doesn't take %dx%d %s", context->width,
                 context->height, av_get_pix_fmt_name(encoder->pixels));
    else
        snprintf(why, size, "%s: %s", encoder->codec->name,
                 note[0] ? note : av_err2str(encoder->code));
}

int kz_encoder_try(const kz_encoder_params *params, const kz_video_format *format, char *why,
                   size_t size)
{
    if (avcodec_find_encoder_by_name(params->codec))
        snprintf(why, size, "%s doesn't take %s", params->codec, format->pixel_name);
    else
        snprintf(why, size, "this libavcodec has no %s", params->codec);
    int result = kz_encoder_check(params, format, NULL);
    if (result != 0)
        return result;
    kz_encoder *trial = kz_alloc(1, sizeof(*trial));
    snprintf(why, size, trial ? "no NVIDIA driver" : "no memory");
    result = trial ? prepare(trial, params, format, NULL) : KZ_ERROR_MEMORY;
    if (result != 0 && trial && trial->code < 0)
        explain(trial, why, size);
    kz_encoder_close(&trial);
    return result;
}

void kz_encoder_close(kz_encoder **encoder)
{
    kz_encoder *old = *encoder;
    if (!old)
        return;
    avcodec_free_context(&old->context);
    av_packet_free(&old->packet);
    av_frame_free(&old->like);
    av_frame_free(&old->packed);
    kz_free(old);
    *encoder = NULL;
}

static int failed(const kz_encoder *encoder, int code)
{
    return kz_fail(encoder->log, KZ_ERROR_FAILED, "encoder %s: %s", encoder->codec->name,
                   kz_av_reason_of(code, &encoder->note).text);
}

static int check_frame(const kz_encoder *encoder, const AVFrame *av)
{
    const AVCodecContext *context = encoder->context;
    if (av->width == context->width && av->height == context->height &&
        av->format == (int)encoder->pixels)
        return 0;
    return kz_fail(encoder->log, KZ_ERROR_FAILED,
                   "encoder %s: a frame of %dx%d %s came, it was opened for %dx%d %s",
                   encoder->codec->name, av->width, av->height, av_get_pix_fmt_name(av->format),
                   context->width, context->height, av_get_pix_fmt_name(encoder->pixels));
}

static int send_packed(kz_encoder *encoder, const AVFrame *av)
{
    int code = kz_pack(encoder->packed, encoder->context->pix_fmt, av);
    if (code >= 0)
        code = avcodec_send_frame(encoder->context, encoder->packed);
    av_frame_unref(encoder->packed);
    return code;
}

int kz_encoder_send(kz_encoder *encoder, kz_frame *frame)
{
    AVFrame *av = frame ? frame->av : NULL;
    int result = av ? check_frame(encoder, av) : 0;
    if (result == 0 && av)
        result = note_lost(encoder, av);
    if (result == 0 && av) {
        encoder->frames[encoder->sent++ % FRAMES_UNDER_WAY] =
            (struct sent_frame){av->pts, kz_frame_duration(av)};
        /* The source's choice of key frames isn't ours, and no fields come out of the network. */
        av->pict_type = AV_PICTURE_TYPE_NONE;
        kz_frame_set_progressive(av);
    }
    if (result == 0) {
        const bool as_it_is = !av || av->format == (int)encoder->context->pix_fmt;
        const int code =
            as_it_is ? avcodec_send_frame(encoder->context, av) : send_packed(encoder, av);
        result = code < 0 && code != AVERROR_EOF ? failed(encoder, code) : 0;
    }
    kz_frame_close(&frame);
    return result;
}

/* x265 gives packets without one; with variable rates it can't be guessed later. */
static void set_duration(const kz_encoder *encoder, AVPacket *packet)
{
    const int64_t oldest = FFMAX(0, encoder->sent - FRAMES_UNDER_WAY);
    for (int64_t i = encoder->sent - 1; i >= oldest; i--) {
        const struct sent_frame *frame = &encoder->frames[i % FRAMES_UNDER_WAY];
        if (frame->pts == packet->pts) {
            packet->duration = frame->duration;
            return;
        }
    }
}

/* Libav takes a unit of the time base for a frame where it puts NVENC's decoding times before those
 * of presentation. A millisecond is too little for that: packets would be decoded after they are
 * shown. Frames come in the order in which they are shown. */
static void set_decoding_time(kz_encoder *encoder, AVPacket *packet)
{
    const int64_t place = encoder->received++ - encoder->context->has_b_frames;
    const struct sent_frame *frame = &encoder->frames[(place > 0 ? place : 0) % FRAMES_UNDER_WAY];
    if (kz_encoder_is_nvenc(encoder->codec->name))
        packet->dts = frame->pts + (place < 0 ? place * FFMAX(frame->duration, 1) : 0);
}

int kz_encoder_receive(kz_encoder *encoder, kz_packet **packet)
{
    const int code = avcodec_receive_packet(encoder->context, encoder->packet);
    if (code == AVERROR(EAGAIN))
        return KZ_AGAIN;
    if (code == AVERROR_EOF)
        return KZ_END;
    if (code < 0)
        return failed(encoder, code);
    set_duration(encoder, encoder->packet);
    set_decoding_time(encoder, encoder->packet);
    if (kz_packet_wrap(packet, encoder->packet, encoder->context->time_base) != 0)
        return kz_fail_memory(encoder->log, "a packet");
    (*packet)->video = true;
    return 0;
}

const AVCodecContext *kz_encoder_context(const kz_encoder *encoder)
{
    return encoder->context;
}

const AVFrame *kz_encoder_like(const kz_encoder *encoder)
{
    return encoder->like;
}

/* x265's own rule, and ffmpeg's for the others; written down, since it must be the same on another
 * machine that goes on with a run. */
int kz_encoder_frame_threads(const char *codec, int processors)
{
    if (strcmp(codec, "libx265") != 0)
        return processors > 16 ? 16 : processors;
    return processors >= 32   ? 6
           : processors >= 16 ? 4
           : processors >= 8  ? 3
                              : 1 + (processors >= 4);
}

const char *kz_encoder_whole_param(const char *x265_params)
{
    static const char *const whole[] = {
        "keyint",      "open-gop",  "pass",          "stats",         "qpfile",
        "zones",       "zonefile",  "analysis-save", "analysis-load", "analysis-reuse-file",
        "chunk-start", "chunk-end", "csv",           "recon"};
    for (const char *at = x265_params; at && *at; at += strcspn(at, ":"), at += *at == ':') {
        const size_t length = strcspn(at, "=:");
        for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
            if (strlen(whole[i]) == length && strncmp(at, whole[i], length) == 0)
                return at;
    }
    return NULL;
}

bool kz_encoder_is_raw(const char *codec)
{
    const AVCodec *known = avcodec_find_encoder_by_name(codec);
    return known && (known->id == AV_CODEC_ID_RAWVIDEO || known->id == AV_CODEC_ID_WRAPPED_AVFRAME);
}
