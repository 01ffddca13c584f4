#include "media/input.h"

#include <errno.h>
#include <libavutil/bprint.h>
#include <libavutil/dovi_meta.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "media/internal.h"

/* Libav's default of 5 MB misses streams that begin late and subtitles of unknown size. */
#define PROBE_BYTES (32 << 20)
#define PROBE_SECONDS 60

static int interrupted(void *opaque)
{
    return kz_input_cancelled(opaque);
}

/* Says what is wrong in the system's words, before libav says it in its own. */
static int check_path(const kz_input *input, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        const int code = errno == ENOENT || errno == ENOTDIR ? KZ_ERROR_USAGE : KZ_ERROR_FAILED;
        return kz_fail(input->log, code, "%s: %s", input->name, strerror(errno));
    }
    if (S_ISDIR(info.st_mode))
        return kz_fail(input->log, KZ_ERROR_USAGE, "%s: is a directory", input->name);
    return 0;
}

static int open_failed(const kz_input *input, int code)
{
    if (code == AVERROR_EXIT || kz_input_cancelled(input))
        return KZ_ERROR_CANCELLED;
    if (code == AVERROR(ENOMEM))
        return kz_fail_memory(input->log, input->name);
    if (code == AVERROR_INVALIDDATA || code == AVERROR_EOF)
        return kz_fail(input->log, KZ_ERROR_FAILED, "%s: not a media file libav knows: %s",
                       input->name, av_err2str(code));
    return kz_fail(input->log, KZ_ERROR_FAILED, "%s: %s%s", input->name, av_err2str(code),
                   code == AVERROR(EIO) ? ": is the file truncated?" : "");
}

/* What raw video can't tell. */
static int raw_options(AVDictionary **options, const kz_input_params *params)
{
    int code = av_dict_set(options, "video_size", params->raw_size, 0);
    if (code >= 0)
        code = av_dict_set(options, "pixel_format",
                           params->raw_pixels ? params->raw_pixels : "yuv420p", 0);
    if (code >= 0)
        code = av_dict_set(options, "framerate", params->raw_rate ? params->raw_rate : "25", 0);
    return code;
}

static int open_format(kz_input *input, const kz_input_params *params, const char *url)
{
    const bool raw = params->raw_size;
    AVDictionary *options = NULL;
    int code = raw ? raw_options(&options, params) : 0;
    if (code >= 0)
        code = avformat_open_input(&input->av, url, raw ? av_find_input_format("rawvideo") : NULL,
                                   &options);
    av_dict_free(&options);
    if (code == AVERROR(EINVAL) && raw)
        return kz_fail(input->log, KZ_ERROR_USAGE,
                       "%s: raw video of size %s, pixel format %s, rate %s: one of these is wrong",
                       input->name, params->raw_size,
                       params->raw_pixels ? params->raw_pixels : "yuv420p",
                       params->raw_rate ? params->raw_rate : "25");
    return code < 0 ? open_failed(input, code) : 0;
}

static int open_container(kz_input *input, const kz_input_params *params)
{
    const char *path = params->path;
    const bool pipe = strcmp(path, "-") == 0;
    int result =
        pipe ? kz_stdin_open(&input->io, input->cancel, input->log) : check_path(input, path);
    if (result != 0)
        return result;
    /* "file:" keeps a colon or a dash of the name from meaning a protocol or an option. */
    char *url = kz_asprintf("file:%s", path);
    input->av = avformat_alloc_context();
    if (!url || !input->av) {
        kz_free(url);
        return kz_fail_memory(input->log, input->name);
    }
    input->av->interrupt_callback = (AVIOInterruptCB){interrupted, input};
    input->av->probesize = PROBE_BYTES;
    input->av->max_analyze_duration = PROBE_SECONDS * (int64_t)AV_TIME_BASE;
    input->av->pb = input->io;
    result = open_format(input, params, pipe ? NULL : url);
    kz_free(url);
    if (result != 0)
        return result;
    /* Libav draws any text file as a film of a terminal. */
    if (strcmp(input->av->iformat->name, "tty") == 0)
        return open_failed(input, AVERROR_INVALIDDATA);
    const int probed = avformat_find_stream_info(input->av, NULL);
    return probed < 0 || kz_input_cancelled(input) ? open_failed(input, probed) : 0;
}

