/* A libcuda.so.1 for libav alone, on machines without a GPU: device memory is the host's. With
 * PRETEND_SPOIL in the environment samples change once they have been copied to the host, so that
 * who reads them on the device sees others; from the PRETEND_NO_COPY'th copy on they fail. With
 * PRETEND_NO_CONTEXT there is no context but those that are there. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NO_DEVICE = 100, FAILED = 719 };
enum { HOST = 1 };

/* As NVIDIA has it. */
typedef struct copy {
    size_t from_x, from_y;
    int from_kind;
    const void *from_host;
    void *from_device;
    void *from_array;
    size_t from_pitch;
    size_t to_x, to_y;
    int to_kind;
    void *to_host;
    void *to_device;
    void *to_array;
    size_t to_pitch;
    size_t bytes, rows;
} copy;

static __thread void *contexts[16];
static __thread int n_contexts;

int cuInit(unsigned flags)
{
    (void)flags;
    return OK;
}

int cuCtxPushCurrent_v2(void *context)
{
    if (!context || n_contexts == 16)
        return FAILED;
    contexts[n_contexts++] = context;
    return OK;
}

int cuCtxPopCurrent_v2(void **context)
{
    if (!n_contexts)
        return FAILED;
    *context = contexts[--n_contexts];
    return OK;
}

/* An encoder that isn't told on which device makes a context of its own, which is current then. */
int cuCtxCreate_v2(void **context, unsigned flags, int device)
{
    static int made;
    (void)flags;
    (void)device;
    if (getenv("PRETEND_NO_CONTEXT"))
        return NO_DEVICE;
    *context = &made;
    return cuCtxPushCurrent_v2(*context);
}

int cuCtxDestroy_v2(void *context)
{
    (void)context;
    return OK;
}

int cuDeviceGetCount(int *count)
{
    *count = 1;
    return OK;
}

int cuDeviceGet(int *device, int index)
{
    *device = index;
    return OK;
}

int cuDeviceGetName(char *name, int size, int device)
{
    (void)device;
    strncpy(name, "a pretended GPU", (size_t)size);
    return OK;
}

int cuDeviceComputeCapability(int *major, int *minor, int device)
{
    (void)device;
    *major = 8;
    *minor = 9;
    return OK;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    (void)attribute;
    (void)device;
    *value = 512;
    return OK;
}

static int copies;

static int fails(void)
{
    const char *first = getenv("PRETEND_NO_COPY");
    return !n_contexts || (first && copies++ >= atoi(first));
}

int cuMemcpy2DAsync_v2(const copy *c, void *stream)
{
    char *from = (char *)(c->from_kind == HOST ? (char *)(size_t)c->from_host : c->from_device);
    char *to = c->to_kind == HOST ? c->to_host : c->to_device;
    (void)stream;
    if (fails() || c->from_x || c->from_y || c->to_x || c->to_y)
        return FAILED;
    for (size_t y = 0; y < c->rows; y++)
        memcpy(to + y * c->to_pitch, from + y * c->from_pitch, c->bytes);
    for (size_t i = 0; i < c->rows * c->from_pitch && getenv("PRETEND_SPOIL"); i++)
        from[i] = (char)(from[i] ^ 4);
    return OK;
}

int cuStreamSynchronize(void *stream)
{
    (void)stream;
    return n_contexts ? OK : FAILED;
}

int cuGetErrorName(int error, const char **text)
{
    (void)error;
    *text = "PRETENDED";
    return OK;
}

int cuGetErrorString(int error, const char **text)
{
    return cuGetErrorName(error, text);
}

#define NO(name)          \
    int name(void)        \
    {                     \
        return NO_DEVICE; \
    }

/* clang-format off */
NO(cuCtxSetLimit) NO(cuCtxGetDevice)
NO(cuMemAlloc_v2) NO(cuMemAllocPitch_v2) NO(cuMemAllocManaged) NO(cuMemsetD8Async) NO(cuMemFree_v2)
NO(cuMemcpy) NO(cuMemcpyAsync) NO(cuMemcpy2D_v2) NO(cuMemcpyHtoD_v2) NO(cuMemcpyHtoDAsync_v2)
NO(cuMemcpyDtoH_v2) NO(cuMemcpyDtoHAsync_v2) NO(cuMemcpyDtoD_v2) NO(cuMemcpyDtoDAsync_v2)
NO(cuDevicePrimaryCtxRetain) NO(cuDevicePrimaryCtxRelease) NO(cuDevicePrimaryCtxSetFlags)
NO(cuDevicePrimaryCtxGetState) NO(cuDevicePrimaryCtxReset)
NO(cuStreamCreate) NO(cuStreamQuery) NO(cuStreamDestroy_v2) NO(cuStreamAddCallback)
NO(cuEventCreate) NO(cuEventDestroy_v2) NO(cuEventSynchronize) NO(cuEventQuery) NO(cuEventRecord)
NO(cuLaunchKernel) NO(cuLinkCreate) NO(cuLinkAddData) NO(cuLinkComplete) NO(cuLinkDestroy)
NO(cuModuleLoadData) NO(cuModuleUnload) NO(cuModuleGetFunction) NO(cuModuleGetGlobal)
NO(cuTexObjectCreate) NO(cuTexObjectDestroy) NO(cuGLGetDevices_v2) NO(cuGraphicsGLRegisterImage)
NO(cuGraphicsUnregisterResource) NO(cuGraphicsMapResources) NO(cuGraphicsUnmapResources)
NO(cuGraphicsSubResourceGetMappedArray) NO(cuGraphicsResourceGetMappedPointer_v2)
NO(cuArray3DCreate_v2) NO(cuArrayDestroy)
    /* clang-format on */
