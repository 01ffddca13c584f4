#include "cuda/kernels/conv_wgmma.cuh"

using namespace conv_wgmma;

static_assert(room<3, 64>::bytes <= KZ_HOPPER_SHARED, "a block's shared memory");

bool kz_cuda_conv_wgmma_there(const kz_gpu_info *info)
{
    return info->major == 9 && info->minor == 0 && info->shared_bytes >= KZ_HOPPER_SHARED;
}

bool kz_cuda_conv_wgmma_fits(const kz_conv_task *t)
{
    return !t->tf32 && kz_cuda_conv_tensor_fits(t) &&
           (t->phases ? t->group == 64 && t->out.channels <= 64 : t->group >= 32);
}

template <class T, int KERNEL, int GROUP, bool PAIRS>
static void launch(kz_gpu *gpu, const kz_conv_task *t)
{
    const dim3 grid((unsigned)(t->in.width + TILE_COLUMNS - 1) / TILE_COLUMNS,
                    (unsigned)(t->in.height + TILE_ROWS - 1) / TILE_ROWS,
                    (unsigned)(t->phases ? 4 : (t->out.channels + GROUP - 1) / GROUP));
    kz_launch(gpu, run<T, KERNEL, GROUP, PAIRS>, grid, dim3(THREADS), room<KERNEL, GROUP>::bytes,
              *t);
}

template <class T, bool PAIRS> static void launch_group(kz_gpu *gpu, const kz_conv_task *t)
{
    if (t->phases)
        launch<T, 2, 64, PAIRS>(gpu, t);
    else if (t->group == 32)
        launch<T, 3, 32, PAIRS>(gpu, t);
    else
        launch<T, 3, 64, PAIRS>(gpu, t);
}

template <bool PAIRS> static void launch_kernel(kz_gpu *gpu, const kz_conv_task *t)
{
    if (t->in.element == KZ_ELEMENT_FP16)
        launch_group<kz_fp16, PAIRS>(gpu, t);
    else
        launch_group<kz_bf16, PAIRS>(gpu, t);
}

void kz_cuda_conv_wgmma(kz_gpu *gpu, const kz_conv_task *task)
{
    launch_kernel<false>(gpu, task);
}

void kz_cuda_conv_wgmma_pairs(kz_gpu *gpu, const kz_conv_task *task)
{
    launch_kernel<true>(gpu, task);
}
