/* Between planes of samples and numbers: as pixel/levels.h, pixel/tone.h and pixel/resample.h say,
 * to the bit where the order of additions allows it. */
#ifndef KZ_CUDA_KERNELS_PLANE_CUH
#define KZ_CUDA_KERNELS_PLANE_CUH

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

KZ_KERNEL void run_load(const kz_surface src, const kz_levels levels, const int x0, const int y0,
                        const kz_view dst)
{
    const int x = column(), y = row();
    if (x < dst.width && y < dst.height)
        ((float *)dst.data)[kz_element_at(dst, x, y, 0)] = load(src, levels, x0 + x, y0 + y);
}

KZ_KERNEL void run_store(const kz_view src, const int x0, const int y0, const kz_tone *tone,
                         const kz_surface dst, const kz_levels levels, const kz_rect part)
{
    const int x = column(), y = row();
    if (x >= part.x1 - part.x0 || y >= part.y1 - part.y0)
        return;
    const float value = ((const float *)src.data)[kz_element_at(src, x0 + x, y0 + y, 0)];
    store(dst, levels, part.x0 + x, part.y0 + y, tone ? through(tone, value) : value);
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
