#include "base/thread.h"

#include <sched.h>
#include <time.h>

#include "base/quota.h"

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double kz_now(void)
{
    return seconds(CLOCK_MONOTONIC);
}

double kz_cpu_seconds(void)
{
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

/* A set for 1024 processors, as the C library has it, is too small for the largest machines. */
static int allowed_count(void)
{
    cpu_set_t set[8];
    if (sched_getaffinity(0, sizeof(set), set))
        return 1;
    return CPU_COUNT_S(sizeof(set), set);
}

int kz_cpu_count(void)
{
    int count = allowed_count(), quota = kz_cpu_quota("");
    return quota && quota < count ? quota : count;
}
