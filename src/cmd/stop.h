/* Signals of a service: an end, at which work is given back, and a reload. */
#ifndef KZ_CMD_STOP_H
#define KZ_CMD_STOP_H

#include <stdatomic.h>

#include "base/log.h"

typedef struct kz_stop kz_stop;

/* SIGINT and SIGTERM, unless they are ignored, set *flag and make the end's descriptor readable; a
 * second one ends the process at once. SIGHUP makes the reload's readable. To be opened before any
 * thread. 0 or KZ_ERROR_FAILED, KZ_ERROR_MEMORY; reported. */
int kz_stop_open(kz_stop **stop, atomic_bool *flag, kz_log *log);
void kz_stop_close(kz_stop **stop);

int kz_stop_end_fd(const kz_stop *stop);    /* an eventfd(2) that nobody reads */
int kz_stop_reload_fd(const kz_stop *stop); /* one to be read until it is empty */

#endif
