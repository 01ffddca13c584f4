/* Clocks and threads. */
#ifndef KZ_BASE_THREAD_H
#define KZ_BASE_THREAD_H

/* Monotonic seconds. */
double kz_now(void);

/* CPU seconds that the whole process has used. */
double kz_cpu_seconds(void);

/* Processors this process may run on, at least 1: no more than a control group leaves it time for
 * (base/quota.h). */
int kz_cpu_count(void);

#endif
