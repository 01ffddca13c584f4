#include "media/check.h"

#include "base/mem.h"
#include "media/check_internal.h"
#include "media/fingerprint.h"

static int open_decoder(kz_checker *checker, const AVCodecParameters *par, int threads)
{
    const AVCodec *codec = avcodec_find_decoder(par->codec_id);
    AVCodecContext *context = codec ? avcodec_alloc_context3(codec) : NULL;
    checker->context = context;
    checker->frame = av_frame_alloc();
    checker->first = av_frame_alloc();
    if (!codec)
        return AVERROR_DECODER_NOT_FOUND;
    if (!context || !checker->frame || !checker->first)
        return AVERROR(ENOMEM);
    int code = avcodec_parameters_to_context(context, par);
    context->thread_count = threads;
    context->pkt_timebase = checker->frames.base;
    context->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
    return code < 0 ? code : avcodec_open2(context, codec, NULL);
}

int kz_checker_open_stream(kz_checker **checker, const AVCodecParameters *par, AVRational base,
                           int threads, kz_log *log)
{
    kz_checker *fresh = *checker = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, "the check of the output");
    fresh->log = log;
    int code = kz_track_open(&fresh->frames, base) == 0 ? 0 : AVERROR(ENOMEM);
    if (code >= 0)
        code = open_decoder(fresh, par, threads);
    if (code >= 0)
        return 0;
    kz_checker_close(checker);
    if (code == AVERROR(ENOMEM))
        return kz_fail_memory(log, "the check of the output");
    return kz_fail(log, KZ_ERROR_FAILED, "checking the output: decoder for %s: %s",
                   avcodec_get_name(par->codec_id), av_err2str(code));
}

int kz_checker_open(kz_checker **checker, const kz_form *form, int threads, kz_log *log)
{
    const enum AVCodecID codec = form->par->codec_id;
    *checker = NULL;
    if (codec == AV_CODEC_ID_RAWVIDEO || codec == AV_CODEC_ID_WRAPPED_AVFRAME)
        return 0;
    return kz_checker_open_stream(checker, form->par, form->time_base, threads, log);
}

void kz_checker_close(kz_checker **checker)
{
    if (!*checker)
        return;
    avcodec_free_context(&(*checker)->context);
    av_frame_free(&(*checker)->frame);
    av_frame_free(&(*checker)->first);
    kz_track_close(&(*checker)->frames);
    kz_free(*checker);
    *checker = NULL;
}

static int take_frames(kz_checker *checker)
{
    int code, result = 0;
    while (result == 0 &&
           (code = avcodec_receive_frame(checker->context, checker->frame)) != AVERROR(EAGAIN)) {
        if (code == AVERROR_EOF)
            break;
        if (code < 0) {
            checker->errors++;
            break;
        }
        const AVFrame *frame = checker->frame;
        checker->errors += frame->decode_error_flags || frame->flags & AV_FRAME_FLAG_CORRUPT;
        if (checker->frames.count == 0 && av_frame_copy_props(checker->first, frame) < 0)
            result = KZ_ERROR_MEMORY;
        if (result == 0)
            result = kz_track_frame(&checker->frames, frame->best_effort_timestamp,
                                    kz_fingerprint(frame));
        av_frame_unref(checker->frame);
    }
    return result == 0 ? 0 : kz_fail_memory(checker->log, "the check of the output");
}

int kz_checker_av_packet(kz_checker *checker, const AVPacket *packet)
{
    const int code = avcodec_send_packet(checker->context, packet);
    if (code < 0 && code != AVERROR_EOF)
        checker->errors++;
    return take_frames(checker);
}

int64_t kz_checker_errors(const kz_checker *checker)
{
    return checker->errors;
}

int kz_checker_packet(kz_checker *checker, const kz_packet *packet)
{
    return kz_checker_av_packet(checker, packet ? packet->av : NULL);
}

int kz_checker_flush(kz_checker *checker)
{
    const int result = kz_checker_av_packet(checker, NULL);
    avcodec_flush_buffers(checker->context);
    return result;
}

size_t kz_checker_frames(const kz_checker *checker)
{
    return checker->frames.count;
}

int kz_checker_replace(kz_checker *checker, const kz_frame_mark *frames, size_t count)
{
    int result = 0;
    checker->frames.count = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = kz_track_frame(&checker->frames, frames[i].time, frames[i].fingerprint);
    return result == 0 ? 0 : kz_fail_memory(checker->log, "the check of the output");
}
