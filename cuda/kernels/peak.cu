#include "cuda/kernels/peak.cuh"

enum { WARP = 32 };

int kz_cuda_peak_blocks(kz_gpu *gpu)
{
    return 2 * kz_gpu_get_info(gpu)->processors;
}

/* A warp's product has 32 bytes of each row. */
template <class T> static double measure_plain(kz_gpu *gpu, int steps, float *sums)
{
    const dim3 grid((unsigned)kz_cuda_peak_blocks(gpu)), block(peak::THREADS);
    const double macs = 16.0 * 8 * 32 / sizeof(T);
    kz_launch(gpu, peak::run<T>, grid, block, 0, steps, sums);
    return (double)grid.x * (peak::THREADS / WARP) * peak::SUMS * macs * steps;
}

double kz_cuda_peak(kz_gpu *gpu, enum kz_element element, int steps, float *sums)
{
    switch (element) {
    case KZ_ELEMENT_FP16:
        return measure_plain<kz_fp16>(gpu, steps, sums);
    case KZ_ELEMENT_BF16:
        return measure_plain<kz_bf16>(gpu, steps, sums);
    default:
        return measure_plain<kz_tf32>(gpu, steps, sums);
    }
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
