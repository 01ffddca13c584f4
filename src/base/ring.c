#include "base/ring.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/mem.h"
#include "base/thread.h"

struct slot {
    void *item;
    size_t bytes;
};

struct kz_ring {
    kz_ring_params params;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* one writer and one reader: never both wait */
    /* ---- protected by lock ---- */
    struct slot *slots; /* params.max_items of them */
    size_t first, items, bytes;
    bool finished, stopped;
    double push_wait, pop_wait;
};

int kz_ring_open(kz_ring **ring, const kz_ring_params *params)
{
    kz_ring *r = *ring = kz_alloc(1, sizeof(*r));
    if (!r)
        return KZ_ERROR_MEMORY;
    r->params = *params;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->slots = kz_alloc(params->max_items, sizeof(*r->slots));
    if (!r->slots) {
        kz_ring_close(ring);
        return KZ_ERROR_MEMORY;
    }
    return 0;
}

void kz_ring_close(kz_ring **ring)
{
    kz_ring *r = *ring;
    if (!r)
        return;
    for (size_t i = 0; i < r->items; i++)
        r->params.drop(r->slots[(r->first + i) % r->params.max_items].item);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    kz_free(r->slots);
    kz_free(r);
    *ring = NULL;
}

static bool full_locked(const kz_ring *r, size_t bytes)
{
    if (r->items == r->params.max_items)
        return true;
    return r->params.max_bytes && r->items && bytes > r->params.max_bytes - r->bytes;
}

int kz_ring_push(kz_ring *r, void *item, size_t bytes)
{
    double began = kz_now();
    if (r->params.max_bytes && bytes > r->params.max_bytes)
        bytes = r->params.max_bytes;
    pthread_mutex_lock(&r->lock);
    while (!r->stopped && full_locked(r, bytes))
        pthread_cond_wait(&r->changed, &r->lock);
    r->push_wait += kz_now() - began;
    int result = r->stopped ? KZ_CLOSED : 0;
    if (!result) {
        r->slots[(r->first + r->items) % r->params.max_items] = (struct slot){item, bytes};
        r->items++;
        r->bytes += bytes;
        pthread_cond_signal(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return result;
}

int kz_ring_pop(kz_ring *r, void **item)
{
    double began = kz_now();
    pthread_mutex_lock(&r->lock);
    while (!r->stopped && !r->items && !r->finished)
        pthread_cond_wait(&r->changed, &r->lock);
    r->pop_wait += kz_now() - began;
    int result = r->stopped ? KZ_CLOSED : r->items ? 0 : KZ_END;
    if (!result) {
        struct slot *slot = &r->slots[r->first];
        *item = slot->item;
        r->bytes -= slot->bytes;
        r->first = (r->first + 1) % r->params.max_items;
        r->items--;
        pthread_cond_signal(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return result;
}

static void set_flag(kz_ring *r, bool *flag)
{
    pthread_mutex_lock(&r->lock);
    *flag = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void kz_ring_finish(kz_ring *r)
{
    set_flag(r, &r->finished);
}

void kz_ring_stop(kz_ring *r)
{
    set_flag(r, &r->stopped);
}

kz_ring_stats kz_ring_get_stats(kz_ring *r)
{
    pthread_mutex_lock(&r->lock);
    kz_ring_stats stats = {r->push_wait, r->pop_wait, r->items};
    pthread_mutex_unlock(&r->lock);
    return stats;
}
