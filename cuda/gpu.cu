#include "cuda/gpu.h"

#include <cstdio>
#include <cstring>

#include <cuda_runtime.h>

extern "C" {
#include "base/mem.h"
}

enum { IN, OUT, SIDES, STREAMS = SIDES + KZ_SIDES };

struct kz_gpu {
    int index;
    kz_gpu_info info;
    cudaStream_t streams[STREAMS];
    int side;
    cudaEvent_t joined;
    cudaEvent_t worked[KZ_GPU_LANES], copied[KZ_GPU_LANES];
    cudaEvent_t ends[2][STREAMS]; /* of the last two batches */
    int batch;                    /* of the two, the next to end */
    cudaEvent_t marks[KZ_GPU_MARKS];
    size_t launches;
    cudaError_t error;
    bool capturing, spoilt;
    cudaError_t before; /* what `error` was when the capture began */
};

/* The oldest device that CUDA 13 compiles for. */
enum { LEAST_CAPABILITY = 75 };

/* Keeps the first failure; later ones mostly follow from it. */
static void note(kz_gpu *gpu, cudaError_t error)
{
    if (gpu->error == cudaSuccess)
        gpu->error = error;
}

static cudaStream_t stream_of(const kz_gpu *gpu)
{
    return gpu->streams[SIDES + gpu->side];
}

/* The calling thread works with this device from here on. */
static void use(const kz_gpu *gpu)
{
    cudaSetDevice(gpu->index);
}

static int refuse(char *why, size_t size, const char *text)
{
    std::snprintf(why, size, "%s", text);
    return KZ_ERROR_FAILED;
}

/* Without a driver the runtime says "insufficient driver", as it does with an old one. */
static int explain(cudaError_t error, char *why, size_t size)
{
    int driver = 0;
    if (error == cudaErrorNoDevice)
        return refuse(why, size, "the NVIDIA driver sees no device");
    if (error == cudaErrorStubLibrary)
        return refuse(why, size, "the CUDA toolkit's stub library is in the place of the driver's");
    if (error != cudaErrorInsufficientDriver)
        return refuse(why, size, cudaGetErrorString(error));
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return refuse(why, size, "no NVIDIA driver");
    std::snprintf(why, size, "the NVIDIA driver knows CUDA %d.%d, which is older than %d.%d",
                  driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                  CUDART_VERSION % 1000 / 10);
    return KZ_ERROR_FAILED;
}

int kz_gpu_check(int index, char *why, size_t size)
{
    int count = 0, major = 0, minor = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess)
        return explain(error, why, size);
    if (index >= count) {
        std::snprintf(why, size, "there is no CUDA device %d: this machine has %d", index, count);
        return KZ_ERROR_FAILED;
    }
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
    if (error != cudaSuccess)
        return explain(error, why, size);
    if (major * 10 + minor >= LEAST_CAPABILITY)
        return 0;
    std::snprintf(why, size, "CUDA device %d has compute capability %d.%d: 7.5 is needed", index,
                  major, minor);
    return KZ_ERROR_FAILED;
}

static void fill_info(kz_gpu *gpu)
{
    cudaDeviceProp p;
    kz_gpu_info *info = &gpu->info;
    note(gpu, cudaGetDeviceProperties(&p, gpu->index));
    if (gpu->error != cudaSuccess)
        return;
    std::snprintf(info->name, sizeof(info->name), "%s", p.name);
    info->major = p.major;
    info->minor = p.minor;
    info->processors = p.multiProcessorCount;
    info->shared_bytes = (int)p.sharedMemPerBlockOptin;
    info->memory = p.totalGlobalMem;
    note(gpu, cudaDriverGetVersion(&info->driver));
    note(gpu, cudaRuntimeGetVersion(&info->runtime));
}

static void open_event(kz_gpu *g, cudaEvent_t *event)
{
    note(g, cudaEventCreateWithFlags(event, cudaEventDisableTiming));
}

static void open_streams(kz_gpu *g)
{
    for (int i = 0; i < STREAMS; i++) {
        note(g, cudaStreamCreateWithFlags(&g->streams[i], cudaStreamNonBlocking));
        open_event(g, &g->ends[0][i]);
        open_event(g, &g->ends[1][i]);
    }
    open_event(g, &g->joined);
    for (int i = 0; i < KZ_GPU_LANES; i++) {
        open_event(g, &g->worked[i]);
        open_event(g, &g->copied[i]);
    }
}