/* The word of --drop that means streams like this one; NULL: audio, subtitles. */
static const char *kind_of(const AVStream *stream)
{
    switch (stream->codecpar->codec_type) {
    case AVMEDIA_TYPE_AUDIO:
    case AVMEDIA_TYPE_SUBTITLE:
        return NULL;
    case AVMEDIA_TYPE_VIDEO:
        return stream->disposition & AV_DISPOSITION_ATTACHED_PIC ? "cover" : "video";
    case AVMEDIA_TYPE_ATTACHMENT:
        return "attachments";
    default:
        return "data";
    }
}

bool kz_input_wants(const kz_input *input, const AVStream *stream)
{
    const kz_choice *choice = &input->choice;
    const AVDictionaryEntry *language = av_dict_get(stream->metadata, "language", NULL, 0);
    const bool audio = stream->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
    const char *kind = kind_of(stream);
    if (kz_choice_drops_stream(choice, stream->index))
        return false;
    if (kind)
        return !kz_choice_drops(choice, kind);
    return kz_choice_takes_language(audio ? choice->audio : choice->subs,
                                    language ? language->value : NULL);
}

/* A DVD's navigation packets tell places in the file that they stand in, and nowhere else. */
static bool is_of_the_file(const kz_input *input, const AVStream *stream)
{
    if (stream->codecpar->codec_id != AV_CODEC_ID_DVD_NAV)
        return false;
    kz_log_line(input->remarks, KZ_LOG_INFO,
                "stream %d (DVD navigation) tells places in the old file: left out", stream->index);
    return true;
}

/* A language nobody speaks here is more often a slip than a wish. */
static void warn_if_none(const kz_input *input, enum AVMediaType type, const char *option,
                         const char *wanted)
{
    int there = 0, taken = 0;
    for (int i = 0; i < input->count; i++) {
        const bool of_type = input->av->streams[i]->codecpar->codec_type == type;
        there += of_type;
        taken += of_type && input->streams[i].used;
    }
    if (there && !taken && wanted && strcasecmp(wanted, "none") != 0 &&
        strcasecmp(wanted, "all") != 0)
        kz_log_line(input->remarks, KZ_LOG_WARNING, "%s: %s %s: none of the %d %s streams is that",
                    input->name, option, wanted, there, av_get_media_type_string(type));
}

