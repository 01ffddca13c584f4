/* A job in a process of its own: whatever a file does to libraries, it does to that process alone.
 * Not thread-safe; the child dies with the thread that started it. */
#ifndef KZ_JOB_CHILD_H
#define KZ_JOB_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

typedef struct kz_child kz_child;

/* Starts `argv` (ends with NULL) with nothing to read and its standard output where nobody looks;
 * its lines on standard error are read. `nice` is added to the priority's number. 0,
 * KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported. */
int kz_child_start(kz_child **child, const char *const *argv, int nice, kz_log *log);

/* What is known of it; strings are the child's. */
typedef struct kz_child_news {
    int64_t frames, total; /* from its last line of progress, as the next two */
    double fps;
    int64_t bytes; /* of output that it has made */
    int64_t read;  /* bytes that it has read, from wherever */
    bool ended;
    int code;          /* its exit code, if it ended; 128 and the signal's number after a signal */
    bool killed;       /* from outside: by a person, or for want of memory */
    const char *error; /* its last error line, or how it ended; "" */
    const char *encoder; /* which one it chose by itself, and why; "" */
} kz_child_news;

/* Reads lines for at most so many seconds, less if it ends. */
void kz_child_wait(kz_child *child, double seconds, kz_child_news *news);

/* Asks it to stop, as Ctrl-C does; or makes it. */
void kz_child_stop(kz_child *child);
void kz_child_kill(kz_child *child);

/* One that runs is killed first. NULL is legal. */
void kz_child_close(kz_child **child);

/* Starts `command` by the shell with `text` on its standard input and waits for its end, for
 * KZ_HOOK_SECONDS at most: then it is killed. Returns its exit code, or < 0 where it couldn't be
 * started. */
#define KZ_HOOK_SECONDS 300
int kz_child_hook(const char *command, const char *text, kz_log *log);

#endif
