#include "cuda/cudnn/library.h"

#include <dlfcn.h>
#include <stdio.h>

#include "base/mem.h"
#include "cuda/cudnn/descriptor.h"

/* Since 9.8 a graph needs no handle, and a GPU can be described. */
enum { OLDEST = 90800 };

#define NAME "libcudnn.so.9"

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
    {"cudnnGetVersion", offsetof(kz_cudnn, get_version)},
    {"cudnnGetCudartVersion", offsetof(kz_cudnn, get_cuda)},
    {"cudnnGetErrorString", offsetof(kz_cudnn, error_string)},
    {"cudnnGetLastErrorString", offsetof(kz_cudnn, last_error)},
    {"cudnnCreate", offsetof(kz_cudnn, create)},
    {"cudnnDestroy", offsetof(kz_cudnn, destroy)},
    {"cudnnSetStream", offsetof(kz_cudnn, set_stream)},
    {"cudnnBackendCreateDescriptor", offsetof(kz_cudnn, make)},
    {"cudnnBackendDestroyDescriptor", offsetof(kz_cudnn, unmake)},
    {"cudnnBackendSetAttribute", offsetof(kz_cudnn, set)},
    {"cudnnBackendGetAttribute", offsetof(kz_cudnn, get)},
    {"cudnnBackendFinalize", offsetof(kz_cudnn, finalize)},
    {"cudnnBackendExecute", offsetof(kz_cudnn, execute)},
};

static int find_functions(kz_cudnn *cudnn, kz_log *log)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *found = dlsym(cudnn->library, functions[i].name);
        if (!found)
            return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: %s has no %s", NAME, functions[i].name);
        *(void **)((char *)cudnn + functions[i].offset) = found;
    }
    return 0;
}

/* What is loaded here stays loaded: whatever is unloaded leaves 70 kB behind, and more. */
static void *load_for_good(const char *name)
{
    return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/* cuDNN loads CUDA's compiler and unloads it again for every engine that it looks at, except where
 * it finds it loaded: so looking takes half the time. Without the compiler it has fewer
 * engines. */
static void load_compiler(const kz_cudnn *cudnn)
{
    char name[32];
    snprintf(name, sizeof(name), "libnvrtc.so.%zu", cudnn->get_cuda() / 1000);
    load_for_good(name);
}

static int load(kz_cudnn *cudnn, kz_log *log)
{
    cudnn->library = load_for_good(NAME);
    if (!cudnn->library)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN isn't installed: %s", dlerror());
    int ret = find_functions(cudnn, log);
    if (ret < 0)
        return ret;
    cudnn->version = cudnn->get_version();
    if (cudnn->version < OLDEST)
        return kz_fail(log, KZ_ERROR_FAILED,
                       "cuDNN %zu.%zu is too old: 9.8 is the first that will do",
                       cudnn->version / 10000, cudnn->version / 100 % 100);
    load_compiler(cudnn);
    return 0;
}

int kz_cudnn_open(kz_cudnn **cudnn, kz_log *log)
{
    *cudnn = kz_alloc(1, sizeof(**cudnn));
    if (!*cudnn)
        return kz_fail_memory(log, "cuDNN");
    int ret = load(*cudnn, log);
    if (ret < 0)
        kz_cudnn_close(cudnn);
    return ret;
}

void kz_cudnn_close(kz_cudnn **cudnn)
{
    if (!*cudnn)
        return;
    if ((*cudnn)->library)
        dlclose((*cudnn)->library);
    kz_free(*cudnn);
    *cudnn = NULL;
}

size_t kz_cudnn_version(const kz_cudnn *cudnn)
{
    return cudnn->version;
}

static kz_cudnn_device *new_device(kz_cudnn *cudnn, kz_log *log)
{
    kz_cudnn_device *device = kz_alloc(1, sizeof(*device));
    if (!device) {
        kz_fail_memory(log, "cuDNN");
        return NULL;
    }
    device->cudnn = cudnn;
    device->set.cudnn = cudnn;
    return device;
}

int kz_cudnn_device_open(kz_cudnn_device **device, kz_cudnn *cudnn, kz_log *log)
{
    *device = new_device(cudnn, log);
    if (!*device)
        return KZ_ERROR_MEMORY;
    cudnnStatus_t status = cudnn->create(&(*device)->handle);
    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    (*device)->handle = NULL;
    kz_cudnn_device_close(device);
    return kz_cudnn_fail(cudnn, log, KZ_LOG_ERROR, status, "cuDNN can't use the GPU");
}

int kz_cudnn_device_describe(kz_cudnn_device **device, kz_cudnn *cudnn, const char *json,
                             size_t length, kz_log *log)
{
    *device = new_device(cudnn, log);
    if (!*device)
        return KZ_ERROR_MEMORY;
    kz_cudnn_set *set = &(*device)->set;
    (*device)->described = kz_cudnn_make(set, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    kz_cudnn_put(set, (*device)->described, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                 CUDNN_TYPE_CHAR, (int64_t)length, json);
    kz_cudnn_finalize(set, (*device)->described);
    if (set->status == CUDNN_STATUS_SUCCESS)
        return 0;
    int ret = kz_cudnn_fail(cudnn, log, KZ_LOG_ERROR, set->status, "the description of a GPU");
    kz_cudnn_device_close(device);
    return ret;
}

void kz_cudnn_device_close(kz_cudnn_device **device)
{
    if (!*device)
        return;
    kz_cudnn_clear(&(*device)->set);
    if ((*device)->handle)
        (*device)->cudnn->destroy((*device)->handle);
    kz_free(*device);
    *device = NULL;
}
