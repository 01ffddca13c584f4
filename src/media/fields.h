/* Whether a video's frames are woven from two fields. */
#ifndef KZ_MEDIA_FIELDS_H
#define KZ_MEDIA_FIELDS_H

#include "media/internal.h"

enum kz_scan {
    KZ_SCAN_UNKNOWN, /* nothing to go by: too still, too short, or a pipe */
    KZ_SCAN_PROGRESSIVE,
    KZ_SCAN_INTERLACED,
    KZ_SCAN_TELECINED /* film at 24 frames a second in 30, by 3:2 pulldown */
};

typedef struct kz_fields {
    bool flagged;      /* the stream says that it is interlaced */
    enum kz_scan seen; /* what the pictures say */
} kz_fields;

/* Looks at the stream's flags, and, where they or the number of lines make it worth a look, at some
 * frames of `path` (the input's; not a pipe's) through a decoder of its own. Never fails: what
 * can't be found out stays unknown. */
kz_fields kz_fields_find(const kz_input *input, const kz_input_params *params);

#endif
