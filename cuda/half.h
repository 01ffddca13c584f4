/* 16-bit elements and TF32 on the host, rounded as the kernels round them. */
#ifndef KZ_CUDA_HALF_H
#define KZ_CUDA_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "cuda/kernels/kernels.h"

static inline uint32_t kz_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float kz_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* To the nearest, ties to even; of finite numbers. */
static inline uint16_t kz_to_fp16(float value)
{
    const uint32_t sign = kz_float_bits(value) >> 16 & 0x8000;
    const float size = fabsf(value);
    if (size >= 65520)
        return (uint16_t)(sign | 0x7c00);
    if (size < 0x1p-14f) /* subnormal: adding this leaves multiples of 2^-24 */
        return (uint16_t)(sign | (kz_float_bits(size + 0.5f) - kz_float_bits(0.5f)));
    const uint32_t bits = kz_float_bits(size);
    return (uint16_t)(sign | ((bits + 0xfff + (bits >> 13 & 1) - (112u << 23)) >> 13));
}

static inline uint16_t kz_to_bf16(float value)
{
    const uint32_t bits = kz_float_bits(value);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* The bits where fp32 has them are the number by 2^112 too small, subnormals included; the product
 * is exact. */
static inline float kz_from_fp16(uint16_t half)
{
    const uint32_t size = (uint32_t)(half & 0x7fff) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    if ((half & 0x7c00) == 0x7c00)
        return kz_float_of_bits(sign | 0x7f800000 | size);
    return kz_float_of_bits(sign | kz_float_bits(kz_float_of_bits(size) * 0x1p112f));
}

/* The bits of an fp32 that TF32 doesn't have. */
#define KZ_TF32_REST 0x1fffu

/* An fp32's bits as the nearest TF32's, ties away from 0. */
static inline uint32_t kz_to_tf32(uint32_t bits)
{
    const bool finite = (~bits & 0x7f800000) != 0;
    return (finite ? bits + (KZ_TF32_REST + 1) / 2 : bits) & ~KZ_TF32_REST;
}

/* Element `at` of an array. */
static inline void kz_put_element(void *to, enum kz_element element, size_t at, float value)
{
    if (element == KZ_ELEMENT_FP32)
        ((float *)to)[at] = value;
    else
        ((uint16_t *)to)[at] = element == KZ_ELEMENT_FP16 ? kz_to_fp16(value) : kz_to_bf16(value);
}

static inline float kz_get_element(const void *from, enum kz_element element, size_t at)
{
    if (element == KZ_ELEMENT_FP32)
        return ((const float *)from)[at];
    const uint16_t bits = ((const uint16_t *)from)[at];
    return element == KZ_ELEMENT_FP16 ? kz_from_fp16(bits) : kz_float_of_bits((uint32_t)bits << 16);
}

#endif
