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

static patch patch_of(const kz_patch *p)
{
    const kz_view *v = &p->numbers;
    const size_t first = ((size_t)p->y * (size_t)v->width + (size_t)p->x) * (size_t)v->pixel;
    return {p->samples.data, p->samples.pitch, (float *)v->data + first,
            v->width,        p->samples.x,     p->samples.y};
}

static patches patches_of(const kz_patch *from, int n)
{
    patches p;
    memset(&p, 0, sizeof(p));
    p.kind = from->samples;
    p.step = from->numbers.pixel;
    for (int i = 0; i < n; i++)
        p.each[i] = patch_of(&from[i]);
    return p;
}

/* Numbers the blocks and returns how many there are. */
static unsigned blocks_of(const kz_patch *from, int n, kz_blocks *blocks)
{
    memset(blocks, 0, sizeof(*blocks));
    blocks->n = n;
    for (int i = 0; i < n; i++)
        blocks->tiles[i] = {0, from[i].samples.width, from[i].samples.height, 0};
    return kz_blocks_number(blocks, COLUMNS, ROWS);
}

void kz_cuda_load(kz_gpu *gpu, const kz_patch *from, int n, kz_levels levels)
{
    kz_blocks blocks;
    const dim3 grid(blocks_of(from, n, &blocks));
    kz_launch(gpu, run_load, grid, block(), 0, patches_of(from, n), blocks, levels);
}

void kz_cuda_store(kz_gpu *gpu, const kz_patch *from, int n, const kz_tone *tone, kz_levels levels,
                   unsigned *strange)
{
    kz_blocks blocks;
    const dim3 grid(blocks_of(from, n, &blocks));
    kz_launch(gpu, run_store, grid, block(), 0, patches_of(from, n), blocks, tone, levels, strange);
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
