/* What a service manager and a monitor want to know. */
#ifndef KZ_JOB_SERVICE_H
#define KZ_JOB_SERVICE_H

#include "job/store.h"

/* Sends "READY=1", "WATCHDOG=1", … to the manager that started the process, as sd_notify(3)
 * describes it; without one nothing happens. Thread-safe. */
void kz_service_notify(const char *state);

/* Seconds after which the manager misses a "WATCHDOG=1", 0: it doesn't. */
double kz_service_watchdog(void);

/* Replaces the file at `path` by the counts in Prometheus' text format. 0 or KZ_ERROR_FAILED,
 * reported. */
int kz_service_metrics(const char *path, const kz_store_counts *counts, double fps, kz_log *log);

#endif
