#include "media/recent.h"

#include <libavutil/mem.h>
#include <string.h>

/* Drops all before packet `index`. */
static void drop(kz_recent *r, int index)
{
    for (int i = 0; i < index; i++) {
        r->bytes -= (size_t)r->packets[i]->size;
        av_packet_free(&r->packets[i]);
    }
    r->count -= index;
    if (r->count)
        memmove(r->packets, r->packets + index, (size_t)r->count * sizeof(*r->packets));
    r->last_key -= index;
}

static void give_up(kz_recent *r)
{
    kz_recent_clear(r);
    r->cut = true;
}

void kz_recent_clear(kz_recent *r)
{
    drop(r, r->count);
    av_freep(&r->packets);
    *r = (kz_recent){.last_key = -1};
}

static int make_room(kz_recent *r)
{
    if (r->count < r->room)
        return 0;
    const int room = r->room ? 2 * r->room : 64;
    AVPacket **more = av_realloc_array(r->packets, (size_t)room, sizeof(*more));
    if (!more)
        return AVERROR(ENOMEM);
    r->packets = more;
    r->room = room;
    return 0;
}

/* The packet begins what can be decoded by itself. */
static void note_key(kz_recent *r)
{
    if (r->keys) {
        drop(r, r->last_key);
        r->cut = false;
    }
    r->last_key = r->count;
    r->keys = r->keys ? 2 : 1;
}

void kz_recent_add(kz_recent *r, const AVPacket *packet)
{
    const bool key = packet->flags & AV_PKT_FLAG_KEY;
    if (r->cut && !r->keys && !key)
        return;
    if (key)
        note_key(r);
    AVPacket *copy = make_room(r) == 0 ? av_packet_clone(packet) : NULL;
    if (!copy || r->bytes + (size_t)packet->size > KZ_RECENT_BYTES) {
        av_packet_free(&copy);
        give_up(r);
        return;
    }
    r->packets[r->count++] = copy;
    r->bytes += (size_t)packet->size;
}

bool kz_recent_is_complete(const kz_recent *r)
{
    return !r->cut;
}
