#include "media/output.h"

#include <libavutil/opt.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "media/compare.h"
#include "media/container.h"
#include "media/fill.h"
#include "media/internal.h"
#include "media/queue.h"
#include "media/target.h"

struct kz_output {
    const kz_input *input;
    AVFormatContext *av;
    AVFormatContext *expected; /* streams, chapters and tags as they were asked for */
    kz_target *target;
    kz_queue *queue;
    kz_log *log;
    kz_av_note note;
    size_t spill_bytes;
    kz_carrier carrier;
    kz_ledger ledger;
    kz_track encoded; /* the video's packets as they were written */
    int64_t *delay;   /* per output stream: added to its times */
    int64_t *last;    /* per output stream: the decoding time written last */
    int64_t *moved;   /* per output stream: packets whose times had to be moved */
    AVPacket *packet;
    int64_t latest; /* presentation time of the video so far */
    bool started;
};

const char *kz_output_ending(const kz_input *input, const char *path, const char *format,
                             char *buffer, size_t size)
{
    const AVOutputFormat *found = format ? kz_container_find(format, NULL) : NULL;
    if (!found && input)
        found = kz_carry_container(input, path);
    return found ? kz_container_ending(found, path, buffer, size) : ".mkv";
}

const char *kz_output_encoder(const char *path, const char *format, const char *wanted)
{
    const AVOutputFormat *found = kz_container_find(format, strcmp(path, "-") == 0 ? NULL : path);
    if (found && strcmp(found->name, "yuv4mpegpipe") == 0)
        return "wrapped_avframe";
    return found && strcmp(found->name, "rawvideo") == 0 ? "rawvideo" : wanted;
}

bool kz_output_keeps_rotation(const char *path, const char *format)
{
    const AVOutputFormat *found = kz_container_find(format, strcmp(path, "-") == 0 ? NULL : path);
    return found && kz_container_keeps_rotation(found);
}

/* NULL: no memory. */
static AVFormatContext *open_muxer(const AVOutputFormat *format, const char *url)
{
    AVFormatContext *av = NULL;
    if (avformat_alloc_output_context2(&av, format, NULL, NULL) < 0)
        return NULL;
    /* Equal runs give equal files: no random identifiers, no version of the library. */
    av->flags |= AVFMT_FLAG_BITEXACT;
    /* What the input holds is to be kept, whether or not its mapping is final. */
    av->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    av->max_delay = (int)(0.7 * AV_TIME_BASE);
    /* MPEG-TS tells Blu-ray's flavour by the ending. */
    av->url = av_strdup(url);
    if (!av->url) {
        avformat_free_context(av);
        av = NULL;
    }
    return av;
}

static int choose_container(kz_output *output, const kz_output_params *params)
{
    const bool pipe = strcmp(params->path, "-") == 0;
    const AVOutputFormat *format = kz_container_find(params->format, pipe ? NULL : params->path);
    if (!format && params->format)
        return kz_fail(output->log, KZ_ERROR_USAGE,
                       "%s: no container '%s' in this libavformat (for example matroska, mp4)",
                       params->path, params->format);
    if (!format)
        return kz_fail(output->log, KZ_ERROR_USAGE,
                       pipe ? "standard output: name its container, for example matroska"
                            : "%s: its ending names no container (for example .mkv)",
                       params->path);
    if (format->flags & AVFMT_NOFILE)
        return kz_fail(output->log, KZ_ERROR_USAGE, "%s: %s isn't a container for a file",
                       params->path, format->name);
    output->av = open_muxer(format, pipe ? "" : params->path);
    if (!output->av || avformat_alloc_output_context2(&output->expected, format, NULL, NULL) < 0)
        return kz_fail_memory(output->log, params->path);
    return 0;
}

static int alloc_tables(kz_output *output)
{
    const size_t count = (size_t)output->carrier.streams;
    output->last = kz_alloc(count, sizeof(*output->last));
    output->delay = kz_alloc(count, sizeof(*output->delay));
    output->moved = kz_alloc(count, sizeof(*output->moved));
    output->packet = av_packet_alloc();
    if (!output->last || !output->delay || !output->moved || !output->packet ||
        kz_queue_open(&output->queue, output->input->count) != 0 ||
        kz_ledger_open(&output->ledger, &output->carrier) != 0 ||
        kz_track_open(&output->encoded, (AVRational){0, 1}) != 0)
        return kz_fail_memory(output->log, "the output");
    return 0;
}

static int open_carrier(kz_output *output, const char *path, enum AVCodecID video)
{
    const kz_vessel vessel = {.format = output->av->oformat, .path = path, .video = video};
    return kz_carrier_open(&output->carrier, output->input, &vessel, true, output->log);
}

