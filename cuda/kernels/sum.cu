#include "cuda/kernels/sum.cuh"

void kz_cuda_sum(kz_gpu *gpu, const kz_sum_task *task)
{
    const size_t elements =
        (size_t)task->out.channels * (size_t)task->out.width * (size_t)task->out.height;
    const dim3 grid((unsigned)((elements + sum::THREADS - 1) / sum::THREADS));
    kz_launch(gpu, sum::run, grid, dim3(sum::THREADS), 0, *task);
}