static void close_event(cudaEvent_t event)
{
    if (event)
        cudaEventDestroy(event);
}

static void close_streams(kz_gpu *g)
{
    close_event(g->joined);
    for (int i = 0; i < KZ_GPU_LANES; i++) {
        close_event(g->worked[i]);
        close_event(g->copied[i]);
    }
    for (int i = 0; i < STREAMS; i++) {
        close_event(g->ends[0][i]);
        close_event(g->ends[1][i]);
        if (g->streams[i])
            cudaStreamDestroy(g->streams[i]);
    }
}

int kz_gpu_open(kz_gpu **gpu, int index, kz_log *log)
{
    char why[256];
    *gpu = nullptr;
    if (kz_gpu_check(index, why, sizeof(why)))
        return kz_fail(log, KZ_ERROR_FAILED, "cuda: %s", why);
    kz_gpu *g = *gpu = (kz_gpu *)kz_alloc(1, sizeof(*g));
    if (!g)
        return kz_fail_memory(log, "the device");
    g->index = index;
    note(g, cudaSetDevice(index));
    fill_info(g);
    open_streams(g);
    for (cudaEvent_t &mark : g->marks)
        note(g, cudaEventCreate(&mark));
    if (g->error == cudaSuccess)
        return 0;
    kz_fail(log, KZ_ERROR_FAILED, "cuda: device %d can't be used: %s", index,
            cudaGetErrorString(g->error));
    kz_gpu_close(gpu);
    return KZ_ERROR_FAILED;
}

void kz_gpu_close(kz_gpu **gpu)
{
    kz_gpu *g = *gpu;
    if (!g)
        return;
    use(g);
    for (cudaEvent_t mark : g->marks)
        close_event(mark);
    close_streams(g);
    kz_free(g);
    *gpu = nullptr;
}

const kz_gpu_info *kz_gpu_get_info(const kz_gpu *gpu)
{
    return &gpu->info;
}

size_t kz_gpu_free_bytes(kz_gpu *gpu)
{
    size_t free = 0, all = 0;
    use(gpu);
    note(gpu, cudaMemGetInfo(&free, &all));
    return free;
}

/* A failed allocation is an ordinary result: the error that CUDA keeps of it is taken away. */
static void *allocated(cudaError_t error, void *block)
{
    if (error == cudaSuccess)
        return block;
    cudaGetLastError();
    return nullptr;
}

void *kz_gpu_alloc(kz_gpu *gpu, size_t bytes)
{
    void *block = nullptr;
    use(gpu);
    return allocated(cudaMalloc(&block, bytes ? bytes : 1), block);
}

void kz_gpu_free(kz_gpu *gpu, void *block)
{
    if (!block)
        return;
    use(gpu);
    kz_gpu_wait(gpu);
    cudaFree(block);
}

void *kz_gpu_alloc_host(kz_gpu *gpu, size_t bytes)
{
    void *block = nullptr;
    use(gpu);
    return allocated(cudaMallocHost(&block, bytes ? bytes : 1), block);
}

void kz_gpu_free_host(kz_gpu *gpu, void *block)
{
    if (!block)
        return;
    use(gpu);
    kz_gpu_wait(gpu);
    cudaFreeHost(block);
}

/* What the runtime says of it isn't a failure of the device's. */
void kz_gpu_pin(kz_gpu *gpu, void *block, size_t bytes)
{
    use(gpu);
    if (cudaHostRegister(block, bytes, cudaHostRegisterDefault) != cudaSuccess)
        cudaGetLastError();
}

void kz_gpu_unpin(kz_gpu *gpu, void *block)
{
    use(gpu);
    if (cudaHostUnregister(block) != cudaSuccess)
        cudaGetLastError();
}

void kz_gpu_take_side(kz_gpu *gpu, int side)
{
    gpu->side = side;
}

int kz_gpu_side(const kz_gpu *gpu)
{
    return gpu->side;
}

void kz_gpu_join(kz_gpu *gpu)
{
    use(gpu);
    note(gpu, cudaEventRecord(gpu->joined, gpu->streams[SIDES + !gpu->side]));
    note(gpu, cudaStreamWaitEvent(stream_of(gpu), gpu->joined, 0));
}

void *kz_gpu_stream(kz_gpu *gpu)
{
    use(gpu);
    return stream_of(gpu);
}

