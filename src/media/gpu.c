#include "media/gpu.h"

#include <libavutil/hwcontext.h>

/* The header wants only two of CUDA's types. */
#define CUDA_VERSION 0
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
#include <libavutil/hwcontext_cuda.h>

/* By itself libav would make a context of its own, or refuse this one for its flags. */
AVBufferRef *kz_av_gpu(void *context)
{
    AVBufferRef *device = av_hwdevice_ctx_alloc(AV_HWDEVICE_TYPE_CUDA);
    if (!device)
        return NULL;
    AVHWDeviceContext *base = (AVHWDeviceContext *)device->data;
    ((AVCUDADeviceContext *)base->hwctx)->cuda_ctx = context;
    if (av_hwdevice_ctx_init(device) < 0)
        av_buffer_unref(&device);
    return device;
}
