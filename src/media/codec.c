#include "media/codec.h"

#include <string.h>

#include "base/mem.h"
#include "media/block.h"
#include "media/nvdec.h"
#include "media/recent.h"

enum {
    TRIAL_FRAMES = 8, /* that must be equal before the GPU is believed */
    AHEAD = 64,       /* more than one decoder holds back and another doesn't */
    MOST_ERRORS = 1000
};

enum who { SOFTWARE, TRIAL, DEVICE };

struct kz_codec {
    const AVCodec *codec;
    const kz_input *input;
    kz_log *log;
    int threads;
    enum who who;
    AVCodecContext *software; /* NULL: DEVICE */
    kz_block_watch watch;     /* of what software decodes into; blank: nobody asks */
    kz_blocks *blocks;        /* NULL: software decodes into libav's memory */
    kz_nvdec *nvdec;          /* NULL: SOFTWARE */
    AVFrame *scratch;
    /* TRIAL: the device's frames that the software hasn't given yet; else what is given next. */
    AVFrame *ahead[AHEAD];
    int n_ahead;
    int equal;        /* TRIAL: frames */
    kz_recent recent; /* for who takes over from the device */
    bool draining, lost;
    int64_t given; /* timestamp of the last frame; AV_NOPTS_VALUE: none yet, or it had none */
    int64_t skip;  /* SOFTWARE: frames up to this have been given; AV_NOPTS_VALUE: none */
    int64_t frames;
};

/* ---- open ---- */

static int open_software(kz_codec *c)
{
    const kz_input *input = c->input;
    AVStream *stream = kz_input_video_stream(input);
    AVCodecContext *context = c->software = avcodec_alloc_context3(c->codec);
    if (!context || avcodec_parameters_to_context(context, stream->codecpar) < 0)
        return kz_fail_memory(c->log, "a decoder");
    context->pkt_timebase = stream->time_base;
    context->framerate = av_guess_frame_rate(input->av, stream, NULL);
    context->thread_count = c->threads;
    context->thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
    if (c->watch.made && kz_blocks_open(&c->blocks, &c->watch) != 0)
        return kz_fail_memory(c->log, "a decoder");
    if (c->blocks)
        kz_blocks_use(c->blocks, context);
    const int code = avcodec_open2(context, c->codec, NULL);
    if (code < 0)
        return kz_fail(c->log, KZ_ERROR_FAILED, "%s: decoder %s: %s", input->name, c->codec->name,
                       av_err2str(code));
    return 0;
}

static void close_software(kz_codec *c)
{
    avcodec_free_context(&c->software);
    kz_blocks_close(&c->blocks);
}

int kz_codec_open(kz_codec **codec, const kz_input *input, int threads, kz_log *log)
{
    const enum AVCodecID id = kz_input_video_stream(input)->codecpar->codec_id;
    const AVCodec *found = avcodec_find_decoder(id);
    *codec = NULL;
    if (!found)
        return kz_fail(log, KZ_ERROR_FAILED, "%s: this libavcodec has no decoder for %s",
                       input->name, avcodec_get_name(id));
    kz_codec *c = *codec = kz_alloc(1, sizeof(*c));
    if (!c)
        return kz_fail_memory(log, "a decoder");
    c->codec = found;
    c->input = input;
    c->threads = threads;
    c->log = log;
    c->given = c->skip = AV_NOPTS_VALUE;
    kz_recent_clear(&c->recent);
    c->scratch = av_frame_alloc();
    const int error = c->scratch ? open_software(c) : kz_fail_memory(log, "a decoder");
    if (error)
        kz_codec_close(codec);
    return error;
}

static void drop_ahead(kz_codec *c)
{
    while (c->n_ahead)
        av_frame_free(&c->ahead[--c->n_ahead]);
}

void kz_codec_close(kz_codec **codec)
{
    kz_codec *c = *codec;
    if (!c)
        return;
    drop_ahead(c);
    kz_recent_clear(&c->recent);
    kz_nvdec_close(&c->nvdec);
    close_software(c);
    av_frame_free(&c->scratch);
    kz_free(c);
    *codec = NULL;
}

int kz_codec_watch(kz_codec *c, const kz_block_watch *watch)
{
    close_software(c);
    c->watch = *watch;
    return open_software(c);
}

