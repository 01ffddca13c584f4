/* What the processor can do, as one ordered level, so that a mask is just a lower level. */
#ifndef KZ_BASE_CPU_H
#define KZ_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>

enum kz_cpu_level {
    KZ_CPU_BASELINE,    /* what the compiler assumed */
    KZ_CPU_AVX2,        /* AVX2 and FMA */
    KZ_CPU_AVX512,      /* AVX-512 F, BW, VL, DQ */
    KZ_CPU_AVX512_BF16, /* and vdpbf16ps */
    KZ_CPU_AMX          /* and AMX tiles with bf16, which the kernel lets us use */
};

/* The best level this machine has, seen by CPUID and by what the operating system saves. */
enum kz_cpu_level kz_cpu_detect(void);

/* Whether vdpbf16ps, where it is, has twice the multiply-accumulates of fp32's FMA: AMD's run it at
 * the same rate, Intel's at half. By the vendor, not by a measurement: a choice that noise can turn
 * would make two runs differ. */
bool kz_cpu_has_fast_bf16(void);

/* "baseline", "avx2", … */
const char *kz_cpu_level_name(enum kz_cpu_level level);

/* The level of that name, or -1. */
int kz_cpu_level_parse(const char *name);

/* Which processor this is, as far as libraries may choose their order of arithmetic by it: name,
 * stepping and caches. Writes it to `text` and returns it. */
const char *kz_cpu_model(char *text, size_t size);

/* Makes this thread's floating point treat denormals as zero: they cost hundreds of cycles. */
void kz_cpu_flush_denormals(void);

#endif
