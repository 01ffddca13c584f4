/* Looks through a watched folder and queues what has settled. Not thread-safe. */
#ifndef KZ_JOB_SCAN_H
#define KZ_JOB_SCAN_H

#include "job/events.h"

typedef struct kz_scan_params {
    const char *root;     /* the watched folder; both absolute */
    const char *output;   /* where outputs go; may lie in `root` and isn't looked into */
    const char *moved_to; /* nor is this; NULL: none */
    bool recursive;
    double settle;         /* seconds that a file must have stayed the same */
    const char *arguments; /* of every job, a JSON array of strings */
    const char *ending;    /* of outputs, as ".mkv" */
    int most_attempts;
    int inotify; /* gets a watch on every folder; -1: none */
    const kz_events *events;
    kz_log *log;
} kz_scan_params;

/* One pass. *next: seconds until a file that was seen may have settled, < 0: none is waited for.
 * What can't be read is told and left out. 0, or what the store returned. */
int kz_scan(kz_store *store, const kz_scan_params *params, double *next);

#endif
