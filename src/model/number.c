#include "model/number.h"

#include <math.h>
#include <string.h>

float kz_number_f16(const uint8_t *b)
{
    int exponent = b[1] >> 2 & 31;
    float mantissa = (float)((b[1] & 3) << 8 | b[0]);
    float magnitude = exponent == 0    ? ldexpf(mantissa, -24)
                      : exponent == 31 ? INFINITY
                                       : ldexpf(mantissa + 1024, exponent - 25);
    return b[1] & 0x80 ? -magnitude : magnitude;
}

float kz_number_f32(const uint8_t *b)
{
    uint32_t word =
        (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    float value;
    memcpy(&value, &word, sizeof(value));
    return value;
}