const char *kz_codec_name(const kz_codec *c)
{
    return c->codec->name;
}

bool kz_codec_is_lost(const kz_codec *c)
{
    return c->lost;
}

static void say_software(const kz_codec *c, const char *why)
{
    kz_log_line(c->log, KZ_LOG_INFO, "decode  %s in software (NVDEC: %s)", c->codec->name, why);
}

bool kz_codec_accelerate(kz_codec *c, void *context, int held)
{
    char why[300] = "memory is short";
    if (kz_nvdec_open(&c->nvdec, c->input, context, held, why, sizeof(why)) == 0)
        c->who = TRIAL;
    else
        say_software(c, why);
    return c->who == TRIAL;
}

/* ---- frames ahead ---- */

/* Takes what `frame` holds. */
static int put_ahead(kz_codec *c, AVFrame *frame)
{
    AVFrame *kept = c->n_ahead < AHEAD ? av_frame_alloc() : NULL;
    if (!kept) {
        av_frame_unref(frame);
        return AVERROR(ENOMEM);
    }
    av_frame_move_ref(kept, frame);
    c->ahead[c->n_ahead++] = kept;
    return 0;
}

/* The first one, the caller's; NULL: there is none. */
static AVFrame *take_ahead(kz_codec *c)
{
    AVFrame *first = c->n_ahead ? c->ahead[0] : NULL;
    if (first)
        memmove(c->ahead, c->ahead + 1, (size_t)--c->n_ahead * sizeof(*c->ahead));
    return first;
}

/* ---- the trial ---- */

static void end_trial(kz_codec *c, const char *why)
{
    say_software(c, why);
    c->who = SOFTWARE;
    kz_nvdec_close(&c->nvdec);
    kz_recent_clear(&c->recent);
    drop_ahead(c);
}

static void trust(kz_codec *c)
{
    kz_log_line(c->log, KZ_LOG_INFO,
                "decode  %s by NVDEC, which gave the same %d frames as software", c->codec->name,
                c->equal);
    c->who = DEVICE;
    close_software(c);
}

/* All that the device has, without the surfaces: a decoder has few of these. */
static int take_trial(kz_codec *c)
{
    AVFrame *there = av_frame_alloc();
    int code = there ? 0 : AVERROR(ENOMEM);
    while (code >= 0) {
        code = kz_nvdec_receive(c->nvdec, c->scratch, there);
        if (code >= 0) {
            av_frame_unref(there);
            code = put_ahead(c, c->scratch);
        }
    }
    av_frame_free(&there);
    return code == AVERROR(EAGAIN) || code == AVERROR_EOF ? 0 : code;
}

static void send_trial(kz_codec *c, const AVPacket *packet)
{
    int code = kz_nvdec_send(c->nvdec, packet);
    if (code >= 0)
        code = take_trial(c);
    if (code < 0)
        end_trial(c, kz_av_reason_of(code, kz_nvdec_note(c->nvdec)).text);
}

static bool is_equal(AVFrame *a, AVFrame *b)
{
    if (a->width != b->width || a->height != b->height || a->format != b->format ||
        a->best_effort_timestamp != b->best_effort_timestamp)
        return false;
    const kz_frame frames[2] = {{.av = a}, {.av = b}};
    const kz_picture p = kz_frame_picture(&frames[0]), q = kz_frame_picture(&frames[1]);
    for (int i = 0; i < p.planes; i++)
        for (int y = 0; y < p.plane[i].height; y++)
            if (memcmp(kz_plane_row(&p.plane[i], y), kz_plane_row(&q.plane[i], y),
                       (size_t)p.plane[i].width * (size_t)p.plane[i].bytes) != 0)
                return false;
    return true;
}

/* The device has had the same packets, and holds no more back than software does. */
static void judge(kz_codec *c, AVFrame *frame)
{
    AVFrame *other = take_ahead(c);
    if (!other)
        end_trial(c, "it gives fewer frames than software");
    else if (!is_equal(other, frame))
        end_trial(c, "it gives other frames than software");
    else if (++c->equal == TRIAL_FRAMES)
        trust(c);
    av_frame_free(&other);
}

/* ---- software ---- */