static int open_output(kz_output *output, const kz_output_params *params, const char *codec)
{
    const AVCodec *encoder = avcodec_find_encoder_by_name(codec);
    if (!encoder)
        return kz_fail(output->log, KZ_ERROR_USAGE, "encoder '%s' isn't in this libavcodec", codec);
    int result = choose_container(output, params);
    if (result == 0)
        result = open_carrier(
            output, strcmp(params->path, "-") == 0 ? "standard output" : params->path, encoder->id);
    if (result == 0)
        result = alloc_tables(output);
    if (result == 0)
        result = kz_target_open(&output->target, params->path, params->part, output->input->name,
                                params->overwrite, output->log);
    if (result != 0)
        return result;
    output->av->pb = kz_target_io(output->target);
    return 0;
}

int kz_output_open(kz_output **output, const kz_output_params *params, const kz_input *input,
                   const char *codec, kz_log *log)
{
    kz_output *fresh = kz_alloc(1, sizeof(*fresh));
    *output = NULL;
    if (!fresh)
        return kz_fail_memory(log, params->path);
    fresh->input = input;
    fresh->log = log;
    fresh->spill_bytes = params->spill_bytes;
    fresh->latest = INT64_MIN;
    const int result = open_output(fresh, params, codec);
    if (result != 0)
        kz_output_close(&fresh);
    *output = fresh;
    return result;
}

void kz_output_close(kz_output **output)
{
    kz_output *old = *output;
    if (!old)
        return;
    avformat_free_context(old->av);
    avformat_free_context(old->expected);
    kz_target_close(&old->target);
    kz_queue_close(&old->queue);
    av_packet_free(&old->packet);
    kz_track_close(&old->encoded);
    kz_ledger_close(&old->ledger);
    kz_carrier_close(&old->carrier);
    kz_free(old->moved);
    kz_free(old->delay);
    kz_free(old->last);
    kz_free(old);
    *output = NULL;
}

const char *kz_output_temporary(const kz_output *output)
{
    return kz_target_temporary(output->target);
}

bool kz_output_needs_global_header(const kz_output *output)
{
    return output->av->oformat->flags & AVFMT_GLOBALHEADER;
}

/* A closed pipe is the reader's wish, not a failure. */
static int write_failed(const kz_output *output, int code, const char *what)
{
    const int error = kz_target_error(output->target);
    const char *name = kz_target_name(output->target);
    if (error == EPIPE)
        return KZ_ERROR_CANCELLED;
    if (error)
        return kz_fail(output->log, KZ_ERROR_FAILED, "%s: %s", name, strerror(error));
    const kz_av_reason reason = kz_av_reason_of(code, &output->note);
    return kz_fail(output->log, KZ_ERROR_FAILED, "%s: %s: %s", name, what, reason.text);
}

/* Edit lists say when a stream begins in these units: milliseconds would be too coarse. A pipe can
 * only be written in fragments. */
static int set_mov_options(const AVFormatContext *av, AVDictionary **options)
{
    int code = av_dict_set(options, "movie_timescale", "90000", 0);
    if (code >= 0 && !av->pb->seekable)
        code = av_dict_set(options, "movflags", "frag_keyframe+empty_moov+default_base_moof", 0);
    return code;
}

static int write_header(kz_output *output, AVFormatContext *av)
{
    AVDictionary *options = NULL;
    /* Matroska would make the first track of each kind a default one. */
    int code = av_dict_set(&options, "default_mode", "passthrough", 0);
    if (code >= 0 && kz_container_is_mov(av->oformat))
        code = set_mov_options(av, &options);
    if (code < 0) {
        av_dict_free(&options);
        return kz_fail_memory(output->log, "container options");
    }
    av->opaque = &output->note;
    code = avformat_write_header(av, &options);
    av->opaque = NULL;
    av_dict_free(&options);
    return code < 0 ? write_failed(output, code, av->oformat->name) : 0;
}

int kz_output_rehearse(kz_output *output, const kz_form *form)
{
    AVFormatContext *av = open_muxer(output->av->oformat, output->av->url);
    uint8_t *header = NULL;
    int result;
    if (!av || avio_open_dyn_buf(&av->pb) < 0 || kz_fill(av, &output->carrier, form) != 0)
        result = kz_fail_memory(output->log, kz_target_name(output->target));
    else
        result = write_header(output, av);
    if (av && av->pb)
        avio_close_dyn_buf(av->pb, &header);
    av_free(header);
    avformat_free_context(av);
    return result;
}

/* Matroska tells an Opus stream's pre-skip as a delay that readers take off its times; up to this
 * version libavformat's muxer doesn't add it. */
static int64_t missing_delay(const AVFormatContext *av, int stream)
{
    const AVCodecParameters *par = av->streams[stream]->codecpar;
#if LIBAVFORMAT_VERSION_MAJOR < 62
    if (kz_container_is_matroska(av->oformat) && par->codec_id == AV_CODEC_ID_OPUS)
        return av_rescale_q(par->initial_padding, (AVRational){1, 48000},
                            av->streams[stream]->time_base);
#endif
    (void)par;
    return 0;
}

