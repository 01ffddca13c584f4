/* How a run looks while it goes on, and when it has ended. */
#ifndef KZ_CMD_PROGRESS_H
#define KZ_CMD_PROGRESS_H

#include "job/job.h"
#include "media/url.h"

enum kz_progress_style {
    KZ_STYLE_OFF,
    KZ_STYLE_BAR,
    KZ_STYLE_JSON,
    KZ_STYLE_KEYS /* ffmpeg's -progress */
};

typedef struct kz_progress_view {
    enum kz_progress_style style;
    kz_log *log;
    FILE *stream;
    kz_url *url; /* KEYS: where to */
    double last; /* seconds at the last JSON line or block of keys */
} kz_progress_view;

/* `how` is --progress: "auto" is a bar on a terminal, else nothing. 0, KZ_ERROR_USAGE (no such
 * style), KZ_ERROR_FAILED (a URL that can't be opened) or KZ_ERROR_MEMORY; reported. */
int kz_progress_view_open(kz_progress_view *view, const char *how, bool quiet, FILE *stream,
                          kz_log *log);
void kz_progress_view_close(kz_progress_view *view);

void kz_progress_show(kz_progress_view *view, const kz_progress *progress);

/* Removes the bar; for JSON and keys writes the last line or block, and makes ready for another
 * run. */
void kz_progress_end(kz_progress_view *view, const kz_job_result *result, int error);

const char *kz_stage_name(enum kz_stage stage);

/* "1:23" or "1:02:03", written to `text`, which is returned. */
const char *kz_clock_text(char *text, size_t size, double seconds);

/* The lines after a run. */
void kz_progress_summary(const kz_job_result *result, const char *output, kz_log *log);

#endif
