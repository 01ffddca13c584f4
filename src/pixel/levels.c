#include "pixel/levels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

kz_levels kz_luma_levels(int depth, bool full_range)
{
    float unit = (float)(1 << (depth - 8));
    if (full_range)
        return (kz_levels){0, (float)((1 << depth) - 1)};
    return (kz_levels){16 * unit, 219 * unit};
}

kz_levels kz_chroma_levels(int depth, bool full_range)
{
    float unit = (float)(1 << (depth - 8));
    return (kz_levels){128 * unit, full_range ? (float)((1 << depth) - 1) : 224 * unit};
}

void kz_levels_load(kz_levels levels, const kz_plane *plane, int x, int y, int count, float *values)
{
    const void *row = kz_plane_row(plane, y);
    float scale = 1 / levels.span;
    if (plane->bytes == 1) {
        const uint8_t *in = (const uint8_t *)row + x;
        for (int i = 0; i < count; i++)
            values[i] = ((float)in[i] - levels.zero) * scale;
    } else if (plane->bytes == 2) {
        const uint16_t *in = (const uint16_t *)row + x;
        for (int i = 0; i < count; i++)
            values[i] = ((float)in[i] - levels.zero) * scale;
    } else {
        memcpy(values, (const float *)row + x, (size_t)count * sizeof(*values));
    }
}

/* Thresholds in 1/128, odd, so that they lie strictly between 0 and 1 and average to a half. */
static const uint8_t bayer[8][8] = {
    {1, 65, 17, 81, 5, 69, 21, 85},   {97, 33, 113, 49, 101, 37, 117, 53},
    {25, 89, 9, 73, 29, 93, 13, 77},  {121, 57, 105, 41, 125, 61, 109, 45},
    {7, 71, 23, 87, 3, 67, 19, 83},   {103, 39, 119, 55, 99, 35, 115, 51},
    {31, 95, 15, 79, 27, 91, 11, 75}, {127, 63, 111, 47, 123, 59, 107, 43},
};

/* Eight thresholds for a run of columns that begins at x. */
static void thresholds(float *out, int x, int y)
{
    for (int i = 0; i < 8; i++)
        out[i] = (float)bayer[y & 7][(x + i) & 7] / 128;
}

/* NaN becomes 0: a comparison with it is false. */
static inline int32_t quantise(float value, kz_levels levels, float threshold, float most)
{
    float code = value * levels.span + levels.zero + threshold;
    code = code > 0 ? code : 0;
    return (int32_t)(code < most ? code : most);
}

/* Eight at a time, each with its own threshold: that becomes vectors. */
static void store_wide(uint16_t *out, int count, const float *values, kz_levels levels,
                       const float t[8], float most)
{
    int i = 0;
    for (; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; j++)
            out[i + j] = (uint16_t)quantise(values[i + j], levels, t[j], most);
    for (; i < count; i++)
        out[i] = (uint16_t)quantise(values[i], levels, t[i & 7], most);
}

void kz_levels_store(kz_levels levels, const kz_plane *plane, int x, int y, int count,
                     const float *values)
{
    void *row = kz_plane_row(plane, y);
    float t[8], most = (float)((1 << plane->depth) - 1);
    thresholds(t, x, y);
    if (plane->bytes == 1) {
        uint8_t *out = (uint8_t *)row + x;
        for (int i = 0; i < count; i++)
            out[i] = (uint8_t)quantise(values[i], levels, t[i & 7], most);
    } else if (plane->bytes == 2) {
        store_wide((uint16_t *)row + x, count, values, levels, t, most);
    } else {
        memcpy((float *)row + x, values, (size_t)count * sizeof(*values));
    }
}
