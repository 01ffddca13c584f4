/* AAC as broadcast (ADTS, ISO/IEC 13818-7) tells its configuration in every packet; Matroska and
 * MP4 want it in their header, before the first packet. */
#include <libavcodec/bsf.h>
#include <libavutil/mem.h>
#include <string.h>

#include "media/internal.h"

/* How far to read for the first packets of late streams. */
#define MAX_PACKETS 2000
#define MAX_BYTES (64 << 20)

static bool wants(const kz_input *input, int stream)
{
    const AVCodecParameters *par = input->av->streams[stream]->codecpar;
    return stream != input->video && input->streams[stream].used &&
           par->codec_id == AV_CODEC_ID_AAC && par->extradata_size == 0;
}

static bool any_wants(const kz_input *input)
{
    for (int i = 0; i < input->count; i++)
        if (wants(input, i))
            return true;
    return false;
}

static int set_extradata(AVCodecParameters *par, const uint8_t *data, size_t size)
{
    par->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!par->extradata)
        return AVERROR(ENOMEM);
    memcpy(par->extradata, data, size);
    par->extradata_size = (int)size;
    return 0;
}

/* The filter that the muxers use too finds the configuration in a packet. */
static int filter(AVBSFContext *context, const AVPacket *packet, AVCodecParameters *par)
{
    AVPacket *copy = av_packet_clone(packet);
    int code = copy ? avcodec_parameters_copy(context->par_in, par) : AVERROR(ENOMEM);
    if (code >= 0)
        code = av_bsf_init(context);
    if (code >= 0)
        code = av_bsf_send_packet(context, copy);
    if (code >= 0)
        code = av_bsf_receive_packet(context, copy);
    size_t size = 0;
    const uint8_t *data =
        code >= 0 ? av_packet_get_side_data(copy, AV_PKT_DATA_NEW_EXTRADATA, &size) : NULL;
    if (data)
        code = set_extradata(par, data, size);
    av_packet_free(&copy);
    return code;
}

/* What isn't ADTS after all stays as it is; only memory is a failure. */
static int learn(kz_input *input, int stream)
{
    AVCodecParameters *par = input->av->streams[stream]->codecpar;
    AVBSFContext *context = NULL;
    int code = av_bsf_alloc(av_bsf_get_by_name("aac_adtstoasc"), &context);
    if (code >= 0)
        code = filter(context, input->packet, par);
    av_bsf_free(&context);
    /* With a configuration in the header MP4's muxer would take packets for raw. */
    input->streams[stream].strip_adts = par->extradata_size > 0;
    return code == AVERROR(ENOMEM) ? KZ_ERROR_MEMORY : 0;
}

static int keep(kz_input *input, kz_packet ***end)
{
    AVStream *stream = input->av->streams[input->packet->stream_index];
    if (kz_packet_wrap(*end, input->packet, stream->time_base) != 0)
        return KZ_ERROR_MEMORY;
    *end = &(**end)->next;
    return 0;
}

int kz_input_learn_aac(kz_input *input)
{
    kz_packet **end = &input->ahead;
    int64_t bytes = 0;
    int result = 0;
    for (int i = 0; i < MAX_PACKETS && bytes < MAX_BYTES && result == 0 && any_wants(input); i++) {
        if (kz_input_cancelled(input) || av_read_frame(input->av, input->packet) < 0)
            break;
        const int stream = input->packet->stream_index;
        bytes += input->packet->size;
        if (stream < input->count && wants(input, stream))
            result = learn(input, stream);
        if (result == 0)
            result = keep(input, &end);
        av_packet_unref(input->packet);
    }
    return result == 0 ? 0 : kz_fail_memory(input->log, "a packet");
}
