/* The size of the output. */
#ifndef KZ_JOB_SIZE_H
#define KZ_JOB_SIZE_H

#include "base/log.h"

typedef struct kz_size {
    int width, height;
} kz_size;

/* The size that `text` ("2", "1920x1080", "4k", …) means for an input and a network that enlarges
 * as far as `most_scale`: a factor multiplies; a box is filled as far as the aspect ratio allows,
 * and a named box never beyond the network. Both sides are even. 0, or KZ_ERROR_USAGE (reported).
 */
int kz_job_size(kz_size *out, const char *text, kz_size in, int most_scale, kz_log *log);

#endif