/* av_find_best_stream() would take a cover picture when there is nothing else. */
static int find_video(const kz_input *input)
{
    const int best = av_find_best_stream(input->av, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (best < 0 || input->av->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC)
        return -1;
    return best;
}

static int choose_streams(kz_input *input)
{
    input->count = (int)input->av->nb_streams;
    input->streams = kz_alloc((size_t)input->count, sizeof(*input->streams));
    if (!input->streams)
        return kz_fail_memory(input->log, input->name);
    input->video = find_video(input);
    if (input->video < 0)
        return kz_fail(input->log, KZ_ERROR_FAILED, "%s: no video stream", input->name);
    if (kz_choice_drops_stream(&input->choice, input->video))
        return kz_fail(input->log, KZ_ERROR_USAGE, "%s: --drop %d: that is the video to upscale",
                       input->name, input->video);
    for (int i = 0; i < input->count; i++) {
        const AVStream *stream = input->av->streams[i];
        /* What the demuxer itself leaves out, such as an MP4's chapter text, is no loss. The rest
         * is read even where it isn't wanted: it may be what lasts until the file's end. */
        input->streams[i].used =
            i == input->video || (stream->discard < AVDISCARD_ALL &&
                                  !is_of_the_file(input, stream) && kz_input_wants(input, stream));
    }
    if (kz_choice_last_dropped(&input->choice) >= input->count)
        kz_log_line(input->remarks, KZ_LOG_WARNING, "%s: --drop %d: it has %d streams, from 0 on",
                    input->name, kz_choice_last_dropped(&input->choice), input->count);
    warn_if_none(input, AVMEDIA_TYPE_AUDIO, "--audio", input->choice.audio);
    warn_if_none(input, AVMEDIA_TYPE_SUBTITLE, "--subs", input->choice.subs);
    return 0;
}

static kz_ratio ratio(AVRational value)
{
    return value.num > 0 && value.den > 0 ? (kz_ratio){value.num, value.den} : (kz_ratio){0, 1};
}

/* Profile 5 has no picture in a colour space that anything but Dolby's decoder knows. */
static bool is_dolby_only(const AVStream *stream)
{
    size_t size = 0;
    const void *data = kz_stream_side_get(stream, AV_PKT_DATA_DOVI_CONF, &size);
    const AVDOVIDecoderConfigurationRecord *record = data;
    return record && record->dv_profile == 5;
}

static int read_format(kz_input *input)
{
    AVStream *stream = kz_input_video_stream(input);
    const AVCodecParameters *par = stream->codecpar;
    kz_video_format *format = &input->format;
    /* A stream of which no frame was found names no pixel format; should a frame come after all,
     * the decoder compares it with this guess. */
    const char *name = av_get_pix_fmt_name(par->format);
    if (par->width <= 0 || par->height <= 0)
        return kz_fail(input->log, KZ_ERROR_FAILED, "%s: the video stream (%s) has no size",
                       input->name, avcodec_get_name(par->codec_id));
    if (is_dolby_only(stream))
        return kz_fail(input->log, KZ_ERROR_FAILED,
                       "%s: Dolby Vision profile 5: its colours can't be decoded", input->name);
    if (kz_format_by_name(format, name ? name : "yuv420p") != 0) {
        /* What isn't carried as it is the decoder's filters convert. */
        format->pixel_format = par->format;
        format->pixel_name = name;
    }
    format->width = par->width;
    format->height = par->height;
    format->full_range = kz_format_is_full(format->pixel_format, par->color_range);
    format->site = kz_format_site(par->chroma_location);
    format->luma = kz_format_luma(par->color_space, par->height);
    format->sample_aspect = ratio(av_guess_sample_aspect_ratio(input->av, stream, NULL));
    format->frame_rate = ratio(av_guess_frame_rate(input->av, stream, NULL));
    format->time_base = (kz_ratio){stream->time_base.num, stream->time_base.den};
    return 0;
}

static void read_times(kz_input *input, const kz_input_params *params)
{
    const int64_t begin = input->av->start_time == AV_NOPTS_VALUE ? 0 : input->av->start_time;
    input->start = params->start;
    input->shift = begin + llrint(params->start * AV_TIME_BASE);
    input->length = params->duration > 0 ? llrint(params->duration * AV_TIME_BASE) : INT64_MAX;
    for (int i = 0; i < input->count; i++) {
        const AVRational base = input->av->streams[i]->time_base;
        kz_input_stream *stream = &input->streams[i];
        stream->shift = av_rescale_q(input->shift, AV_TIME_BASE_Q, base);
        stream->end = INT64_MAX;
        if (input->length != INT64_MAX)
            stream->end = av_rescale_q_rnd(input->length, AV_TIME_BASE_Q, base, AV_ROUND_UP);
    }
    input->mark = INT64_MIN;
    input->reached = INT64_MIN;
}

/* Length of what will be read in AV_TIME_BASE units, 0: unknown. */
static int64_t known_length(const kz_input *input)
{
    if (input->av->duration == AV_NOPTS_VALUE || input->av->duration <= 0)
        return 0;
    const int64_t left = input->av->duration - llrint(input->start * AV_TIME_BASE);
    return left <= 0 ? 0 : FFMIN(left, input->length);
}

void kz_input_end_at(kz_input *input, int64_t time, kz_ratio base)
{
    const AVRational units = {base.num, base.den};
    for (int i = 0; i < input->count; i++)
        input->streams[i].end =
            FFMIN(input->streams[i].end,
                  av_rescale_q_rnd(time, units, input->av->streams[i]->time_base, AV_ROUND_UP));
}

static void describe_copied(const kz_input *input, enum AVMediaType type, AVBPrint *text)
{
    int count = 0;
    for (int i = 0; i < input->count; i++)
        count += i != input->video && input->streams[i].used &&
                 input->av->streams[i]->codecpar->codec_type == type;
    if (count == 0)
        return;
    av_bprintf(text, ", %d %s%s%s", count, type == AVMEDIA_TYPE_VIDEO ? "more " : "",
               av_get_media_type_string(type), count > 1 && type != AVMEDIA_TYPE_DATA ? "s" : "");
    const char *mark = " (";
    for (int i = 0; i < input->count && type != AVMEDIA_TYPE_ATTACHMENT; i++) {
        const AVCodecParameters *par = input->av->streams[i]->codecpar;
        if (i == input->video || !input->streams[i].used || par->codec_type != type)
            continue;
        av_bprintf(text, "%s%s", mark, avcodec_get_name(par->codec_id));
        mark = ", ";
    }
    if (type != AVMEDIA_TYPE_ATTACHMENT)
        av_bprintf(text, ")");
}

static int describe(kz_input *input)
{
    const kz_video_format *format = &input->format;
    const AVCodecParameters *par = kz_input_video_stream(input)->codecpar;
    const int64_t seconds = known_length(input) / AV_TIME_BASE;
    AVBPrint text;
    av_bprint_init(&text, 0, AV_BPRINT_SIZE_UNLIMITED);
    av_bprintf(&text, "%s: %s, %s %dx%d %s", input->name, input->av->iformat->name,
               avcodec_get_name(par->codec_id), format->width, format->height, format->pixel_name);
    if (format->frame_rate.num)
        av_bprintf(&text, " %.6g fps", (double)format->frame_rate.num / format->frame_rate.den);
    if (known_length(input))
        av_bprintf(&text, ", %d:%02d:%02d", (int)(seconds / 3600), (int)(seconds / 60 % 60),
                   (int)(seconds % 60));
    describe_copied(input, AVMEDIA_TYPE_AUDIO, &text);
    describe_copied(input, AVMEDIA_TYPE_SUBTITLE, &text);
    describe_copied(input, AVMEDIA_TYPE_VIDEO, &text);
    describe_copied(input, AVMEDIA_TYPE_DATA, &text);
    describe_copied(input, AVMEDIA_TYPE_ATTACHMENT, &text);
    if (av_bprint_finalize(&text, &input->describe) < 0)
        return kz_fail_memory(input->log, input->name);
    return 0;
}

int kz_input_has_no_frame(const kz_input *input)
{
    if (input->start > 0)
        return kz_fail(input->log, KZ_ERROR_FAILED,
                       "%s: the video has no frame from %g s on, where --start begins", input->name,
                       input->start);
    return kz_fail(input->log, KZ_ERROR_FAILED, "%s: the video stream has no frame to decode",
                   input->name);
}

int kz_input_open(kz_input **input, const kz_input_params *params, kz_log *log)
{
    kz_av_log_setup();
    kz_input *fresh = kz_alloc(1, sizeof(*fresh));
    *input = NULL;
    if (!fresh)
        return kz_fail_memory(log, params->path);
    fresh->log = log;
    fresh->remarks = params->again ? NULL : log;
    fresh->cancel = params->cancel;
    fresh->choice = params->choice;
    fresh->name = kz_strdup(strcmp(params->path, "-") == 0 ? "standard input" : params->path);
    fresh->packet = av_packet_alloc();
    int result = fresh->name && fresh->packet ? kz_choice_check(&params->choice, log)
                                              : kz_fail_memory(log, params->path);
    if (result == 0)
        result = open_container(fresh, params);
    if (result == 0)
        result = choose_streams(fresh);
    if (result == 0)
        result = read_format(fresh);
    if (result == 0) {
        read_times(fresh, params);
        result = describe(fresh);
    }
    if (result == 0 && params->start > 0)
        result = kz_input_seek(fresh, 0);
    if (result == 0 && params->to_pipe)
        result = kz_input_learn_aac(fresh);
    if (result != 0)
        kz_input_close(&fresh);
    *input = fresh;
    return result;
}

void kz_input_close(kz_input **input)
{
    kz_input *old = *input;
    if (!old)
        return;
    while (old->ahead) {
        kz_packet *next = old->ahead->next;
        kz_packet_close(&old->ahead);
        old->ahead = next;
    }
    avformat_close_input(&old->av);
    kz_stdin_close(&old->io);
    av_packet_free(&old->packet);
    av_freep(&old->describe);
    kz_free(old->streams);
    kz_free(old->name);
    kz_free(old);
    *input = NULL;
}

const kz_video_format *kz_input_format(const kz_input *input)
{
    return &input->format;
}

const char *kz_input_describe(const kz_input *input)
{
    return input->describe;
}

bool kz_input_is_hdr(const kz_input *input)
{
    const AVStream *stream = kz_input_video_stream(input);
    const enum AVColorTransferCharacteristic transfer = stream->codecpar->color_trc;
    size_t size;
    return transfer == AVCOL_TRC_SMPTE2084 || transfer == AVCOL_TRC_ARIB_STD_B67 ||
           kz_stream_side_get(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA, &size) ||
           kz_stream_side_get(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL, &size);
}

int64_t kz_input_frames(const kz_input *input)
{
    const AVStream *stream = kz_input_video_stream(input);
    if (stream->nb_frames > 0 && input->start <= 0 && input->length == INT64_MAX)
        return stream->nb_frames;
    const kz_ratio rate = input->format.frame_rate;
    return av_rescale(known_length(input), rate.num, (int64_t)rate.den * AV_TIME_BASE);
}
