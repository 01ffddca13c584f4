#include "cuda/kernels/conv_march.cuh"

using namespace conv_march;

/* As deep a ring as there is room for; 0: not even a short one. */
static int ring_of(const kz_conv_task *t)
{
    enum { DEEP = 6, SHORT = 3 };
    if (room_of(t->in.channels, t->group, DEEP) <= KZ_HOPPER_SHARED)
        return DEEP;
    return room_of(t->in.channels, t->group, SHORT) <= KZ_HOPPER_SHARED ? SHORT : 0;
}

bool kz_cuda_conv_march_fits(const kz_conv_task *t)
{
    return kz_cuda_conv_wgmma_fits(t) && !t->phases && t->out.channels <= t->group && ring_of(t);
}

template <class T, int GROUP, int ROWS> static void launch(kz_gpu *gpu, const kz_conv_task *t)
{
    kz_launch(gpu, run<T, GROUP, ROWS>, dim3((unsigned)kz_gpu_get_info(gpu)->processors),
              dim3(THREADS), (size_t)room_of(t->in.channels, GROUP, ROWS), *t);
}

template <class T, int ROWS> static void launch_group(kz_gpu *gpu, const kz_conv_task *t)
{
    if (t->group == 32)
        launch<T, 32, ROWS>(gpu, t);
    else
        launch<T, 64, ROWS>(gpu, t);
}

template <class T> static void launch_ring(kz_gpu *gpu, const kz_conv_task *t)
{
    if (ring_of(t) == 3)
        launch_group<T, 3>(gpu, t);
    else
        launch_group<T, 6>(gpu, t);
}

void kz_cuda_conv_march(kz_gpu *gpu, const kz_conv_task *task)
{
    if (task->in.element == KZ_ELEMENT_FP16)
        launch_ring<kz_fp16>(gpu, task);
    else
        launch_ring<kz_bf16>(gpu, task);
}
