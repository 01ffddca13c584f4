/* Compiled with KZ_LEVEL set to the name of a CPU level and the compiler's flags for it. The inner
 * loops have a constant length for the usual groups, so that the compiler makes vectors of them. */
#include "backend/cpu/pointwise.h"

#include <stdint.h>
#include <string.h>

static inline float from_bf16(uint16_t bits)
{
    uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof(value));
    return value;
}

static inline uint16_t to_bf16(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof(word));
    return (uint16_t)((word + 0x7fff + (word >> 16 & 1)) >> 16);
}

static inline float load(const void *data, bool bf16, long i)
{
    return bf16 ? from_bf16(((const uint16_t *)data)[i]) : ((const float *)data)[i];
}

static inline void store(void *data, bool bf16, long i, float value)
{
    if (bf16)
        ((uint16_t *)data)[i] = to_bf16(value);
    else
        ((float *)data)[i] = value;
}

#define INLINE static inline __attribute__((always_inline))

INLINE void copy_group(kz_row dst, bool dst_bf16, kz_row src, bool src_bf16, int group, int width)
{
    for (long x = 0; x < width; x++)
        for (int k = 0; k < group; k++)
            store(dst.data, dst_bf16, x * dst.step + k, load(src.data, src_bf16, x * src.step + k));
}

/* Constant arguments make a loop of its own for each. */
INLINE void copy_types(kz_row dst, kz_row src, int group, int width)
{
    if (dst.bf16 && src.bf16)
        copy_group(dst, true, src, true, group, width);
    else if (dst.bf16)
        copy_group(dst, true, src, false, group, width);
    else if (src.bf16)
        copy_group(dst, false, src, true, group, width);
    else
        copy_group(dst, false, src, false, group, width);
}

static void copy(kz_row dst, kz_row src, int group, int width)
{
    if (group == 16)
        copy_types(dst, src, 16, width);
    else if (group == 8)
        copy_types(dst, src, 8, width);
    else if (group == 1)
        copy_types(dst, src, 1, width);
    else
        copy_types(dst, src, group, width);
}

INLINE void prelu_group(void *data, bool bf16, const float *slopes, int group, int width)
{
    for (long x = 0; x < width; x++)
        for (int k = 0; k < group; k++) {
            float v = load(data, bf16, x * group + k);
            store(data, bf16, x * group + k, v < 0 ? v * slopes[k] : v);
        }
}

INLINE void prelu_types(kz_row data, const float *slopes, int group, int width)
{
    if (data.bf16)
        prelu_group(data.data, true, slopes, group, width);
    else
        prelu_group(data.data, false, slopes, group, width);
}

static void prelu(kz_row data, const float *slopes, int group, int width)
{
    if (group == 16)
        prelu_types(data, slopes, 16, width);
    else if (group == 8)
        prelu_types(data, slopes, 8, width);
    else
        prelu_types(data, slopes, group, width);
}

INLINE void add_types(kz_row dst, bool dst_bf16, float keep, kz_row src, bool src_bf16, float coef,
                      int count)
{
    if (keep == 0)
        for (long i = 0; i < count; i++)
            store(dst.data, dst_bf16, i, coef * load(src.data, src_bf16, i));
    else
        for (long i = 0; i < count; i++)
            store(dst.data, dst_bf16, i,
                  keep * load(dst.data, dst_bf16, i) + coef * load(src.data, src_bf16, i));
}

static void add(kz_row dst, float keep, kz_row src, float coef, int count)
{
    if (dst.bf16 && src.bf16)
        add_types(dst, true, keep, src, true, coef, count);
    else if (dst.bf16)
        add_types(dst, true, keep, src, false, coef, count);
    else if (src.bf16)
        add_types(dst, false, keep, src, true, coef, count);
    else
        add_types(dst, false, keep, src, false, coef, count);
}

#define JOIN(a, b) a##b
#define TABLE(level) JOIN(kz_pointwise_, level)

const kz_pointwise TABLE(KZ_LEVEL) = {.copy = copy, .prelu = prelu, .add = add};
