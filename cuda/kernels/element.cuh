/* Elements of views, whatever their type. */
#ifndef KZ_CUDA_KERNELS_ELEMENT_CUH
#define KZ_CUDA_KERNELS_ELEMENT_CUH

#include "cuda/kernels/kernels.h"
#include "cuda/kernels/target.cuh"

KZ_DEVICE size_t kz_element_at(const kz_view &v, int x, int y, int channel)
{
    return ((size_t)y * (size_t)v.width + (size_t)x) * (size_t)v.pixel + (size_t)channel;
}

/* The same of a pixel's number. */
KZ_DEVICE size_t kz_element_of(const kz_view &v, size_t pixel, int channel)
{
    return pixel * (size_t)v.pixel + (size_t)channel;
}

KZ_DEVICE float kz_read(const kz_view &v, size_t at)
{
    switch (v.element) {
    case KZ_ELEMENT_FP32:
        return ((const float *)v.data)[at];
    case KZ_ELEMENT_FP16:
        return kz_float(((const kz_fp16 *)v.data)[at]);
    default:
        return kz_float(((const kz_bf16 *)v.data)[at]);
    }
}

KZ_DEVICE void kz_write(const kz_view &v, size_t at, float value)
{
    switch (v.element) {
    case KZ_ELEMENT_FP32:
        return kz_set((float *)v.data + at, value);
    case KZ_ELEMENT_FP16:
        return kz_set((kz_fp16 *)v.data + at, value);
    default:
        return kz_set((kz_bf16 *)v.data + at, value);
    }
}

KZ_DEVICE float kz_activate(const float *slopes, int channel, float x)
{
    return slopes && x < 0 ? x * slopes[channel] : x;
}

#endif
