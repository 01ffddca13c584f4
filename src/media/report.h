/* The findings of a check, for people and programs. */
#ifndef KZ_MEDIA_REPORT_H
#define KZ_MEDIA_REPORT_H

#include <stdbool.h>

#include "base/log.h"

typedef struct kz_finding {
    bool ok;
    char what[48];  /* "video", "stream 2 (audio)", "chapters" */
    char text[200]; /* what was found */
} kz_finding;

/* All zero is an empty report. Not thread-safe. */
typedef struct kz_report {
    kz_finding *findings;
    int count, capacity, failures;
    bool short_of_memory; /* findings are missing: the check failed */
} kz_report;

void kz_report_add(kz_report *report, bool ok, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void kz_report_close(kz_report *report);

/* Everything was checked and is as it should be. */
bool kz_report_is_good(const kz_report *report);

#endif
