/* One source for two compilers: nvcc's code runs on the GPU, a C++ compiler's on the host, where
 * tests run every kernel under sanitizers (cuda/twin). What differs between the two is here and in
 * tensor.cuh, and nowhere else. */
#ifndef KZ_CUDA_KERNELS_TARGET_CUH
#define KZ_CUDA_KERNELS_TARGET_CUH

#include <stdint.h>

#include "cuda/gpu.h"

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define KZ_KERNEL __global__
#define KZ_PARAMETER __grid_constant__ /* read where it lies, by changing indices too */
#define KZ_DEVICE __device__ __forceinline__
#define KZ_BOTH __host__ __device__ __forceinline__
#define KZ_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

typedef __half kz_fp16;
typedef __nv_bfloat16 kz_bf16;

KZ_BOTH float kz_float(__half x)
{
    return __half2float(x);
}

KZ_BOTH float kz_float(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

KZ_BOTH void kz_set(__half *x, float value)
{
    *x = __float2half_rn(value);
}

KZ_BOTH void kz_set(__nv_bfloat16 *x, float value)
{
    *x = __float2bfloat16_rn(value);
}

/* A product that isn't joined with an addition: it is rounded as the host's is. */
KZ_DEVICE float kz_product(float a, float b)
{
    return __fmul_rn(a, b);
}

/* Runs a kernel on the device's stream; errors show in kz_gpu_wait(). The attribute is the
 * kernel's, not the launch's: always the same, since a graph may hold a launch with more shared
 * memory. */
template <class... P, class... A>
void kz_launch(kz_gpu *gpu, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A... args)
{
    if (shared > 48 << 10)
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             kz_gpu_get_info(gpu)->shared_bytes);
    kz_gpu_count_launch(gpu);
    kernel<<<grid, block, shared, (cudaStream_t)kz_gpu_stream(gpu)>>>(args...);
}

#else

#include "cuda/twin/twin.hpp"

#define KZ_KERNEL
#define KZ_PARAMETER
#define KZ_DEVICE static inline
#define KZ_BOTH static inline
#define KZ_SHARED(name) auto *const name = static_cast<unsigned char *>(twin::self().shared)

typedef _Float16 kz_fp16;

struct kz_bf16 {
    uint16_t bits;
};

static inline float kz_float(kz_fp16 x)
{
    return (float)x;
}

static inline float kz_float(kz_bf16 x)
{
    const uint32_t bits = (uint32_t)x.bits << 16;
    float f;
    std::memcpy(&f, &bits, sizeof(f));
    return f;
}

static inline void kz_set(kz_fp16 *x, float value)
{
    *x = (kz_fp16)value;
}

static inline void kz_set(kz_bf16 *x, float value)
{
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    bits += 0x7fff + (bits >> 16 & 1);
    x->bits = (uint16_t)(std::isnan(value) ? 0x7fff : bits >> 16);
}

static inline float kz_product(float a, float b)
{
    return a * b;
}

template <class... P, class... A>
void kz_launch(kz_gpu *gpu, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A... args)
{
    kz_gpu_count_launch(gpu);
    twin::launch(gpu, [=] { twin::run(grid, block, shared, [=] { kernel(args...); }); });
}

#endif

/* In memory it is fp32; what is multiplied is rounded to TF32. */
struct kz_tf32 {
    float value;
};

KZ_BOTH float kz_float(kz_tf32 x)
{
    return x.value;
}

KZ_BOTH void kz_set(kz_tf32 *x, float value)
{
    x->value = value;
}

KZ_BOTH float kz_float(float x)
{
    return x;
}

KZ_BOTH void kz_set(float *x, float value)
{
    *x = value;
}

#endif
