/* A bounded first-in first-out queue of pointers between two threads. It is bounded in items and
 * in bytes, blocks without polling, and closes from both ends, so that end of file travels forward
 * and failure travels both ways. */
#ifndef KZ_BASE_RING_H
#define KZ_BASE_RING_H

#include <stddef.h>

#include "base/error.h"

typedef struct kz_ring kz_ring;

typedef struct kz_ring_params {
    size_t max_items;         /* at least 1 */
    size_t max_bytes;         /* 0: no bound; an item larger than this passes alone */
    void (*drop)(void *item); /* frees an item that nobody will take */
} kz_ring_params;

/* Returns 0 or KZ_ERROR_MEMORY. */
int kz_ring_open(kz_ring **ring, const kz_ring_params *params);

/* Drops what is left, frees the ring, sets *ring to NULL. No thread may be inside. NULL is legal.
 */
void kz_ring_close(kz_ring **ring);

/* Appends `item`, which the ring then owns; waits while the ring is full. Returns 0, or KZ_CLOSED
 * after kz_ring_stop(): the item then stays the caller's. */
int kz_ring_push(kz_ring *ring, void *item, size_t bytes);

/* Takes the oldest item; waits while the ring is empty. Returns 0, KZ_END when the writer has
 * finished and nothing is left, or KZ_CLOSED after kz_ring_stop(). */
int kz_ring_pop(kz_ring *ring, void **item);

/* The writer has no more items: kz_ring_pop() gives what is left, then KZ_END. */
void kz_ring_finish(kz_ring *ring);

/* Either end gives up: every waiting and later call returns KZ_CLOSED at once. Thread-safe. */
void kz_ring_stop(kz_ring *ring);

typedef struct kz_ring_stats {
    double push_wait; /* seconds the writer has waited for room */
    double pop_wait;  /* seconds the reader has waited for an item */
    size_t items;     /* in the ring now */
} kz_ring_stats;

/* Thread-safe. */
kz_ring_stats kz_ring_get_stats(kz_ring *ring);

#endif
