/* What the encoder's stage hands on: a packet, or the end of a segment with what is known of its
 * frames. */
#ifndef KZ_PIPELINE_MADE_H
#define KZ_PIPELINE_MADE_H

#include "media/frame.h"
#include "media/packet.h"

typedef struct kz_made {
    kz_packet *packet;    /* NULL: the end of a segment */
    kz_frame_mark *marks; /* of the segment's frames */
    size_t n_marks, room;
} kz_made;

/* Takes `packet` over, or with `share` a reference to it. On failure a packet not shared is freed.
 * 0 or KZ_ERROR_MEMORY (not reported), as below. */
int kz_made_open(kz_made **made, kz_packet *packet, bool share);
int kz_made_open_end(kz_made **made);
int kz_made_add(kz_made *end, const kz_frame_mark *mark);
void kz_made_close(kz_made **made);

#endif
