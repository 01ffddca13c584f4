#include "cuda/kernels/peak.cuh"

/* Of one product of a warp. */
enum { PRODUCT_MACS = 16 * 8 * 16, WARP = 32 };

int kz_cuda_peak_blocks(kz_gpu *gpu)
{
    return 2 * kz_gpu_get_info(gpu)->processors;
}

double kz_cuda_peak(kz_gpu *gpu, enum kz_element element, int steps, float *sums)
{
    const dim3 grid((unsigned)kz_cuda_peak_blocks(gpu)), block(peak::THREADS);
    if (element == KZ_ELEMENT_FP16)
        kz_launch(gpu, peak::run<kz_fp16>, grid, block, 0, steps, sums);
    else
        kz_launch(gpu, peak::run<kz_bf16>, grid, block, 0, steps, sums);
    return (double)grid.x * (peak::THREADS / WARP) * peak::SUMS * PRODUCT_MACS * steps;
}

template <int N> static double measure(kz_gpu *gpu, int steps, float *sums)
{
    const dim3 grid((unsigned)kz_cuda_peak_blocks(gpu)), block(peak::THREADS);
    kz_launch(gpu, peak::run_wgmma<kz_fp16, N>, grid, block, peak::room<N>::bytes, steps, sums);
    return (double)grid.x * peak::WARPGROUPS * peak::SUMS * 64 * N * 16 * steps;
}

double kz_cuda_peak_wgmma(kz_gpu *gpu, int columns, int steps, float *sums)
{
    switch (columns) {
    case 32:
        return measure<32>(gpu, steps, sums);
    case 64:
        return measure<64>(gpu, steps, sums);
    case 96:
        return measure<96>(gpu, steps, sums);
    case 128:
        return measure<128>(gpu, steps, sums);
    default:
        return measure<192>(gpu, steps, sums);
    }
}
