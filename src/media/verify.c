#include "media/verify.h"

#include <string.h>

#include "media/compare.h"
#include "media/container.h"
#include "media/fill.h"

struct verification {
    const kz_verify_params *params;
    kz_log *log;
    kz_input *input;
    kz_decoder *decoder;
    kz_carrier carrier;
    kz_ledger ledger;
    AVFormatContext *expected;
    kz_found found;
};

/* A finished file may have any name; then what it is tells what it can hold. */
static const AVOutputFormat *container_of(const struct verification *v)
{
    const char *is = v->found.av->iformat->name;
    if (strstr(is, "matroska"))
        return kz_container_find("matroska", NULL);
    if (strstr(is, "mp4") && !av_match_ext(v->params->output, "mov,qt"))
        return kz_container_find("mp4", NULL);
    const AVOutputFormat *format = kz_container_find(NULL, v->params->output);
    return format ? format : kz_container_find(is, NULL);
}

static int expect(struct verification *v)
{
    const kz_vessel vessel = {
        .format = container_of(v), .path = v->params->output, .video = AV_CODEC_ID_HEVC};
    if (!vessel.format)
        return kz_fail(v->log, KZ_ERROR_FAILED, "%s: kizuna doesn't write %s files",
                       v->params->output, v->found.av->iformat->name);
    int result = kz_carrier_open(&v->carrier, v->input, &vessel, false, v->log);
    if (result != 0)
        return result;
    if (kz_ledger_open(&v->ledger, &v->carrier) != 0 ||
        avformat_alloc_output_context2(&v->expected, vessel.format, NULL, NULL) < 0 ||
        kz_fill(v->expected, &v->carrier, NULL) != 0)
        return kz_fail_memory(v->log, "the check");
    return 0;
}

/* KZ_AGAIN: the decoder wants more; KZ_END: that was all. */
static int note_frames(struct verification *v)
{
    const int64_t most = v->params->max_frames;
    kz_frame *frame;
    int result = 0;
    while (result == 0) {
        if (most && kz_decoder_frames(v->decoder) >= most)
            return KZ_END;
        result = kz_decoder_receive(v->decoder, &frame);
        if (result != 0)
            return result;
        if (kz_ledger_frame(&v->ledger, frame) != 0)
            result = kz_fail_memory(v->log, "the check");
        kz_frame_close(&frame);
    }
    return result;
}

static int note_packet(struct verification *v, kz_packet *packet)
{
    if (kz_packet_is_video(packet))
        return kz_decoder_send(v->decoder, packet);
    int result = kz_carrier_convert(&v->carrier, &packet);
    if (result != 0 || !packet)
        return result;
    if (kz_ledger_packet(&v->ledger, packet) != 0)
        result = kz_fail_memory(v->log, "the check");
    kz_packet_close(&packet);
    return result;
}

static int read_input(struct verification *v)
{
    int result;
    while ((result = note_frames(v)) == KZ_AGAIN) {
        kz_packet *packet = NULL;
        result = kz_input_read(v->input, &packet);
        if (result == 0)
            result = note_packet(v, packet);
        else if (result == KZ_END)
            result = kz_decoder_send(v->decoder, NULL);
        if (result != 0)
            return result;
    }
    return result == KZ_END ? 0 : result;
}

static int open_input(struct verification *v)
{
    const kz_verify_params *p = v->params;
    const kz_decoder_params params = {.filter = p->filter, .input = &p->input};
    int result = kz_input_open(&v->input, &p->input, v->log);
    return result == 0 ? kz_decoder_open(&v->decoder, v->input, &params, v->log) : result;
}

static int verify(struct verification *v, kz_report *report)
{
    const kz_verify_params *p = v->params;
    int result = open_input(v);
    if (result == 0)
        result = kz_found_read(&v->found, p->output, true, p->input.cancel, v->log);
    if (result == 0)
        result = expect(v);
    if (result == 0)
        result = read_input(v);
    if (result != 0)
        return result;
    const kz_comparison comparison = {.ledger = &v->ledger,
                                      .expected = v->expected,
                                      .found = &v->found,
                                      .checker = v->found.checker};
    result = kz_compare(&comparison, report) == 0 ? 0 : kz_fail_memory(v->log, "the check");
    if (result == 0 && kz_input_late_stream(v->input))
        kz_report_add(report, false, "streams",
                      "stream %d of the input begins midway: it isn't there",
                      kz_input_late_stream(v->input));
    return result;
}

int kz_verify(const kz_verify_params *params, kz_report *report, kz_log *log)
{
    struct verification v = {.params = params, .log = log, .found = {.video = -1}};
    *report = (kz_report){0};
    const int result = verify(&v, report);
    kz_found_close(&v.found);
    avformat_free_context(v.expected);
    kz_ledger_close(&v.ledger);
    kz_carrier_close(&v.carrier);
    kz_decoder_close(&v.decoder);
    kz_input_close(&v.input);
    return result;
}
