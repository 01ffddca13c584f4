/* A folder whose films are upscaled as they come. */
#ifndef KZ_JOB_WATCH_H
#define KZ_JOB_WATCH_H

#include "job/scan.h"
#include "job/worker.h"

typedef struct kz_watch_params {
    kz_scan_params scan;     /* `inotify` is the watch's own */
    kz_worker_params worker; /* of each; `thread` is the watch's own */
    int workers;
    double rescan;       /* seconds between two looks whatever is told meanwhile */
    const char *metrics; /* a file, or NULL */
    /* Read by whoever waits for the next look: a byte means that presets may have changed. */
    int reload_fd;
} kz_watch_params;

/* Runs until worker.stop is set and worker.stop_fd readable, which a failure does itself; jobs
 * under way are given back within ten seconds. 0 or the first failure's code, reported. */
int kz_watch_run(const kz_watch_params *params);

#endif
