/* The host's 16-bit elements: every number of fp16, and the middles between them. And TF32. */
#include <math.h>

#include "check.h"
#include "cuda/half.h"

/* As IEEE 754 defines it. */
static float defined(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    float size = ldexpf((float)fraction, -24);
    if (exponent == 31)
        size = fraction ? NAN : INFINITY;
    else if (exponent)
        size = ldexpf((float)(1024 + fraction), exponent - 25);
    return half >> 15 ? -size : size;
}

static void every_number_is_the_defined_one(void)
{
    for (int half = 0; half <= 0xffff; half++) {
        const float value = kz_from_fp16((uint16_t)half), expected = defined((uint16_t)half);
        if (isnan(expected))
            CHECK(isnan(value));
        else
            CHECK(kz_float_bits(value) == kz_float_bits(expected));
    }
}

/* Between a number and the next the nearer is taken, in the middle the even one. */
static void check_rounding(uint16_t bits)
{
    const float value = kz_from_fp16(bits), next = kz_from_fp16((uint16_t)(bits + 1));
    const float middle = (value + next) / 2;
    const float below = kz_float_of_bits(kz_float_bits(middle) - 1);
    const float above = kz_float_of_bits(kz_float_bits(middle) + 1);
    CHECK(fabsf(next) > fabsf(value));
    CHECK(kz_to_fp16(value) == bits && kz_to_fp16(below) == bits && kz_to_fp16(above) == bits + 1);
    CHECK(kz_to_fp16(middle) == bits + (bits & 1));
}

static void elements_are_rounded_to_the_nearest(void)
{
    for (int sign = 0; sign <= 0x8000; sign += 0x8000)
        for (int size = 0; size < 0x7bff; size++)
            check_rounding((uint16_t)(sign | size));
    CHECK(kz_from_fp16(0x3c00) == 1 && kz_from_fp16(0xc000) == -2 && kz_from_fp16(1) == 0x1p-24f);
    CHECK(kz_from_fp16(0x400) == 0x1p-14f && kz_from_fp16(0x7bff) == 65504);
    CHECK(isinf(kz_from_fp16(0x7c00)) && isnan(kz_from_fp16(0x7c01)));
    CHECK(kz_to_fp16(65519) == 0x7bff && kz_to_fp16(1e9f) == 0x7c00 &&
          kz_to_fp16(-65520) == 0xfc00);
    CHECK(kz_to_bf16(1) == 0x3f80 && kz_to_bf16(kz_float_of_bits(0x3f808000)) == 0x3f80);
    CHECK(kz_to_bf16(kz_float_of_bits(0x3f818000)) == 0x3f82);
}

static void check_tf32(float value, float rounded)
{
    CHECK(kz_float_of_bits(kz_to_tf32(kz_float_bits(value))) == rounded);
    CHECK(kz_float_of_bits(kz_to_tf32(kz_float_bits(-value))) == -rounded);
}

/* Eleven bits, and of two numbers equally near the larger one. */
static void tf32_is_rounded_to_the_nearest(void)
{
    check_tf32(0, 0);
    check_tf32(1, 1);
    check_tf32(1 + 0x1p-10f, 1 + 0x1p-10f);
    check_tf32(1 + 0x1p-11f, 1 + 0x1p-10f);
    check_tf32(1 + 0x1p-11f - 0x1p-23f, 1);
    check_tf32(1 + 3 * 0x1p-11f, 1 + 0x1p-9f);
    check_tf32(2 - 0x1p-23f, 2);
    check_tf32(0x1.ffep120f, 0x1p121f);
    check_tf32(INFINITY, INFINITY);
    CHECK(isnan(kz_float_of_bits(kz_to_tf32(0x7fc00000))));
}

static const struct check_case cases[] = {
    {"every number is the defined one", every_number_is_the_defined_one},
    {"elements are rounded to the nearest", elements_are_rounded_to_the_nearest},
    {"TF32 is rounded to the nearest", tf32_is_rounded_to_the_nearest},
};

CHECK_MAIN(cases)
