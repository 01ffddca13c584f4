/* What has gone through a stream, packet by packet, so that two files can be compared without
 * keeping either. */
#ifndef KZ_MEDIA_MANIFEST_H
#define KZ_MEDIA_MANIFEST_H

#include "media/payload.h"

typedef struct kz_stamp {
    int64_t time;  /* presentation, else decoding time; AV_NOPTS_VALUE: none */
    uint64_t hash; /* of a packet's content; a frame's kz_fingerprint() */
} kz_stamp;

/* One stream's packets or frames. All zero is a track with a hash still to be opened. Not
 * thread-safe. */
typedef struct kz_track {
    AVRational base;
    kz_stamp *stamps;
    size_t count, capacity;
    size_t bytes;                /* of content */
    struct AVHashContext *all;   /* over all packets, however they are grouped */
    struct AVHashContext *piece; /* one packet's */
} kz_track;

int kz_track_open(kz_track *track, AVRational base); /* 0 or KZ_ERROR_MEMORY (not reported) */
void kz_track_close(kz_track *track);

/* Adds a packet of a stream like `par`, or a frame. 0 or KZ_ERROR_MEMORY (not reported). */
int kz_track_packet(kz_track *track, const AVPacket *packet, const AVCodecParameters *par);
int kz_track_frame(kz_track *track, int64_t time, uint64_t fingerprint);

/* The content of all packets so far is the same. Ends both tracks: nothing may be added. */
bool kz_track_same_content(kz_track *a, kz_track *b);

/* Seconds of stamp `index`; 0 where it has no time. */
double kz_track_seconds(const kz_track *track, size_t index);

#endif
