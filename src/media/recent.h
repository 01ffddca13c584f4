/* The packets that a decoder has got since the key frame before the last, so that another can begin
 * there and come to the same frames. Not thread-safe. */
#ifndef KZ_MEDIA_RECENT_H
#define KZ_MEDIA_RECENT_H

#include <libavcodec/packet.h>
#include <stdbool.h>
#include <stddef.h>

/* More than two groups of pictures of any film take; what has no key frames for so long is given
 * up. */
#ifndef KZ_RECENT_BYTES
#define KZ_RECENT_BYTES ((size_t)256 << 20)
#endif

typedef struct kz_recent {
    AVPacket **packets;
    int count, room;
    int last_key; /* index of the last key frame; -1: none */
    int keys;     /* key frames among them, 2 at most count */
    bool cut;     /* what lies before the first key frame, or the first packets, are missing */
    size_t bytes;
} kz_recent;

/* Begins anew, where a decoder does; also the way to free what it holds. All zero is one that has
 * to be cleared first. */
void kz_recent_clear(kz_recent *recent);

/* Keeps a reference. Where memory or KZ_RECENT_BYTES don't allow that, it isn't complete any more
 * until two key frames have come. */
void kz_recent_add(kz_recent *recent, const AVPacket *packet);

/* A decoder that begins with the first packet makes all frames from the last key frame on, and
 * those that are shown before it. */
bool kz_recent_is_complete(const kz_recent *recent);

#endif
