#include "media/queue.h"

#include <pthread.h>

#include "base/mem.h"

/* What a packet takes beside its content: its own objects and libav's, and what malloc() adds. */
#define PACKET_BYTES 500

struct fifo {
    kz_packet *first, *last;
};

struct kz_queue {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int streams;
    /* protected by lock: */
    struct fifo *fifos;
    size_t bytes; /* of memory */
    bool finished;
};

static size_t memory_of(const kz_packet *packet)
{
    return kz_packet_bytes(packet) + PACKET_BYTES;
}

int kz_queue_open(kz_queue **queue, int streams)
{
    kz_queue *fresh = kz_alloc(1, sizeof(*fresh));
    *queue = NULL;
    if (!fresh)
        return KZ_ERROR_MEMORY;
    fresh->fifos = kz_alloc((size_t)streams, sizeof(*fresh->fifos));
    if (!fresh->fifos) {
        kz_free(fresh);
        return KZ_ERROR_MEMORY;
    }
    fresh->streams = streams;
    pthread_mutex_init(&fresh->lock, NULL);
    pthread_cond_init(&fresh->ended, NULL);
    *queue = fresh;
    return 0;
}

void kz_queue_close(kz_queue **queue)
{
    kz_queue *old = *queue;
    if (!old)
        return;
    for (int i = 0; i < old->streams; i++) {
        while (old->fifos[i].first) {
            kz_packet *packet = old->fifos[i].first;
            old->fifos[i].first = packet->next;
            kz_packet_close(&packet);
        }
    }
    pthread_cond_destroy(&old->ended);
    pthread_mutex_destroy(&old->lock);
    kz_free(old->fifos);
    kz_free(old);
    *queue = NULL;
}

void kz_queue_push(kz_queue *queue, kz_packet *packet)
{
    pthread_mutex_lock(&queue->lock);
    struct fifo *fifo = &queue->fifos[packet->av->stream_index];
    packet->next = NULL;
    if (fifo->first)
        fifo->last->next = packet;
    else
        fifo->first = packet;
    fifo->last = packet;
    queue->bytes += memory_of(packet);
    pthread_mutex_unlock(&queue->lock);
}

void kz_queue_finish(kz_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->finished = true;
    pthread_cond_broadcast(&queue->ended);
    pthread_mutex_unlock(&queue->lock);
}

static bool is_due(const kz_packet *packet, const kz_video_point *video)
{
    if (packet->mark != INT64_MIN &&
        av_compare_ts(packet->mark, video->mark_base, video->latest, video->time_base) >= 0)
        return false;
    return packet->av->dts == AV_NOPTS_VALUE ||
           av_compare_ts(packet->av->dts, packet->time_base, video->decode, video->time_base) <= 0;
}

static bool is_earlier(const kz_packet *a, const kz_packet *b)
{
    if (a->av->dts == AV_NOPTS_VALUE || b->av->dts == AV_NOPTS_VALUE)
        return b->av->dts != AV_NOPTS_VALUE;
    return av_compare_ts(a->av->dts, a->time_base, b->av->dts, b->time_base) < 0;
}

/* NULL `video`: every packet is due. */
static kz_packet *take_locked(kz_queue *queue, const kz_video_point *video)
{
    struct fifo *best = NULL;
    for (int i = 0; i < queue->streams; i++) {
        struct fifo *fifo = &queue->fifos[i];
        if (!fifo->first || (video && !is_due(fifo->first, video)))
            continue;
        if (!best || is_earlier(fifo->first, best->first))
            best = fifo;
    }
    if (!best)
        return NULL;
    kz_packet *packet = best->first;
    best->first = packet->next;
    packet->next = NULL;
    queue->bytes -= memory_of(packet);
    return packet;
}

kz_packet *kz_queue_take(kz_queue *queue, const kz_video_point *video, size_t limit)
{
    pthread_mutex_lock(&queue->lock);
    kz_packet *packet = take_locked(queue, video);
    if (!packet && queue->bytes > limit)
        packet = take_locked(queue, NULL);
    pthread_mutex_unlock(&queue->lock);
    return packet;
}

kz_packet *kz_queue_take_excess(kz_queue *queue, size_t limit)
{
    pthread_mutex_lock(&queue->lock);
    kz_packet *packet = queue->bytes > limit ? take_locked(queue, NULL) : NULL;
    pthread_mutex_unlock(&queue->lock);
    return packet;
}

kz_packet *kz_queue_take_rest(kz_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    while (!queue->finished)
        pthread_cond_wait(&queue->ended, &queue->lock);
    kz_packet *packet = take_locked(queue, NULL);
    pthread_mutex_unlock(&queue->lock);
    return packet;
}
