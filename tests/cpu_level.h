/* The CPU level that a test program runs at: $KIZUNA_CPU_LEVEL, at most what the machine has. */
#ifndef KZ_TESTS_CPU_LEVEL_H
#define KZ_TESTS_CPU_LEVEL_H

#include "base/cpu.h"
#include "check.h"

static inline enum kz_cpu_level level(void)
{
    const char *name = getenv("KIZUNA_CPU_LEVEL");
    enum kz_cpu_level most = kz_cpu_detect();
    int asked = name ? kz_cpu_level_parse(name) : (int)most;
    CHECK(asked >= 0);
    return asked < (int)most ? (enum kz_cpu_level)asked : most;
}

#endif
