#include "upscale/difference.h"

#include <stdint.h>
#include <string.h>

#define DEFINE_NEAR(name, type)                                                   \
    static bool name(const void *a_, const void *b_, int count, double tolerance) \
    {                                                                             \
        const type *a = a_, *b = b_;                                              \
        type most = 0;                                                            \
        for (int i = 0; i < count; i++) {                                         \
            type d = (type)(a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]);             \
            most = d > most ? d : most;                                           \
        }                                                                         \
        return (double)most <= tolerance;                                         \
    }

DEFINE_NEAR(near_bytes, uint8_t)
DEFINE_NEAR(near_words, uint16_t)
DEFINE_NEAR(near_floats, float)

bool kz_row_is_near(const void *a, const void *b, int bytes, int count, double tolerance)
{
    if (tolerance <= 0 || bytes == 4)
        return tolerance <= 0 ? memcmp(a, b, (size_t)count * (size_t)bytes) == 0
                              : near_floats(a, b, count, tolerance);
    return bytes == 1 ? near_bytes(a, b, count, tolerance) : near_words(a, b, count, tolerance);
}

#define DEFINE_ADD(name, type, wide)                                                   \
    static void name(kz_distance *distance, const void *a_, const void *b_, int count) \
    {                                                                                  \
        const type *a = a_, *b = b_;                                                   \
        wide absolute = 0, sum = 0;                                                    \
        for (int i = 0; i < count; i++) {                                              \
            wide d = (wide)a[i] - (wide)b[i];                                          \
            absolute += d < 0 ? -d : d;                                                \
            sum += d;                                                                  \
        }                                                                              \
        distance->absolute += (double)absolute;                                        \
        distance->sum += (double)sum;                                                  \
    }

DEFINE_ADD(add_bytes, uint8_t, int32_t)
DEFINE_ADD(add_words, uint16_t, int32_t)
DEFINE_ADD(add_floats, float, double)

void kz_row_add_distance(kz_distance *distance, const void *a, const void *b, int bytes, int count)
{
    if (bytes == 1)
        add_bytes(distance, a, b, count);
    else if (bytes == 2)
        add_words(distance, a, b, count);
    else
        add_floats(distance, a, b, count);
}

#define DEFINE_CHANGE(name, type)                                                    \
    static int name(const void *now_, const void *before_, int count, float *change) \
    {                                                                                \
        const type *now = now_, *before = before_;                                   \
        int same = 0;                                                                \
        for (int i = 0; i < count; i++) {                                            \
            change[i] = (float)(now[i] - before[i]);                                 \
            same += now[i] == before[i];                                             \
        }                                                                            \
        return same;                                                                 \
    }

DEFINE_CHANGE(change_bytes, uint8_t)
DEFINE_CHANGE(change_words, uint16_t)
DEFINE_CHANGE(change_floats, float)

int kz_row_change(const void *now, const void *before, int bytes, int count, float *change)
{
    return bytes == 1   ? change_bytes(now, before, count, change)
           : bytes == 2 ? change_words(now, before, count, change)
                        : change_floats(now, before, count, change);
}
