/* What a service does, a line for each event, for people or programs. Thread-safe. */
#ifndef KZ_JOB_EVENTS_H
#define KZ_JOB_EVENTS_H

#include <stdio.h>

#include "job/store.h"

typedef struct kz_events {
    FILE *stream;
    bool json;
} kz_events;

/* "queued", "started", "done", …; `record` may be NULL, `text` too. */
void kz_event(const kz_events *events, const char *event, const kz_record *record,
              const char *text);

#endif
