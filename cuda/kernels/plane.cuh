/* Between planes of samples and numbers: as pixel/levels.h, pixel/tone.h and pixel/resample.h say,
 * to the bit where the order of additions allows it. */
#ifndef KZ_CUDA_KERNELS_PLANE_CUH
#define KZ_CUDA_KERNELS_PLANE_CUH

#include "cuda/kernels/batch.cuh"
#include "cuda/kernels/element.cuh"

namespace plane
{
enum { COLUMNS = 32, ROWS = 8 };

/* The thread's sample. */
KZ_DEVICE int column(void)
{
    return (int)(blockIdx.x * COLUMNS + threadIdx.x);
}

KZ_DEVICE int row(void)
{
    return (int)(blockIdx.y * ROWS + threadIdx.y);
}

KZ_DEVICE float load(const kz_surface &s, kz_levels levels, int x, int y)
{
    const char *line = (const char *)s.data + (size_t)y * s.pitch;
    const size_t at = (size_t)x * (size_t)s.step;
    const float scale = 1 / levels.span;
    if (s.bytes == 4)
        return ((const float *)line)[at];
    const unsigned sample = s.bytes == 1 ? ((const uint8_t *)line)[at]
                                         : (unsigned)((const uint16_t *)line)[at] >> s.shift;
    return ((float)sample - levels.zero) * scale;
}

/* Bayer's 8×8 thresholds in 1/128: the bits of x ^ y and of y, interleaved from the lowest up. */
KZ_DEVICE float threshold(int x, int y)
{
    int rank = 0;
    for (int bit = 0; bit < 3; bit++)
        rank |= ((x ^ y) >> bit & 1) << (5 - 2 * bit) | (y >> bit & 1) << (4 - 2 * bit);
    return (float)(2 * rank + 1) / 128;
}

/* A NaN becomes 0. */
KZ_DEVICE unsigned quantise(const kz_surface &s, kz_levels levels, int x, int y, float value)
{
    const float most = (float)((1 << s.depth) - 1);
    float code = kz_product(value, levels.span) + levels.zero + threshold(s.x + x, s.y + y);
    code = code > 0 ? code : 0;
    return (unsigned)(code < most ? code : most) << s.shift;
}

KZ_DEVICE void store(const kz_surface &s, kz_levels levels, int x, int y, float value)
{
    char *line = (char *)s.data + (size_t)y * s.pitch;
    const size_t at = (size_t)x * (size_t)s.step;
    if (s.bytes == 4)
        ((float *)line)[at] = value;
    else if (s.bytes == 2)
        ((uint16_t *)line)[at] = (uint16_t)quantise(s, levels, x, y, value);
    else
        ((uint8_t *)line)[at] = (uint8_t)quantise(s, levels, x, y, value);
}

KZ_DEVICE float through(const kz_tone *tone, float value)
{
    const float place = (value - tone->low) * tone->scale;
    const float inside = !(place > 0) ? 0 : place > KZ_TONE_STEPS ? (float)KZ_TONE_STEPS : place;
    int step = (int)inside;
    step = step < KZ_TONE_STEPS ? step : KZ_TONE_STEPS - 1;
    const float share = inside - (float)step;
    const float on_table =
        tone->table[step] + kz_product(share, tone->table[step + 1] - tone->table[step]);
    return on_table + (place - inside) / tone->scale;
}

/* Where a patch differs from the others. */
struct patch {
    void *samples;
    size_t pitch;
    float *numbers; /* its first one */
    int row;        /* numbers from one row to the next */
    int x, y;       /* as kz_surface's */
};

struct patches {
    kz_surface kind; /* the first one's samples */
    int step;        /* numbers from one to the next */
    patch each[KZ_BATCH_MOST];
};

/* What a thread has to do with. */
struct place {
    kz_surface samples;
    float *number;
    int x, y;
    bool inside;
};

KZ_DEVICE place find_place(const patches &p, const kz_blocks &blocks)
{
    const int index = kz_block_find(blocks);
    const kz_block_tile &tile = blocks.tiles[index];
    const kz_corner corner = kz_block_corner(tile, COLUMNS, ROWS);
    const patch &one = p.each[index];
    place at;
    at.samples = p.kind;
    at.samples.data = one.samples;
    at.samples.pitch = one.pitch;
    at.samples.x = one.x;
    at.samples.y = one.y;
    at.x = corner.x + (int)threadIdx.x;
    at.y = corner.y + (int)threadIdx.y;
    at.number = one.numbers + ((size_t)at.y * (size_t)one.row + (size_t)at.x) * (size_t)p.step;
    at.inside = at.x < tile.width && at.y < tile.height;
    return at;
}

KZ_KERNEL void run_load(const KZ_PARAMETER patches p, const KZ_PARAMETER kz_blocks blocks,
                        const kz_levels levels)
{
    const place at = find_place(p, blocks);
    if (at.inside)
        *at.number = load(at.samples, levels, at.x, at.y);
}

/* Of what is infinite or no number, the difference to itself is none. */
KZ_DEVICE bool is_finite(float number)
{
    return number - number == 0;
}

KZ_KERNEL void run_store(const KZ_PARAMETER patches p, const KZ_PARAMETER kz_blocks blocks,
                         const kz_tone *tone, const kz_levels levels, unsigned *strange)
{
    const place at = find_place(p, blocks);
    if (!at.inside)
        return;
    const float number = *at.number;
    if (strange && !is_finite(number))
        *strange = 1;
    store(at.samples, levels, at.x, at.y, tone ? through(tone, number) : number);
}

KZ_KERNEL void run_scale_rows(const kz_surface src, const kz_levels levels, const kz_cuda_axis axis,
                              const kz_view dst)
{
    const int x = column(), y = row();
    float value = 0;
    if (x >= dst.width || y >= dst.height)
        return;
    for (int t = 0; t < axis.taps; t++)
        value += axis.weights[(size_t)x * (size_t)axis.taps + (size_t)t] *
                 load(src, levels, axis.first[x] + t, y);
    ((float *)dst.data)[kz_element_at(dst, x, y, 0)] = value;
}

KZ_KERNEL void run_scale_columns(const kz_view src, const int first, const kz_cuda_axis axis,
                                 const kz_surface dst, const kz_levels levels)
{
    const int x = column(), y = row();
    float value = 0;
    if (x >= dst.width || y >= dst.height)
        return;
    for (int t = 0; t < axis.taps; t++)
        value += axis.weights[(size_t)y * (size_t)axis.taps + (size_t)t] *
                 ((const float *)src.data)[kz_element_at(src, x, axis.first[y] - first + t, 0)];
    store(dst, levels, x, y, value);
}
} // namespace plane

#endif
