/* Takes jobs from the store, one at a time, and does them: in a process of its own, with everything
 * that belongs to a watched folder before and after. */
#ifndef KZ_JOB_WORKER_H
#define KZ_JOB_WORKER_H

#include <stdatomic.h>

#include "job/events.h"
#include "job/schedule.h"

enum kz_after { KZ_AFTER_KEEP, KZ_AFTER_MOVE, KZ_AFTER_DELETE };

typedef struct kz_worker_params {
    const char *program; /* this one's path */
    const char *store;   /* NULL: the default */
    int thread;          /* its number among this process's workers */
    int nice;
    enum kz_after after;           /* what becomes of an original */
    const char *root;              /* the watched folder, and */
    const char *moved_to;          /* where originals go, with their sub-folders (KZ_AFTER_MOVE) */
    const char *on_done, *on_fail; /* shell commands, or NULL */
    double backoff; /* seconds before the second attempt; twice that before the next */
    const kz_schedule *schedule;
    atomic_bool *stop; /* jobs under way are given back */
    int stop_fd;       /* an eventfd(2), which becomes readable with it */
    const kz_events *events;
    kz_log *log;
} kz_worker_params;

/* Works until it is told to stop. Returns 0, or what the store returned. */
int kz_worker_run(const kz_worker_params *params);

#endif