size_t kz_gpu_launches(const kz_gpu *gpu)
{
    return gpu->launches;
}

void kz_gpu_count_launch(kz_gpu *gpu)
{
    gpu->launches += !gpu->capturing;
}

/* The runtime has no call of its own for it. */
void *kz_gpu_context(kz_gpu *gpu)
{
    typedef int get_current(void **context);
    enum { VERSION = 12000 }; /* whose form of the function it is */
    cudaDriverEntryPointQueryResult found;
    void *symbol = nullptr, *context = nullptr;
    use(gpu);
    if (cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &symbol, VERSION, cudaEnableDefault,
                                         &found) != cudaSuccess) {
        cudaGetLastError();
        return nullptr;
    }
    return symbol && ((get_current *)symbol)(&context) == 0 ? context : nullptr;
}

/* CUDA's pitches are unsigned: rows that run upwards are copied one by one. */
static void copy_rows(kz_gpu *gpu, cudaStream_t stream, void *to, ptrdiff_t to_pitch,
                      const void *from, ptrdiff_t from_pitch, size_t bytes, int rows,
                      cudaMemcpyKind kind)
{
    use(gpu);
    if (to_pitch >= (ptrdiff_t)bytes && from_pitch >= (ptrdiff_t)bytes) {
        note(gpu, cudaMemcpy2DAsync(to, (size_t)to_pitch, from, (size_t)from_pitch, bytes,
                                    (size_t)rows, kind, stream));
        return;
    }
    for (int y = 0; y < rows; y++)
        note(gpu, cudaMemcpyAsync((char *)to + y * to_pitch, (const char *)from + y * from_pitch,
                                  bytes, kind, stream));
}

void kz_gpu_copy_in(kz_gpu *gpu, void *device, size_t device_pitch, const void *host,
                    ptrdiff_t host_pitch, size_t bytes, int rows)
{
    copy_rows(gpu, stream_of(gpu), device, (ptrdiff_t)device_pitch, host, host_pitch, bytes, rows,
              cudaMemcpyHostToDevice);
}

void kz_gpu_copy_out(kz_gpu *gpu, void *host, ptrdiff_t host_pitch, const void *device,
                     size_t device_pitch, size_t bytes, int rows)
{
    copy_rows(gpu, stream_of(gpu), host, host_pitch, device, (ptrdiff_t)device_pitch, bytes, rows,
              cudaMemcpyDeviceToHost);
}

void kz_gpu_lane_open(kz_gpu *gpu, int lane)
{
    use(gpu);
    note(gpu, cudaStreamWaitEvent(stream_of(gpu), gpu->copied[lane], 0));
}

void kz_gpu_lane_close(kz_gpu *gpu, int lane)
{
    use(gpu);
    note(gpu, cudaEventRecord(gpu->worked[lane], stream_of(gpu)));
}

/* The copy before it may have been on another stream. An event that was never recorded is over. */
static void copy_lane(kz_gpu *gpu, cudaStream_t stream, int lane, void *to, ptrdiff_t to_pitch,
                      const void *from, ptrdiff_t from_pitch, size_t bytes, int rows,
                      cudaMemcpyKind kind)
{
    use(gpu);
    note(gpu, cudaStreamWaitEvent(stream, gpu->worked[lane], 0));
    note(gpu, cudaStreamWaitEvent(stream, gpu->copied[lane], 0));
    copy_rows(gpu, stream, to, to_pitch, from, from_pitch, bytes, rows, kind);
    note(gpu, cudaEventRecord(gpu->copied[lane], stream));
}

void kz_gpu_lane_copy_in(kz_gpu *gpu, int lane, void *device, size_t device_pitch, const void *host,
                         ptrdiff_t host_pitch, size_t bytes, int rows)
{
    copy_lane(gpu, gpu->streams[IN], lane, device, (ptrdiff_t)device_pitch, host, host_pitch, bytes,
              rows, cudaMemcpyHostToDevice);
}

void kz_gpu_lane_copy_out(kz_gpu *gpu, int lane, void *host, ptrdiff_t host_pitch,
                          const void *device, size_t device_pitch, size_t bytes, int rows)
{
    copy_lane(gpu, gpu->streams[OUT], lane, host, host_pitch, device, (ptrdiff_t)device_pitch,
              bytes, rows, cudaMemcpyDeviceToHost);
}

void kz_gpu_copy(kz_gpu *gpu, void *to, const void *from, size_t bytes)
{
    use(gpu);
    note(gpu, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(gpu)));
}

