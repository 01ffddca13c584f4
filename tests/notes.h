/* A log whose lines a test can read. It isn't to be moved while it is open. */
#ifndef KZ_TESTS_NOTES_H
#define KZ_TESTS_NOTES_H

#include <string.h>

#include "base/log.h"
#include "check.h"

struct notes {
    kz_log *log;
    FILE *stream;
    char *text;
    size_t size;
};

static inline void notes_open(struct notes *notes, enum kz_log_level level)
{
    notes->stream = open_memstream(&notes->text, &notes->size);
    CHECK(notes->stream != NULL);
    CHECK(kz_log_open(&notes->log, notes->stream, level) == 0);
}

static inline void notes_close(struct notes *notes)
{
    kz_log_close(&notes->log);
    fclose(notes->stream);
    free(notes->text);
}

/* How often the lines so far have these words. */
static inline int notes_count(struct notes *notes, const char *part)
{
    int n = 0;
    fflush(notes->stream);
    for (const char *at = notes->text; (at = strstr(at, part)); at += strlen(part))
        n++;
    return n;
}

#endif
