#include "cuda/kernels/conv_tail.cuh"

using namespace conv_tail;

bool kz_cuda_conv_tail_fits(const kz_conv_task *t, int shared_bytes)
{
    const kz_conv_task *first = t->first;
    if (!first || first->tf32 || !kz_cuda_conv_tensor_fits(first) || !kz_cuda_conv_last_fits(t))
        return false;
    const int needed = first->group == 64 ? room<64>::bytes : room<32>::bytes;
    return !first->phases && !first->n_residuals && first->group >= 32 &&
           first->out.channels <= first->group && first->out.element == first->in.element &&
           t->in.data == first->out.data && t->in.channels == first->out.channels &&
           t->in.element == first->out.element && needed <= shared_bytes;
}

static int steps_of(int rows)
{
    return (rows + HALO + TILE_ROWS - 1) / TILE_ROWS;
}

/* Rows of a segment, such that the multiprocessor with the most work has the least. */
static int segment_rows(int processors, kz_blocks *blocks)
{
    int highest = 0, best = 0, least = 0;
    for (int i = 0; i < blocks->n; i++)
        highest = blocks->tiles[i].height > highest ? blocks->tiles[i].height : highest;
    for (int steps = 1; steps <= steps_of(highest); steps++) {
        const int rows = steps * TILE_ROWS - HALO;
        const int count = (int)kz_blocks_number(blocks, OWN_COLUMNS, rows);
        const int cost = (count + processors - 1) / processors * steps;
        best = !best || cost <= least ? rows : best;
        least = !least || cost <= least ? cost : least;
    }
    return best;
}

template <class T, int GROUP> static void launch(kz_gpu *gpu, const kz_conv_task *t)
{
    kz_blocks blocks = kz_blocks_of(t->batch, &t->out);
    const int rows = segment_rows(kz_gpu_get_info(gpu)->processors, &blocks);
    const dim3 grid(kz_blocks_number(&blocks, OWN_COLUMNS, rows));
    kz_launch(gpu, run<T, GROUP>, grid, dim3(THREADS), room<GROUP>::bytes, *t->first, *t, blocks,
              rows);
}

template <class T> static void launch_group(kz_gpu *gpu, const kz_conv_task *t)
{
    if (t->first->group == 64)
        launch<T, 64>(gpu, t);
    else
        launch<T, 32>(gpu, t);
}

void kz_cuda_conv_tail(kz_gpu *gpu, const kz_conv_task *task)
{
    if (task->in.element == KZ_ELEMENT_FP16)
        launch_group<kz_fp16>(gpu, task);
    else
        launch_group<kz_bf16>(gpu, task);
}
