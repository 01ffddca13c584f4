/* Lines for people, on one stream, whole and in order whatever the thread.
 * A status line (progress bar) is kept below the log lines and redrawn by its owner. */
#ifndef KZ_BASE_LOG_H
#define KZ_BASE_LOG_H

#include <stdio.h>

#include "base/error.h"

enum kz_log_level { KZ_LOG_ERROR, KZ_LOG_WARNING, KZ_LOG_INFO, KZ_LOG_VERBOSE };

typedef struct kz_log kz_log;

/* Opens a log that writes lines up to `level` to `stream`, which stays the caller's.
 * Returns 0 or KZ_ERROR_MEMORY. */
int kz_log_open(kz_log **log, FILE *stream, enum kz_log_level level);

/* Frees the log and sets *log to NULL; NULL is legal. */
void kz_log_close(kz_log **log);

/* Writes one line ("kizuna: error: …" for errors and warnings, the bare text otherwise).
 * Thread-safe; a NULL log is silent. Control characters of the text are written as \xNN. */
void kz_log_line(kz_log *log, enum kz_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reports an error line and returns `code`: `return kz_fail(log, KZ_ERROR_FAILED, "%s: …", path);`
 */
int kz_fail(kz_log *log, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Reports that `what` could not be allocated; returns KZ_ERROR_MEMORY. */
int kz_fail_memory(kz_log *log, const char *what);

/* Replaces the status line by `text` (NULL or "" removes it). Thread-safe. */
void kz_log_status(kz_log *log, const char *text);

#endif