int kz_output_start(kz_output *output, const kz_form *form)
{
    if (kz_fill(output->av, &output->carrier, form) != 0)
        return kz_fail_memory(output->log, kz_target_name(output->target));
    /* Muxers rename tags in their own copy. */
    if (kz_fill(output->expected, &output->carrier, form) != 0)
        return kz_fail_memory(output->log, kz_target_name(output->target));
    for (unsigned i = 0; i < output->av->nb_streams; i++)
        output->last[i] = AV_NOPTS_VALUE;
    const int result = write_header(output, output->av);
    for (unsigned i = 0; i < output->av->nb_streams && result == 0; i++)
        output->delay[i] = missing_delay(output->av, (int)i);
    output->started = result == 0;
    return result;
}

int kz_output_copy(kz_output *output, kz_packet *packet)
{
    int result = kz_carrier_convert(&output->carrier, &packet);
    if (result != 0 || !packet)
        return result;
    if (kz_ledger_packet(&output->ledger, packet) != 0) {
        kz_packet_close(&packet);
        return kz_fail_memory(output->log, "the check of the output");
    }
    kz_queue_push(output->queue, packet);
    return 0;
}

int kz_output_frame(kz_output *output, const kz_frame *frame)
{
    return kz_ledger_frame(&output->ledger, frame) == 0
               ? 0
               : kz_fail_memory(output->log, "the check of the output");
}

int kz_output_first(kz_output *output, const kz_frame *first)
{
    return kz_ledger_first(&output->ledger, first) == 0
               ? 0
               : kz_fail_memory(output->log, "the check of the output");
}

int kz_output_marks(kz_output *output, const kz_frame_mark *marks, size_t count)
{
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = kz_ledger_mark(&output->ledger, &marks[i]);
    return result == 0 ? 0 : kz_fail_memory(output->log, "the check of the output");
}

bool kz_output_is_ahead(const kz_output *output, const kz_packet *packet)
{
    const int64_t latest = FFMAX(output->latest, packet->av->pts);
    return output->input->mark == INT64_MIN ||
           av_compare_ts(output->input->mark, kz_input_video_stream(output->input)->time_base,
                         latest, packet->time_base) < 0;
}

void kz_output_copy_end(kz_output *output)
{
    kz_queue_finish(output->queue);
}

/* The smallest change that a muxer accepts: decoding times grow, and none is after its
 * presentation. */
static void make_even(kz_output *output, AVPacket *packet)
{
    const int strict = !(output->av->oformat->flags & AVFMT_TS_NONSTRICT);
    int64_t *last = &output->last[packet->stream_index];
    if (packet->dts == AV_NOPTS_VALUE)
        packet->dts = packet->pts;
    if (packet->dts == AV_NOPTS_VALUE)
        return;
    const bool late = packet->pts != AV_NOPTS_VALUE && packet->dts > packet->pts;
    int64_t dts = late ? packet->pts : packet->dts;
    if (*last != AV_NOPTS_VALUE && dts < *last + strict)
        dts = *last + strict;
    if (dts != packet->dts && output->moved[packet->stream_index]++ == 0)
        kz_log_line(output->log, KZ_LOG_WARNING,
                    "%s: stream %d: a packet's decoding time isn't after the one before: moved",
                    kz_target_name(output->target), packet->stream_index);
    packet->dts = dts;
    if (packet->pts != AV_NOPTS_VALUE)
        packet->pts = FFMAX(packet->pts, dts);
    *last = dts;
}

static int write_packet(kz_output *output, kz_packet *packet, int stream)
{
    AVPacket *av = output->packet;
    av_packet_move_ref(av, packet->av);
    av_packet_rescale_ts(av, packet->time_base, output->av->streams[stream]->time_base);
    if (av->pts != AV_NOPTS_VALUE)
        av->pts += output->delay[stream];
    if (av->dts != AV_NOPTS_VALUE)
        av->dts += output->delay[stream];
    av->stream_index = stream;
    av->pos = -1;
    kz_packet_close(&packet);
    make_even(output, av);
    output->av->opaque = &output->note;
    const int code = av_write_frame(output->av, av);
    output->av->opaque = NULL;
    av_packet_unref(av);
    return code < 0 ? write_failed(output, code, "can't write a packet") : 0;
}

static int write_copied(kz_output *output, kz_packet *packet)
{
    return write_packet(output, packet, output->carrier.map[packet->av->stream_index]);
}

