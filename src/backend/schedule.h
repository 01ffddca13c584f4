/* Where each value of a graph lives and when. Values that a concatenation joins are slices of one
 * buffer, so that it costs nothing; dense blocks, whose concatenations grow by appending, share one
 * buffer for the longest of them. Buffers whose lives don't overlap share the arena. */
#ifndef KZ_BACKEND_SCHEDULE_H
#define KZ_BACKEND_SCHEDULE_H

#include "model/graph.h"

typedef struct kz_slot {
    int buffer;  /* index into buffers, -1: the value is never stored (an unused node) */
    int channel; /* the slice's first channel in it */
} kz_slot;

typedef struct kz_buffer {
    int channels, scale;
    int first, last; /* nodes between which it is alive, ends included */
    size_t bytes;    /* set by the back end before kz_schedule_pack() */
    size_t offset;   /* set by kz_schedule_pack(): in the arena */
    bool placed;     /* it has its offset */
} kz_buffer;

typedef struct kz_schedule {
    int n_nodes, n_buffers;
    kz_slot *slots;     /* [n_nodes] */
    kz_buffer *buffers; /* [n_buffers] */
    bool *copies;       /* [n_nodes] a concatenation that has to be copied after all */
} kz_schedule;

/* `align`: a slice must begin and end at a multiple of so many channels; 0: no slices at all.
 * Returns 0 or KZ_ERROR_MEMORY. */
int kz_schedule_open(kz_schedule *schedule, const kz_graph *graph, int align);
void kz_schedule_close(kz_schedule *schedule);

/* Places the buffers in an arena (first fit, largest first); returns its size in bytes. */
size_t kz_schedule_pack(kz_schedule *schedule);

#endif
