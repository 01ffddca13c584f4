/* What belongs to a finished job besides its output: the files beside the original that are named
 * after it, and the original itself. */
#ifndef KZ_JOB_AFTER_H
#define KZ_JOB_AFTER_H

#include "job/worker.h"

/* It is a video by its name's ending. */
bool kz_is_video_name(const char *name);

/* Copies files like STEM.srt and STEM.en.ass beside the output, where there are none yet. 0 or
 * KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported. */
int kz_after_sidecars(const char *input, const char *output, kz_log *log);

/* Moves or deletes the original; as the above. */
int kz_after_original(const kz_worker_params *params, const char *input);

#endif
