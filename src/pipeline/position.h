/* Goes to the frame where an unfinished run goes on. */
#ifndef KZ_PIPELINE_POSITION_H
#define KZ_PIPELINE_POSITION_H

#include "media/decode.h"
#include "pipeline/journal.h"

typedef struct kz_position {
    kz_input *input;     /* just opened, as is the decoder */
    kz_decoder *decoder; /* gives the first frame that isn't in a segment afterwards */
    const kz_journal *journal;
    kz_frame *first; /* out: the run's first frame, the caller's */
} kz_position;

/* Every frame on the way is compared with what the earlier run saw. With `seek` it goes to the last
 * segment and decodes only that. Returns 0; KZ_AGAIN: seeking isn't exact here, open both anew and
 * ask without; KZ_ERROR_FAILED: the input decodes differently now (reported); or what reading
 * returns. */
int kz_position_go(kz_position *position, bool seek, kz_log *log);

#endif
