/* How a run looks while it goes on, and when it has ended. */
#ifndef KZ_CMD_PROGRESS_H
#define KZ_CMD_PROGRESS_H

#include "job/job.h"

typedef struct kz_progress_view {
    enum kz_progress_style style; /* never AUTO */
    kz_log *log;
    FILE *stream;
    double last; /* seconds at the last JSON line */
} kz_progress_view;

/* AUTO becomes a bar on a terminal, else nothing. */
kz_progress_view kz_progress_view_make(enum kz_progress_style style, bool quiet, FILE *stream,
                                       kz_log *log);

void kz_progress_show(kz_progress_view *view, const kz_progress *progress);

/* Removes the bar; for JSON writes the last line. */
void kz_progress_end(kz_progress_view *view, const kz_job_result *result, int error);

/* The lines after a run. */
void kz_progress_summary(const kz_job_result *result, const char *output, kz_log *log);

#endif
