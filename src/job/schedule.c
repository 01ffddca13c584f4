#include "job/schedule.h"

#include <stdio.h>
#include <string.h>

enum { DAY = 24 * 60 };

static int parse_hours(kz_schedule *s, const char *text)
{
    int h0, m0, h1, m1, used = 0;
    if (sscanf(text, "%d:%d-%d:%d%n", &h0, &m0, &h1, &m1, &used) != 4 || h0 < 0 || m0 < 0 ||
        h1 < 0 || m1 < 0 || m0 > 59 || m1 > 59 || s->count == KZ_MAX_HOURS)
        return -1;
    const int from = h0 * 60 + m0, to = h1 * 60 + m1;
    if (from >= DAY || to > DAY || from == to)
        return -1;
    s->from[s->count] = from;
    s->to[s->count++] = to;
    return used;
}

int kz_schedule_parse(kz_schedule *schedule, const char *text, kz_log *log)
{
    *schedule = (kz_schedule){0};
    for (const char *at = text; *at;) {
        const int used = parse_hours(schedule, at);
        if (used < 0 || (at[used] && (at[used] != ',' || !at[used + 1])))
            return kz_fail(log, KZ_ERROR_USAGE,
                           "--schedule: '%s' isn't hours like 22:00-07:00 or 0:00-6:30,12:00-13:00",
                           text);
        at += used + (at[used] == ',');
    }
    return 0;
}

bool kz_schedule_allows(const kz_schedule *s, time_t now)
{
    struct tm parts;
    localtime_r(&now, &parts);
    const int minute = parts.tm_hour * 60 + parts.tm_min;
    for (int i = 0; i < s->count; i++) {
        const bool over = s->to[i] < s->from[i];
        if (over ? minute >= s->from[i] || minute < s->to[i]
                 : minute >= s->from[i] && minute < s->to[i])
            return true;
    }
    return s->count == 0;
}
