/* Which of several machines that share a folder makes an output: a file beside it, made atomically,
 * whose owner changes it now and then. Other machines' clocks don't matter: who watches it
 * unchanged for long enough by his own clock may take it over, and only one of those who try
 * succeeds. */
#ifndef KZ_JOB_LEASE_H
#define KZ_JOB_LEASE_H

#include "base/log.h"

typedef struct kz_lease kz_lease;

/* For the output at `path`. Watches another's lease for up to KZ_LEASE_SECONDS, or until `stop_fd`
 * is readable. KZ_AGAIN: another machine (or a process of this one that lives) has it; ask again
 * later. KZ_ERROR_FAILED (reported: the folder can't be written) or KZ_ERROR_MEMORY. */
int kz_lease_take(kz_lease **lease, const char *path, int stop_fd, kz_log *log);

/* Shows that the owner lives; to be called more often than every KZ_LEASE_SECONDS / 3.
 * KZ_ERROR_CANCELLED: it isn't ours any more. */
int kz_lease_beat(kz_lease *lease);

/* Gives it back; the file goes. NULL is legal. */
void kz_lease_close(kz_lease **lease);

#endif
