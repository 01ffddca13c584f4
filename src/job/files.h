/* Which files a watched folder holds and since when they are as they are, kept in the job store's
 * file, so that a restart needn't look into each of them again. Not thread-safe. */
#ifndef KZ_JOB_FILES_H
#define KZ_JOB_FILES_H

#include <stdbool.h>
#include <sys/stat.h>

#include "job/store.h"

/* How a file was found. */
typedef struct kz_file_state {
    double age; /* seconds that its size, time and number have been the same */
    bool taken; /* it has become a job as it is */
} kz_file_state;

/* Notes the file as it is now. 0, KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported, as below. */
int kz_files_see(kz_store *store, const char *path, const struct stat *st, kz_file_state *state);

/* It is a job now. */
int kz_files_take(kz_store *store, const char *path);

#endif