void kz_gpu_clear(kz_gpu *gpu, void *device, size_t bytes)
{
    use(gpu);
    note(gpu, cudaMemsetAsync(device, 0, bytes, stream_of(gpu)));
}

/* To wait for a stream that is captured is an error, and would stay one. */
int kz_gpu_wait(kz_gpu *gpu)
{
    if (kz_gpu_spoil_capture(gpu))
        return KZ_ERROR_FAILED;
    use(gpu);
    note(gpu, cudaGetLastError());
    for (cudaStream_t stream : gpu->streams)
        note(gpu, cudaStreamSynchronize(stream));
    return gpu->error == cudaSuccess ? 0 : KZ_ERROR_FAILED;
}

void kz_gpu_end_batch(kz_gpu *gpu)
{
    use(gpu);
    for (int i = 0; i < STREAMS; i++)
        note(gpu, cudaEventRecord(gpu->ends[gpu->batch][i], gpu->streams[i]));
    gpu->batch ^= 1;
}

int kz_gpu_wait_batch(kz_gpu *gpu)
{
    if (kz_gpu_spoil_capture(gpu))
        return KZ_ERROR_FAILED;
    use(gpu);
    note(gpu, cudaGetLastError());
    for (cudaEvent_t end : gpu->ends[gpu->batch])
        note(gpu, cudaEventSynchronize(end));
    return gpu->error == cudaSuccess ? 0 : KZ_ERROR_FAILED;
}

/* Other threads, NVDEC's and NVENC's among them, may allocate memory meanwhile: the mode is the
 * thread's. What they ask the legacy stream for has nothing to do with ours, which don't block. */
int kz_gpu_begin_capture(kz_gpu *gpu)
{
    use(gpu);
    note(gpu, cudaGetLastError());
    gpu->before = gpu->error;
    gpu->spoilt = false;
    gpu->capturing =
        cudaStreamBeginCapture(stream_of(gpu), cudaStreamCaptureModeThreadLocal) == cudaSuccess;
    if (gpu->capturing)
        return 0;
    cudaGetLastError();
    return KZ_ERROR_FAILED;
}

/* Failures of what wasn't run are taken away. One of the device's own stays with it, and is seen by
 * whoever waits. */
kz_gpu_graph *kz_gpu_end_capture(kz_gpu *gpu)
{
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t made = nullptr;
    use(gpu);
    note(gpu, cudaGetLastError());
    note(gpu, cudaStreamEndCapture(stream_of(gpu), &graph));
    if (graph && !gpu->spoilt && gpu->error == gpu->before &&
        cudaGraphInstantiate(&made, graph, 0) != cudaSuccess)
        made = nullptr;
    if (graph)
        cudaGraphDestroy(graph);
    cudaGetLastError();
    gpu->error = gpu->before;
    gpu->capturing = false;
    return (kz_gpu_graph *)made;
}

bool kz_gpu_spoil_capture(kz_gpu *gpu)
{
    gpu->spoilt = true;
    return gpu->capturing;
}

int kz_gpu_replay(kz_gpu *gpu, kz_gpu_graph *graph)
{
    use(gpu);
    note(gpu, cudaGetLastError());
    if (cudaGraphLaunch((cudaGraphExec_t)graph, stream_of(gpu)) != cudaSuccess) {
        cudaGetLastError();
        return KZ_ERROR_FAILED;
    }
    gpu->launches++;
    return 0;
}

void kz_gpu_close_graph(kz_gpu *gpu, kz_gpu_graph **graph)
{
    if (!*graph)
        return;
    use(gpu);
    kz_gpu_wait(gpu);
    cudaGraphExecDestroy((cudaGraphExec_t)*graph);
    *graph = nullptr;
}

const char *kz_gpu_error(const kz_gpu *gpu)
{
    return gpu->error == cudaSuccess ? "" : cudaGetErrorString(gpu->error);
}

void kz_gpu_mark(kz_gpu *gpu, int mark)
{
    use(gpu);
    note(gpu, cudaEventRecord(gpu->marks[mark], stream_of(gpu)));
}

double kz_gpu_between(kz_gpu *gpu)
{
    float milliseconds = 0;
    use(gpu);
    note(gpu, cudaEventElapsedTime(&milliseconds, gpu->marks[0], gpu->marks[1]));
    return (double)milliseconds / 1000;
}
