/* In the place of AVX-512's kernels with bf16 those for AMX, with its instructions in plain C: the
 * march has then what a machine with AMX gives it. The linker's --wrap puts these there. */
#include "backend/kernels/table.h"

static const kz_kernel_ops *const tiles[KZ_KERNEL_KINDS] = {
    [KZ_KERNEL_CONV] = &kz_kernel_conv_amx_emulated,
    [KZ_KERNEL_PHASE] = &kz_kernel_phase_amx_emulated,
    [KZ_KERNEL_FIRST] = &kz_kernel_first_avx512_bf16,
    [KZ_KERNEL_LAST] = &kz_kernel_last_avx512_bf16,
    [KZ_KERNEL_SHUFFLE] = &kz_kernel_shuffle_avx512_bf16,
};

const kz_kernel_ops *const *__real_kz_kernel_table_for(enum kz_cpu_level level, bool bf16);
const kz_small_kernels *__real_kz_kernel_small_for(enum kz_cpu_level level, bool bf16);
const kz_kernel_ops *const *__wrap_kz_kernel_table_for(enum kz_cpu_level level, bool bf16);
const kz_small_kernels *__wrap_kz_kernel_small_for(enum kz_cpu_level level, bool bf16);
const kz_kernel_ops *__wrap_kz_kernel_large_for(enum kz_cpu_level level, bool bf16);

const kz_kernel_ops *const *__wrap_kz_kernel_table_for(enum kz_cpu_level level, bool bf16)
{
    const bool are_there = bf16 && level >= KZ_CPU_AVX512_BF16;
    return are_there ? tiles : __real_kz_kernel_table_for(level, bf16);
}

const kz_small_kernels *__wrap_kz_kernel_small_for(enum kz_cpu_level level, bool bf16)
{
    return bf16 ? NULL : __real_kz_kernel_small_for(level, bf16);
}

const kz_kernel_ops *__wrap_kz_kernel_large_for(enum kz_cpu_level level, bool bf16)
{
    (void)level;
    (void)bf16;
    return NULL;
}
