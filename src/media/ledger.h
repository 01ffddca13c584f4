/* What an output has to hold, noted while the input is read: every frame's time, every carried
 * packet's time and content. */
#ifndef KZ_MEDIA_LEDGER_H
#define KZ_MEDIA_LEDGER_H

#include "media/carrier.h"
#include "media/manifest.h"

/* Filled by one thread; read when that has ended. */
typedef struct kz_ledger {
    const kz_carrier *carrier;
    kz_track *tracks; /* per output stream; the video's are frames */
    kz_track *video;  /* the one of them */
    AVFrame *like;    /* the first frame's tags, no samples; blank before it */
} kz_ledger;

/* `carrier` must outlive the ledger, which is closed in any case. 0 or KZ_ERROR_MEMORY (not
 * reported), as the next two. */
int kz_ledger_open(kz_ledger *ledger, const kz_carrier *carrier);
void kz_ledger_close(kz_ledger *ledger);

/* A packet as kz_carrier_convert() gave it. */
int kz_ledger_packet(kz_ledger *ledger, const kz_packet *packet);

/* A frame as the decoder gave it. */
int kz_ledger_frame(kz_ledger *ledger, const kz_frame *frame);

/* The same in two steps: what the first one is like, and of each its time and fingerprint. */
int kz_ledger_first(kz_ledger *ledger, const kz_frame *first);
int kz_ledger_mark(kz_ledger *ledger, const kz_frame_mark *mark);

#endif
