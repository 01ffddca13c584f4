#include <string.h>

#include <libavutil/mem.h>

#include "media/internal.h"

/* Version 61 keeps side data in the codec parameters, earlier ones beside the stream. */
#if LIBAVFORMAT_VERSION_MAJOR >= 61

const uint8_t *kz_stream_side_get(const AVStream *stream, enum AVPacketSideDataType type,
                                  size_t *size)
{
    const AVPacketSideData *side = av_packet_side_data_get(
        stream->codecpar->coded_side_data, stream->codecpar->nb_coded_side_data, type);
    *size = side ? side->size : 0;
    return side ? side->data : NULL;
}

int kz_stream_side_add(AVStream *stream, enum AVPacketSideDataType type, const void *data,
                       size_t size)
{
    AVCodecParameters *par = stream->codecpar;
    AVPacketSideData *side =
        av_packet_side_data_new(&par->coded_side_data, &par->nb_coded_side_data, type, size, 0);
    if (!side)
        return KZ_ERROR_MEMORY;
    memcpy(side->data, data, size);
    return 0;
}

int kz_stream_side_copy(AVStream *stream, const AVStream *from)
{
    (void)stream;
    (void)from;
    return 0;
}

#else

const uint8_t *kz_stream_side_get(const AVStream *stream, enum AVPacketSideDataType type,
                                  size_t *size)
{
    *size = 0;
    return av_stream_get_side_data(stream, type, size);
}

int kz_stream_side_add(AVStream *stream, enum AVPacketSideDataType type, const void *data,
                       size_t size)
{
    uint8_t *copy = av_stream_new_side_data(stream, type, size);
    if (!copy)
        return KZ_ERROR_MEMORY;
    memcpy(copy, data, size);
    return 0;
}

int kz_stream_side_copy(AVStream *stream, const AVStream *from)
{
    int result = 0;
    for (int i = 0; i < from->nb_side_data && result == 0; i++) {
        const AVPacketSideData *side = &from->side_data[i];
        result = kz_stream_side_add(stream, side->type, side->data, side->size);
    }
    return result;
}

#endif