/* The next frame that hasn't been given. */
static int receive_software(kz_codec *c, AVFrame *frame)
{
    int code;
    while ((code = avcodec_receive_frame(c->software, frame)) >= 0) {
        if (c->skip == AV_NOPTS_VALUE || frame->best_effort_timestamp > c->skip) {
            c->skip = AV_NOPTS_VALUE;
            return 0;
        }
        av_frame_unref(frame);
    }
    return code;
}

/* Empties the decoder, so that it takes the next packet. What it couldn't decode has been met
 * before. */
static int take_software(kz_codec *c)
{
    int code = 0;
    for (int errors = 0; errors < MOST_ERRORS; errors += code < 0) {
        code = receive_software(c, c->scratch);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF)
            return 0;
        if (code >= 0 && put_ahead(c, c->scratch) < 0)
            break;
    }
    return AVERROR(ENOMEM);
}

/* What the device has had goes through software; the outcome is that of the last packet. */
static int replay(kz_codec *c)
{
    int code = 0;
    for (int i = 0; i < c->recent.count; i++) {
        code = avcodec_send_packet(c->software, c->recent.packets[i]);
        if (take_software(c) != 0)
            return AVERROR(ENOMEM);
    }
    if (c->draining)
        avcodec_send_packet(c->software, NULL);
    return code;
}

static int lose(kz_codec *c)
{
    c->lost = true;
    kz_fail(c->log, KZ_ERROR_FAILED, "%s: NVDEC failed, and software can't take over here",
            c->input->name);
    return AVERROR_EXTERNAL;
}

/* The device has failed with `failure` at a packet, which `recent` has, or between them. */
static int take_over(kz_codec *c, int failure)
{
    const kz_av_reason why = kz_av_reason_of(failure, kz_nvdec_note(c->nvdec));
    const bool placed = !c->frames || c->given != AV_NOPTS_VALUE;
    kz_log_line(c->log, KZ_LOG_WARNING, "%s: NVDEC failed: %s: software decodes from here on",
                c->input->name, why.text);
    c->who = SOFTWARE;
    kz_nvdec_close(&c->nvdec);
    c->skip = c->given;
    if (!placed || !kz_recent_is_complete(&c->recent) || open_software(c) != 0)
        return lose(c);
    const int code = replay(c);
    kz_recent_clear(&c->recent);
    return code == AVERROR(ENOMEM) ? lose(c) : code;
}

/* ---- both ---- */

int kz_codec_send(kz_codec *c, const AVPacket *packet)
{
    c->draining = c->draining || !packet;
    if (c->who != SOFTWARE && packet)
        kz_recent_add(&c->recent, packet);
    if (c->who == DEVICE) {
        const int code = kz_nvdec_send(c->nvdec, packet);
        return code >= 0 || code == AVERROR_EOF ? code : take_over(c, code);
    }
    if (c->who == TRIAL)
        send_trial(c, packet);
    return c->lost ? AVERROR_EXTERNAL : avcodec_send_packet(c->software, packet);
}

static int receive(kz_codec *c, AVFrame *frame, AVFrame *there)
{
    AVFrame *next = c->who == TRIAL ? NULL : take_ahead(c);
    if (next) {
        av_frame_move_ref(frame, next);
        av_frame_free(&next);
        return 0;
    }
    if (c->who == DEVICE) {
        int code = kz_nvdec_receive(c->nvdec, frame, there);
        if (code >= 0 || code == AVERROR(EAGAIN) || code == AVERROR_EOF)
            return code;
        code = take_over(c, code);
        return code < 0 ? code : receive(c, frame, there);
    }
    return c->lost ? AVERROR_EXTERNAL : receive_software(c, frame);
}

int kz_codec_receive(kz_codec *c, AVFrame *frame, AVFrame *there)
{
    const int code = receive(c, frame, there);
    if (code < 0)
        return code;
    c->given = frame->best_effort_timestamp;
    c->frames++;
    if (c->who == TRIAL)
        judge(c, frame);
    return code;
}

void kz_codec_flush(kz_codec *c)
{
    if (c->software)
        avcodec_flush_buffers(c->software);
    if (c->nvdec)
        kz_nvdec_flush(c->nvdec);
    drop_ahead(c);
    kz_recent_clear(&c->recent);
    c->draining = false;
    c->given = c->skip = AV_NOPTS_VALUE;
    c->frames = 0;
}
