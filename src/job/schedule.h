/* Hours of the day in which work is done: "22:00-07:00", more of them with commas. */
#ifndef KZ_JOB_SCHEDULE_H
#define KZ_JOB_SCHEDULE_H

#include <stdbool.h>
#include <time.h>

#include "base/log.h"

enum { KZ_MAX_HOURS = 16 };

/* All zero: always. */
typedef struct kz_schedule {
    int count;
    int from[KZ_MAX_HOURS], to[KZ_MAX_HOURS]; /* minutes of the day; to < from: over midnight */
} kz_schedule;

/* KZ_ERROR_USAGE, reported. */
int kz_schedule_parse(kz_schedule *schedule, const char *text, kz_log *log);

/* In the local time of this machine. */
bool kz_schedule_allows(const kz_schedule *schedule, time_t now);

#endif
