/* Copied packets that wait for the video: a queue per stream, filled by one thread, emptied by
 * another. */
#ifndef KZ_MEDIA_QUEUE_H
#define KZ_MEDIA_QUEUE_H

#include "media/internal.h"

typedef struct kz_queue kz_queue;

/* For packets whose stream_index is 0 … streams-1. Returns 0 or KZ_ERROR_MEMORY. */
int kz_queue_open(kz_queue **queue, int streams);
void kz_queue_close(kz_queue **queue);

/* Appends; the queue owns the packet. Never waits. */
void kz_queue_push(kz_queue *queue, kz_packet *packet);

/* No more packets come. */
void kz_queue_finish(kz_queue *queue);

/* How far the video has come. */
typedef struct kz_video_point {
    AVRational time_base;
    AVRational mark_base; /* of the marks: the input's, which a filter may have left */
    int64_t decode;       /* of the packet about to be written */
    int64_t latest;       /* the latest presentation time of all packets up to that one */
} kz_video_point;

/* The packet with the earliest decoding time among those due, the caller's from now on; NULL when
 * none is. Due is what decodes no later than the video packet and stood before the video's latest
 * frame in the input: such packets are in the queue whatever the threads' speeds, so that equal
 * runs give equal files. Only beyond `limit` bytes of memory in the queue everything is due. */
kz_packet *kz_queue_take(kz_queue *queue, const kz_video_point *video, size_t limit);

/* The packet with the earliest decoding time of all, NULL when those that wait take no
 * more than `limit` bytes of memory. */
kz_packet *kz_queue_take_excess(kz_queue *queue, size_t limit);

/* The packet with the earliest decoding time of all, NULL when none is left. Waits for
 * kz_queue_finish(). */
kz_packet *kz_queue_take_rest(kz_queue *queue);

#endif
