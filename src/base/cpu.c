#include "base/cpu.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>

/* The kernel hands out AMX's 8 KiB of tile state only to processes that ask (Linux 5.16). */
static int amx_is_permitted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static int has_amx_bf16(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (d >> 24 & 1) && (d >> 22 & 1); /* AMX-TILE, AMX-BF16 */
}

enum kz_cpu_level kz_cpu_detect(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return KZ_CPU_BASELINE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
        return KZ_CPU_AVX2;
    if (!__builtin_cpu_supports("avx512bf16"))
        return KZ_CPU_AVX512;
    return has_amx_bf16() && amx_is_permitted() ? KZ_CPU_AMX : KZ_CPU_AVX512_BF16;
}

bool kz_cpu_has_fast_bf16(void)
{
    __builtin_cpu_init();
    return !__builtin_cpu_is("intel");
}

static unsigned processor(char brand[49])
{
    unsigned r[12] = {0}, a = 0, b, c, d;
    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    memcpy(brand, r, sizeof(r));
    brand[48] = '\0';
    __get_cpuid(1, &a, &b, &c, &d);
    return a;
}

void kz_cpu_flush_denormals(void)
{
    _mm_setcsr(_mm_getcsr() | 0x8040); /* flush to zero, denormals are zero */
}
#else
enum kz_cpu_level kz_cpu_detect(void)
{
    return KZ_CPU_BASELINE;
}

bool kz_cpu_has_fast_bf16(void)
{
    return false;
}

static unsigned processor(char brand[49])
{
    strcpy(brand, "unknown");
    return 0;
}

void kz_cpu_flush_denormals(void)
{
}
#endif

const char *kz_cpu_model(char *text, size_t size)
{
    char brand[49];
    const unsigned signature = processor(brand);
    snprintf(text, size, "%s %x, caches %ld %ld %ld", brand, signature,
             sysconf(_SC_LEVEL1_DCACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE),
             sysconf(_SC_LEVEL3_CACHE_SIZE));
    return text;
}

static const char *const names[] = {"baseline", "avx2", "avx512", "avx512_bf16", "amx"};

const char *kz_cpu_level_name(enum kz_cpu_level level)
{
    return names[level];
}

int kz_cpu_level_parse(const char *name)
{
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}