static int write_due(kz_output *output, const kz_packet *video)
{
    const AVPacket *av = video->av;
    output->latest = FFMAX(output->latest, av->pts);
    const kz_video_point point = {.time_base = video->time_base,
                                  .mark_base = kz_input_video_stream(output->input)->time_base,
                                  .decode = av->dts == AV_NOPTS_VALUE ? av->pts : av->dts,
                                  .latest = output->latest};
    int result = 0;
    while (result == 0) {
        kz_packet *packet = kz_queue_take(output->queue, &point, output->spill_bytes);
        if (!packet)
            break;
        result = write_copied(output, packet);
    }
    return result;
}

int kz_output_spill(kz_output *output)
{
    int result = 0;
    for (kz_packet *packet;
         result == 0 && (packet = kz_queue_take_excess(output->queue, output->spill_bytes));)
        result = write_copied(output, packet);
    return result;
}

int kz_output_video(kz_output *output, kz_packet *packet)
{
    const int video = output->carrier.map[output->input->video];
    int result = write_due(output, packet);
    if (result == 0 &&
        kz_track_packet(&output->encoded, packet->av, output->av->streams[video]->codecpar) != 0)
        result = kz_fail_memory(output->log, "the check of the output");
    if (result == 0)
        return write_packet(output, packet, video);
    kz_packet_close(&packet);
    return result;
}

static void say_moved(const kz_output *output)
{
    for (unsigned i = 0; i < output->av->nb_streams; i++)
        if (output->moved[i] > 1)
            kz_log_line(output->log, KZ_LOG_WARNING,
                        "%s: stream %u: %lld packets' decoding times were moved",
                        kz_target_name(output->target), i, (long long)output->moved[i]);
}

static int finish_file(kz_output *output)
{
    int result = 0;
    for (kz_packet *packet; result == 0 && (packet = kz_queue_take_rest(output->queue));)
        result = write_copied(output, packet);
    if (result != 0)
        return result;
    const int code = av_write_trailer(output->av);
    avio_flush(output->av->pb);
    if (code < 0 || kz_target_error(output->target))
        return write_failed(output, code, "can't finish the file");
    say_moved(output);
    return 0;
}

/* Every finding that isn't good is a line; the file stays, since hours of work may be in it. */
static int judge(kz_output *output, const kz_report *report)
{
    for (int i = 0; i < report->count; i++) {
        const kz_finding *finding = &report->findings[i];
        kz_log_line(output->log, finding->ok ? KZ_LOG_VERBOSE : KZ_LOG_ERROR, "%s%s: %s",
                    finding->ok ? "checked " : "", finding->what, finding->text);
    }
    if (kz_report_is_good(report))
        return 0;
    if (report->short_of_memory)
        return kz_fail_memory(output->log, "the check of the output");
    kz_target_keep(output->target);
    return kz_fail(output->log, KZ_ERROR_FAILED,
                   "%s: the finished file isn't as it should be; it is %s",
                   kz_target_name(output->target), kz_target_temporary(output->target));
}

static void say_checked(const kz_output *output, const kz_checker *checker, double seconds)
{
    size_t packets = 0;
    for (int i = 0; i < output->carrier.streams; i++)
        packets += output->ledger.tracks[i].count;
    kz_log_line(
        output->log, KZ_LOG_INFO,
        "checked %s: read back in %.1f s: %zu frames%s, %zu packets of %d other streams, all "
        "as they went in",
        kz_target_name(output->target), seconds, output->ledger.video->count,
        checker ? ", each decoded" : "", packets - output->ledger.video->count,
        output->carrier.streams - 1);
}

static int read_back(kz_output *output, const kz_checker *checker)
{
    const double began = kz_now();
    kz_found found;
    kz_report report = {0};
    int result = kz_found_read(&found, kz_target_temporary(output->target), false,
                               output->input->cancel, output->log);
    if (result == 0) {
        const kz_comparison comparison = {.ledger = &output->ledger,
                                          .expected = output->expected,
                                          .found = &found,
                                          .encoded = &output->encoded,
                                          .checker = checker,
                                          .moved = output->moved};
        result = kz_compare(&comparison, &report);
        if (result != 0)
            kz_fail_memory(output->log, "the check of the output");
    }
    if (result == 0)
        result = judge(output, &report);
    if (result == 0)
        say_checked(output, checker, kz_now() - began);
    kz_report_close(&report);
    kz_found_close(&found);
    return result;
}

int kz_output_finish(kz_output *output, const kz_checker *checker)
{
    if (!output->started)
        return kz_fail(output->log, KZ_ERROR_FAILED, "%s: there is no video to write",
                       kz_target_name(output->target));
    int result = finish_file(output);
    if (result == 0 && kz_target_temporary(output->target) &&
        !kz_container_is_video_only(output->av->oformat))
        result = read_back(output, checker);
    return result == 0 ? kz_target_commit(output->target) : result;
}

int64_t kz_output_bytes(const kz_output *output)
{
    return kz_target_bytes(output->target);
}
