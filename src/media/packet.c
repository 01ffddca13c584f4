#include "media/packet.h"

#include "base/mem.h"
#include "media/internal.h"

int kz_packet_wrap(kz_packet **packet, AVPacket *av, AVRational time_base)
{
    kz_packet *fresh = kz_alloc(1, sizeof(*fresh));
    if (fresh)
        fresh->av = av_packet_alloc();
    if (!fresh || !fresh->av) {
        av_packet_unref(av);
        kz_packet_close(&fresh);
        return KZ_ERROR_MEMORY;
    }
    av_packet_move_ref(fresh->av, av);
    fresh->time_base = time_base;
    fresh->mark = INT64_MIN;
    *packet = fresh;
    return 0;
}

void kz_packet_close(kz_packet **packet)
{
    if (!*packet)
        return;
    av_packet_free(&(*packet)->av);
    kz_free(*packet);
    *packet = NULL;
}

int kz_packet_clone(kz_packet **clone, const kz_packet *packet)
{
    AVPacket *av = av_packet_clone(packet->av);
    if (!av)
        return KZ_ERROR_MEMORY;
    const int result = kz_packet_wrap(clone, av, packet->time_base);
    av_packet_free(&av);
    return result;
}

bool kz_packet_is_video(const kz_packet *packet)
{
    return packet->video;
}

size_t kz_packet_bytes(const kz_packet *packet)
{
    return (size_t)packet->av->size;
}

void kz_packet_set_decode(kz_packet *packet, int64_t time)
{
    packet->av->dts = time;
}
