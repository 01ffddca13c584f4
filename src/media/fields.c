#include "media/fields.h"

#include <stdlib.h>

#include "media/decode.h"

/* Frames to look at, and how many of them must be decided for an answer. */
#define LOOK_AT 200
#define GLANCE_AT 4 /* for the flags of frames, which some containers contradict */
#define ENOUGH 8

static bool is_flagged(enum AVFieldOrder order)
{
    return order == AV_FIELD_TT || order == AV_FIELD_BB || order == AV_FIELD_TB ||
           order == AV_FIELD_BT;
}

/* The line counts of television: there the flag is often missing. */
static bool has_tv_lines(int height)
{
    return height == 480 || height == 486 || height == 576;
}

/* No flag of theirs says so, and nobody makes it. */
static bool is_never_interlaced(enum AVCodecID codec)
{
    return codec == AV_CODEC_ID_VP8 || codec == AV_CODEC_ID_VP9 || codec == AV_CODEC_ID_AV1 ||
           codec == AV_CODEC_ID_GIF || codec == AV_CODEC_ID_PNG;
}

static double number(const AVFrame *frame, const char *key)
{
    const AVDictionaryEntry *entry = av_dict_get(frame->metadata, key, NULL, 0);
    return entry ? strtod(entry->value, NULL) : 0;
}

/* From the filter idet's counts, over all frames up to this one. */
static void judge(kz_fields *fields, const AVFrame *last)
{
    const double top = number(last, "lavfi.idet.multiple.tff");
    const double bottom = number(last, "lavfi.idet.multiple.bff");
    const double whole = number(last, "lavfi.idet.multiple.progressive");
    const double single = number(last, "lavfi.idet.repeated.neither");
    const double repeated =
        number(last, "lavfi.idet.repeated.top") + number(last, "lavfi.idet.repeated.bottom");
    const double decided = top + bottom + whole;
    if (decided < ENOUGH)
        return;
    /* Pulldown repeats a field in two of five frames, and weaves two of five from two pictures. */
    if (repeated > 0.25 * (repeated + single) && top + bottom > 0.15 * decided)
        fields->seen = KZ_SCAN_TELECINED;
    else
        fields->seen = top + bottom > 0.15 * decided ? KZ_SCAN_INTERLACED : KZ_SCAN_PROGRESSIVE;
}

/* The first frames of a video, through a decoder of its own, until `take` has had enough. */
struct look {
    kz_fields *fields;
    const char *filter;
    void (*take)(kz_fields *fields, const AVFrame *frame);
    int frames; /* to look at */
};

/* KZ_AGAIN: give more packets. KZ_END: enough seen. */
static int take_frames(const struct look *look, kz_decoder *decoder)
{
    kz_frame *frame;
    int result;
    while ((result = kz_decoder_receive(decoder, &frame)) == 0) {
        look->take(look->fields, frame->av);
        kz_frame_close(&frame);
        if (kz_decoder_frames(decoder) >= look->frames)
            return KZ_END;
    }
    return result;
}

static void look_into(const struct look *look, kz_input *input)
{
    const kz_decoder_params params = {
        .filter = {.deinterlace = KZ_DEINTERLACE_OFF, .vf = look->filter}};
    kz_decoder *decoder = NULL;
    int result = kz_decoder_open(&decoder, input, &params, NULL);
    while (result == 0 && (result = take_frames(look, decoder)) == KZ_AGAIN) {
        kz_packet *packet = NULL;
        result = kz_input_read(input, &packet);
        if (packet && !kz_packet_is_video(packet))
            kz_packet_close(&packet);
        else if (result == 0 || result == KZ_END)
            result = kz_decoder_send(decoder, packet);
    }
    kz_decoder_close(&decoder);
}

static void look(const struct look *look, const kz_input_params *params)
{
    kz_input *input = NULL;
    kz_input_params same = *params;
    same.choice = (kz_choice){.audio = "none", .subs = "none"};
    if (kz_input_open(&input, &same, NULL) == 0)
        look_into(look, input);
    kz_input_close(&input);
}

static void take_flag(kz_fields *fields, const AVFrame *frame)
{
    fields->flagged = fields->flagged || kz_frame_is_interlaced(frame);
}

kz_fields kz_fields_find(const kz_input *input, const kz_input_params *params)
{
    const AVCodecParameters *par = kz_input_video_stream(input)->codecpar;
    kz_fields fields = {.flagged = is_flagged(par->field_order)};
    /* A pipe gives its bytes once. */
    const bool again = input->av->pb && input->av->pb->seekable & AVIO_SEEKABLE_NORMAL;
    if (!params || !again || is_never_interlaced(par->codec_id))
        return fields;
    const struct look glance = {.fields = &fields, .take = take_flag, .frames = GLANCE_AT};
    const struct look closely = {
        .fields = &fields, .filter = "idet", .take = judge, .frames = LOOK_AT};
    if (!fields.flagged)
        look(&glance, params);
    if (fields.flagged || has_tv_lines(par->height))
        look(&closely, params);
    return fields;
}
