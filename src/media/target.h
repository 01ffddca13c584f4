/* Where an output's bytes go: a file under a temporary name that gets its own when it is whole; a
 * device or a pipe directly. */
#ifndef KZ_MEDIA_TARGET_H
#define KZ_MEDIA_TARGET_H

#include <libavformat/avio.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

typedef struct kz_target kz_target;

/* "-" is standard output. `part` is the path of the unfinished file, NULL: one of its own beside
 * `path`. An existing file is KZ_ERROR_USAGE unless `overwrite`, and always when
 * it is the one at `input`. Returns 0, KZ_ERROR_USAGE, KZ_ERROR_FAILED or KZ_ERROR_MEMORY, all
 * reported. */
int kz_target_open(kz_target **target, const char *path, const char *part, const char *input,
                   bool overwrite, kz_log *log);

/* Closes; what wasn't committed is removed. */
void kz_target_close(kz_target **target);

AVIOContext *kz_target_io(const kz_target *target);

/* For messages. */
const char *kz_target_name(const kz_target *target);

/* The unfinished file, NULL for devices and pipes. */
const char *kz_target_temporary(const kz_target *target);

/* The errno of the first write that failed, 0: none. */
int kz_target_error(const kz_target *target);

/* Thread-safe. */
int64_t kz_target_bytes(const kz_target *target);

/* The temporary file isn't removed when the target is closed. */
void kz_target_keep(kz_target *target);

/* Puts everything on disk, then under its name. 0 or KZ_ERROR_FAILED (reported). */
int kz_target_commit(kz_target *target);

#endif
