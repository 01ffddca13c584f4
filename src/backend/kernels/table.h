/* The names of one CPU level's kernels: the same source is compiled once per level. */
#ifndef KZ_BACKEND_KERNELS_TABLE_H
#define KZ_BACKEND_KERNELS_TABLE_H

#include "backend/kernels/kernel.h"

#define KZ_KERNEL_JOIN(kind, level) kz_kernel_##kind##_##level
#define KZ_KERNEL_NAME(kind, level) KZ_KERNEL_JOIN(kind, level)
#define KZ_KERNEL(kind) KZ_KERNEL_NAME(kind, KZ_LEVEL)

extern kz_kernel_peak kz_kernel_peak_avx2, kz_kernel_peak_avx512, kz_kernel_peak_avx512_bf16,
    kz_kernel_peak_amx;
extern kz_kernel_tone kz_kernel_tone_avx2, kz_kernel_tone_avx512, kz_kernel_tone_avx512_bf16;
#define KZ_KERNELS_OF(level)                                                        \
    extern const kz_kernel_ops kz_kernel_conv_##level, kz_kernel_phase_##level,     \
        kz_kernel_first_##level, kz_kernel_last_##level, kz_kernel_shuffle_##level, \
        kz_kernel_small_##level, kz_kernel_small_end_##level, kz_kernel_small_first_##level

KZ_KERNELS_OF(avx2);
KZ_KERNELS_OF(avx512);
KZ_KERNELS_OF(avx512_bf16);

extern const kz_kernel_ops kz_kernel_large_avx512_bf16;

/* At this level the others are those of avx512_bf16. */
#define KZ_TILE_KERNELS_OF(level) \
    extern const kz_kernel_ops kz_kernel_conv_##level, kz_kernel_phase_##level

KZ_TILE_KERNELS_OF(amx);
KZ_TILE_KERNELS_OF(amx_emulated); /* linked into tests only */

#endif
