#include "media/manifest.h"

#include <string.h>

#include "base/mem.h"

/* 64 of its 128 bits identify a packet; it is no defence against forgery, only against loss. */
#define HASH "murmur3"
#define HASH_BYTES 16

int kz_track_open(kz_track *track, AVRational base)
{
    *track = (kz_track){.base = base};
    if (av_hash_alloc(&track->all, HASH) < 0 || av_hash_alloc(&track->piece, HASH) < 0) {
        kz_track_close(track);
        return KZ_ERROR_MEMORY;
    }
    av_hash_init(track->all);
    return 0;
}

void kz_track_close(kz_track *track)
{
    av_hash_freep(&track->all);
    av_hash_freep(&track->piece);
    kz_free(track->stamps);
    *track = (kz_track){0};
}

static int add(kz_track *track, kz_stamp stamp)
{
    if (track->count == track->capacity) {
        const size_t capacity = track->capacity ? track->capacity * 2 : 64;
        kz_stamp *grown = kz_alloc_raw(capacity, sizeof(*grown));
        if (!grown)
            return KZ_ERROR_MEMORY;
        if (track->count)
            memcpy(grown, track->stamps, track->count * sizeof(*grown));
        kz_free(track->stamps);
        track->stamps = grown;
        track->capacity = capacity;
    }
    track->stamps[track->count++] = stamp;
    return 0;
}

int kz_track_packet(kz_track *track, const AVPacket *packet, const AVCodecParameters *par)
{
    uint8_t digest[HASH_BYTES];
    kz_stamp stamp = {.time = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts};
    av_hash_init(track->piece);
    track->bytes += kz_payload_hash(track->piece, packet, par);
    (void)kz_payload_hash(track->all, packet, par);
    av_hash_final_bin(track->piece, digest, sizeof(digest));
    memcpy(&stamp.hash, digest, sizeof(stamp.hash));
    return add(track, stamp);
}

int kz_track_frame(kz_track *track, int64_t time, uint64_t fingerprint)
{
    return add(track, (kz_stamp){.time = time, .hash = fingerprint});
}

bool kz_track_same_content(kz_track *a, kz_track *b)
{
    uint8_t x[HASH_BYTES], y[HASH_BYTES];
    av_hash_final_bin(a->all, x, sizeof(x));
    av_hash_final_bin(b->all, y, sizeof(y));
    return a->bytes == b->bytes && memcmp(x, y, sizeof(x)) == 0;
}

double kz_track_seconds(const kz_track *track, size_t index)
{
    const int64_t time = track->stamps[index].time;
    return time == AV_NOPTS_VALUE ? 0 : (double)time * av_q2d(track->base);
}
