#include "media/payload.h"

#include <stdbool.h>

struct sink {
    struct AVHashContext *hash;
    size_t bytes;
};

static void take(struct sink *sink, const uint8_t *data, size_t size)
{
    av_hash_update(sink->hash, data, size);
    sink->bytes += size;
}

/* Parameter sets and access unit delimiters: ITU-T H.264 table 7-1, H.265 table 7-1. */
static bool is_outside(enum AVCodecID codec, uint8_t first)
{
    if (codec == AV_CODEC_ID_H264)
        return (first & 31) >= 7 && (first & 31) <= 9;
    const int type = first >> 1 & 63;
    return type >= 32 && type <= 35;
}

static void take_unit(struct sink *sink, enum AVCodecID codec, const uint8_t *data, size_t size)
{
    if (size > 0 && !is_outside(codec, data[0]))
        take(sink, data, size);
}

/* Bytes of a unit's length prefix; 0: start codes (ITU-T H.264 annex B). From avcC and hvcC
 * (ISO/IEC 14496-15). */
static int prefix_of(const AVCodecParameters *par)
{
    const int at = par->codec_id == AV_CODEC_ID_H264 ? 4 : 21;
    if (par->extradata_size <= at || par->extradata[0] != 1)
        return 0;
    return (par->extradata[at] & 3) + 1;
}

static void take_prefixed(struct sink *sink, const AVPacket *packet, enum AVCodecID codec,
                          int prefix)
{
    const uint8_t *data = packet->data;
    size_t left = (size_t)packet->size;
    while (left >= (size_t)prefix) {
        size_t size = 0;
        for (int i = 0; i < prefix; i++)
            size = size << 8 | *data++;
        left -= (size_t)prefix;
        size = FFMIN(size, left);
        take_unit(sink, codec, data, size);
        data += size;
        left -= size;
    }
}

/* Where the next 00 00 01 begins, or `end`. */
static const uint8_t *next_start(const uint8_t *data, const uint8_t *end)
{
    for (; data + 3 <= end; data++)
        if (data[0] == 0 && data[1] == 0 && data[2] == 1)
            return data;
    return end;
}

static void take_annex_b(struct sink *sink, const AVPacket *packet, enum AVCodecID codec)
{
    const uint8_t *end = packet->data + packet->size;
    const uint8_t *start = next_start(packet->data, end);
    while (start < end) {
        const uint8_t *unit = start + 3, *next = next_start(unit, end), *last = next;
        /* Zeros before a start code belong to it. */
        while (last > unit && last[-1] == 0)
            last--;
        take_unit(sink, codec, unit, (size_t)(last - unit));
        start = next;
    }
}

/* What containers leave out: AV1 bitstream specification, 6.2.2; temporal delimiters, redundant
 * frame headers, tile lists, padding. */
static bool is_left_out(int type)
{
    return type == 2 || type == 7 || type == 8 || type == 15;
}

/* Length of the open bitstream unit at the start of the data, all of it where none is told. */
static size_t obu_length(const uint8_t *data, size_t left)
{
    size_t at = 1 + (data[0] >> 2 & 1), size = 0;
    if (!(data[0] & 2))
        return left;
    for (int shift = 0; at < left && shift < 56; shift += 7) {
        size |= (size_t)(data[at] & 127) << shift;
        if (!(data[at++] & 128))
            return size < left - at ? at + size : left;
    }
    return left;
}

static void take_obus(struct sink *sink, const AVPacket *packet)
{
    const uint8_t *data = packet->data;
    size_t left = (size_t)packet->size;
    while (left) {
        const size_t length = obu_length(data, left);
        if (!is_left_out(data[0] >> 3 & 15))
            take(sink, data, length);
        data += length;
        left -= length;
    }
}

/* Sync word and length have to fit; the header's own length is told by its protection bit. */
int kz_adts_header(const AVPacket *packet)
{
    const uint8_t *data = packet->data;
    if (packet->size < 9 || data[0] != 0xff || (data[1] & 0xf6) != 0xf0)
        return 0;
    const int length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5;
    return length != packet->size ? 0 : data[1] & 1 ? 7 : 9;
}

size_t kz_payload_hash(struct AVHashContext *hash, const AVPacket *packet,
                       const AVCodecParameters *par)
{
    struct sink sink = {.hash = hash};
    const enum AVCodecID codec = par->codec_id;
    if (codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC) {
        if (prefix_of(par))
            take_prefixed(&sink, packet, codec, prefix_of(par));
        else
            take_annex_b(&sink, packet, codec);
        return sink.bytes;
    }
    if (codec == AV_CODEC_ID_AV1) {
        take_obus(&sink, packet);
        return sink.bytes;
    }
    const int skip = codec == AV_CODEC_ID_AAC ? kz_adts_header(packet) : 0;
    take(&sink, packet->data + skip, (size_t)(packet->size - skip));
    return sink.bytes;
}
