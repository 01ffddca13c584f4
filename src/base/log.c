#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct kz_log {
    FILE *stream;
    enum kz_log_level level;
    pthread_mutex_t lock;
    /* ---- protected by lock ---- */
    char *status;
};

int kz_log_open(kz_log **log, FILE *stream, enum kz_log_level level)
{
    kz_log *l = *log = kz_alloc(1, sizeof(*l));
    if (!l)
        return KZ_ERROR_MEMORY;
    l->stream = stream;
    l->level = level;
    pthread_mutex_init(&l->lock, NULL);
    return 0;
}

void kz_log_close(kz_log **log)
{
    kz_log *l = *log;
    if (!l)
        return;
    kz_log_status(l, NULL);
    pthread_mutex_destroy(&l->lock);
    kz_free(l);
    *log = NULL;
}

/* File names are hostile: a terminal must not obey what stands in them. UTF-8 passes. */
static void put_escaped(FILE *stream, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f)
            fprintf(stream, "\\x%02x", *p);
        else
            putc(*p, stream);
    }
}

static void put_line(kz_log *log, enum kz_log_level level, const char *text)
{
    static const char *const prefix[] = {"kizuna: error: ", "kizuna: warning: ", "", ""};
    pthread_mutex_lock(&log->lock);
    flockfile(log->stream);
    if (log->status)
        fputs("\r\033[K", log->stream);
    fputs(prefix[level], log->stream);
    put_escaped(log->stream, text);
    putc('\n', log->stream);
    if (log->status)
        fputs(log->status, log->stream);
    fflush(log->stream);
    funlockfile(log->stream);
    pthread_mutex_unlock(&log->lock);
}

static void log_va(kz_log *log, enum kz_log_level level, const char *format, va_list args)
{
    char text[4096];
    if (!log || level > log->level)
        return;
    vsnprintf(text, sizeof(text), format, args);
    put_line(log, level, text);
}

void kz_log_line(kz_log *log, enum kz_log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_va(log, level, format, args);
    va_end(args);
}

int kz_fail(kz_log *log, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_va(log, KZ_LOG_ERROR, format, args);
    va_end(args);
    return code;
}

int kz_fail_memory(kz_log *log, const char *what)
{
    return kz_fail(log, KZ_ERROR_MEMORY, "out of memory for %s", what);
}

void kz_log_status(kz_log *log, const char *text)
{
    if (!log)
        return;
    char *status = text && *text ? kz_strdup(text) : NULL;
    pthread_mutex_lock(&log->lock);
    if (log->status || status) {
        fprintf(log->stream, "\r%s\033[K", status ? status : "");
        fflush(log->stream);
    }
    kz_free(log->status);
    log->status = status;
    pthread_mutex_unlock(&log->lock);
}
