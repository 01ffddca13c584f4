#include "cuda/kernels/plane.cuh"

using namespace plane;

static dim3 grid_of(int width, int height)
{
    return dim3((unsigned)(width + COLUMNS - 1) / COLUMNS, (unsigned)(height + ROWS - 1) / ROWS);
}

static dim3 block(void)
{
    return dim3(COLUMNS, ROWS);
}

void kz_cuda_load(kz_gpu *gpu, const kz_surface *src, kz_levels levels, int x, int y,
                  const kz_view *dst)
{
    kz_launch(gpu, run_load, grid_of(dst->width, dst->height), block(), 0, *src, levels, x, y,
              *dst);
}

void kz_cuda_store(kz_gpu *gpu, const kz_view *src, int x, int y, const kz_tone *tone,
                   const kz_surface *dst, kz_levels levels, kz_rect part)
{
    kz_launch(gpu, run_store, grid_of(part.x1 - part.x0, part.y1 - part.y0), block(), 0, *src, x, y,
              tone, *dst, levels, part);
}

void kz_cuda_scale_rows(kz_gpu *gpu, const kz_surface *src, kz_levels levels,
                        const kz_cuda_axis *axis, const kz_view *dst)
{
    kz_launch(gpu, run_scale_rows, grid_of(dst->width, dst->height), block(), 0, *src, levels,
              *axis, *dst);
}

void kz_cuda_scale_columns(kz_gpu *gpu, const kz_view *src, int first, const kz_cuda_axis *axis,
                           const kz_surface *dst, kz_levels levels)
{
    kz_launch(gpu, run_scale_columns, grid_of(dst->width, dst->height), block(), 0, *src, first,
              *axis, *dst, levels);
}
