#include "media/output.h"

#include <libavutil/opt.h>
#include <string.h>

#include "base/mem.h"
#include "media/carry.h"
#include "media/container.h"
#include "media/fill.h"
#include "media/internal.h"
#include "media/queue.h"
#include "media/target.h"

struct kz_output {
    const kz_input *input;
    AVFormatContext *av;
    kz_target *target;
    kz_queue *queue;
    kz_log *log;
    kz_av_note note;
    size_t spill_bytes;
    enum kz_carry *forms; /* per input stream, as the next two */
    kz_text **texts;      /* NULL where nothing is converted */
    int *map;             /* the output stream, -1: not there */
    int64_t *last;        /* per output stream: the decoding time written last */
    AVPacket *packet;
    int64_t latest; /* presentation time of the video so far */
    int64_t uneven; /* packets whose decoding time had to be moved */
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
    if (avformat_alloc_output_context2(&output->av, format, NULL, NULL) < 0)
        return kz_fail_memory(output->log, params->path);
    /* Equal runs give equal files: no random identifiers, no version of the library. */
    output->av->flags |= AVFMT_FLAG_BITEXACT;
    /* What the input holds is to be kept, whether or not its mapping is final. */
    output->av->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    output->av->max_delay = (int)(0.7 * AV_TIME_BASE);
    /* MPEG-TS tells Blu-ray's flavour by the ending. */
    output->av->url = av_strdup(pipe ? "" : params->path);
    return output->av->url ? 0 : kz_fail_memory(output->log, params->path);
}

static int open_texts(kz_output *output)
{
    int result = 0;
    for (int i = 0; i < output->input->count && result == 0; i++)
        if (output->forms[i] == KZ_CARRY_ASS)
            result = kz_text_open(&output->texts[i], output->input->av->streams[i], output->log);
    return result;
}

static int alloc_tables(kz_output *output)
{
    const size_t count = (size_t)output->input->count;
    output->forms = kz_alloc(count, sizeof(*output->forms));
    output->texts = kz_alloc(count, sizeof(*output->texts));
    output->map = kz_alloc(count, sizeof(*output->map));
    output->last = kz_alloc(count, sizeof(*output->last));
    output->packet = av_packet_alloc();
    if (!output->forms || !output->texts || !output->map || !output->last || !output->packet ||
        kz_queue_open(&output->queue, (int)count) != 0)
        return kz_fail_memory(output->log, "the output");
    return 0;
}

static int open_output(kz_output *output, const kz_output_params *params, const char *codec)
{
    const AVCodec *encoder = avcodec_find_encoder_by_name(codec);
    if (!encoder)
        return kz_fail(output->log, KZ_ERROR_USAGE, "encoder '%s' isn't in this libavcodec", codec);
    int result = choose_container(output, params);
    if (result == 0)
        result = alloc_tables(output);
    if (result == 0)
        result = kz_carry_plan(output->forms, output->input, output->av->oformat, encoder->id,
                               params->path, output->log);
    if (result == 0)
        result = open_texts(output);
    if (result == 0)
        result = kz_target_open(&output->target, params->path, output->input->name,
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
    kz_target_close(&old->target);
    kz_queue_close(&old->queue);
    av_packet_free(&old->packet);
    for (int i = 0; old->texts && i < old->input->count; i++)
        kz_text_close(&old->texts[i]);
    kz_free(old->texts);
    kz_free(old->forms);
    kz_free(old->map);
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

static int write_header(kz_output *output)
{
    AVDictionary *options = NULL;
    /* Matroska would make the first track of each kind a default one. */
    if (av_dict_set(&options, "default_mode", "passthrough", 0) < 0)
        return kz_fail_memory(output->log, "container options");
    output->av->opaque = &output->note;
    const int code = avformat_write_header(output->av, &options);
    output->av->opaque = NULL;
    av_dict_free(&options);
    return code < 0 ? write_failed(output, code, output->av->oformat->name) : 0;
}

int kz_output_start(kz_output *output, const kz_encoder *encoder)
{
    const kz_fill_params params = {
        .input = output->input, .encoder = encoder, .forms = output->forms, .texts = output->texts};
    if (kz_fill(output->av, output->map, &params) != 0)
        return kz_fail_memory(output->log, kz_target_name(output->target));
    for (unsigned i = 0; i < output->av->nb_streams; i++)
        output->last[i] = AV_NOPTS_VALUE;
    const int result = write_header(output);
    output->started = result == 0;
    return result;
}

int kz_output_copy(kz_output *output, kz_packet *packet)
{
    const int stream = packet->av->stream_index;
    const enum kz_carry form = output->forms[stream];
    int result = 0;
    /* A cover that becomes an attachment is in the header already. */
    if (form != KZ_CARRY_PACKETS && form != KZ_CARRY_ASS)
        kz_packet_close(&packet);
    if (form == KZ_CARRY_ASS)
        result = kz_text_convert(output->texts[stream], &packet);
    if (packet && result == 0)
        kz_queue_push(output->queue, packet);
    return result;
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
    if (dts != packet->dts && output->uneven++ == 0)
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
    return write_packet(output, packet, output->map[packet->av->stream_index]);
}

static int write_due(kz_output *output, const kz_packet *video)
{
    const AVPacket *av = video->av;
    output->latest = FFMAX(output->latest, av->pts);
    const kz_video_point point = {.time_base = video->time_base,
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

int kz_output_video(kz_output *output, kz_packet *packet)
{
    const int result = write_due(output, packet);
    if (result == 0)
        return write_packet(output, packet, output->map[output->input->video]);
    kz_packet_close(&packet);
    return result;
}

int kz_output_finish(kz_output *output)
{
    if (!output->started)
        return kz_fail(output->log, KZ_ERROR_FAILED, "%s: there is no video to write",
                       kz_target_name(output->target));
    int result = 0;
    for (kz_packet *packet; result == 0 && (packet = kz_queue_take_rest(output->queue));)
        result = write_copied(output, packet);
    if (result != 0)
        return result;
    const int code = av_write_trailer(output->av);
    avio_flush(output->av->pb);
    if (code < 0 || kz_target_error(output->target))
        return write_failed(output, code, "can't finish the file");
    if (output->uneven > 1)
        kz_log_line(output->log, KZ_LOG_WARNING, "%s: %lld packets' decoding times were moved",
                    kz_target_name(output->target), (long long)output->uneven);
    return kz_target_commit(output->target);
}

int64_t kz_output_bytes(const kz_output *output)
{
    return kz_target_bytes(output->target);
}
