/* Text to a place that libav's protocols know: a file, "pipe:3", "tcp://host:port", "http://…". */
#ifndef KZ_MEDIA_URL_H
#define KZ_MEDIA_URL_H

#include "base/log.h"

typedef struct kz_url kz_url;

/* 0, KZ_ERROR_FAILED (it can't be opened) or KZ_ERROR_MEMORY; reported. */
int kz_url_open(kz_url **url, const char *name, kz_log *log);
void kz_url_close(kz_url **url);

/* Sends the text at once. What a reader that has gone doesn't get is lost without a word. */
void kz_url_write(kz_url *url, const char *text);

#endif
