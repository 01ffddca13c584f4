#include "cuda/kernels/sum.cuh"

void kz_cuda_sum(kz_gpu *gpu, const kz_sum_task *task)
{
    const size_t channels = (size_t)task->out.channels;
    kz_blocks blocks = kz_blocks_of(task->batch, &task->out);
    const dim3 grid(kz_blocks_number(&blocks, [=](int width, int height) {
        return (channels * (size_t)width * (size_t)height + sum::THREADS - 1) / sum::THREADS;
    }));
    kz_launch(gpu, sum::run, grid, dim3(sum::THREADS), 0, *task, blocks);
}
