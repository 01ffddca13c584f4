/* cuDNN's descriptors as its C API wants them filled, with the checks in one place: for this folder
 * only. */
#ifndef KZ_CUDA_CUDNN_DESCRIPTOR_H
#define KZ_CUDA_CUDNN_DESCRIPTOR_H

#include <cudnn_graph.h>
#include <stdbool.h>
#include <stdint.h>

#include "cuda/cudnn/library.h"

/* The functions have the names and the types that cuDNN's header gives them. */
struct kz_cudnn {
    void *library;
    size_t version;
    __typeof__(&cudnnGetVersion) get_version;
    __typeof__(&cudnnGetCudartVersion) get_cuda;
    __typeof__(&cudnnGetErrorString) error_string;
    __typeof__(&cudnnGetLastErrorString) last_error;
    __typeof__(&cudnnCreate) create;
    __typeof__(&cudnnDestroy) destroy;
    __typeof__(&cudnnSetStream) set_stream;
    __typeof__(&cudnnBackendCreateDescriptor) make;
    __typeof__(&cudnnBackendDestroyDescriptor) unmake;
    __typeof__(&cudnnBackendSetAttribute) set;
    __typeof__(&cudnnBackendGetAttribute) get;
    __typeof__(&cudnnBackendFinalize) finalize;
    __typeof__(&cudnnBackendExecute) execute;
};

/* Reports "WHAT: cuDNN's words". Returns KZ_ERROR_MEMORY where memory was short, of the host or of
 * the device, else KZ_ERROR_FAILED. */
int kz_cudnn_fail(const kz_cudnn *cudnn, kz_log *log, enum kz_log_level level, cudnnStatus_t status,
                  const char *what);

#define KZ_CUDNN_MAX_DESCRIPTORS 160

/* Descriptors that live and die together. After a call that failed the others do nothing, so that
 * the status is asked for once, at the end. Begins as {.cudnn = …}. */
typedef struct kz_cudnn_set {
    const kz_cudnn *cudnn;
    cudnnStatus_t status; /* of the first call that failed */
    cudnnBackendDescriptor_t made[KZ_CUDNN_MAX_DESCRIPTORS];
    int n_made;
} kz_cudnn_set;

/* A descriptor of the set, or NULL. */
cudnnBackendDescriptor_t kz_cudnn_make(kz_cudnn_set *set, cudnnBackendDescriptorType_t type);

void kz_cudnn_put(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                  cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                  const void *values);

/* One value, one descriptor, one number: what most attributes are. */
void kz_cudnn_put_one(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                      cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                      const void *value);
void kz_cudnn_put_descriptor(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                             cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value);
void kz_cudnn_put_integer(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                          cudnnBackendAttributeName_t name, int64_t value);

/* At most `most` values; returns how many there were of them, 0 after a failure. Values that are
 * descriptors must have been made. */
int64_t kz_cudnn_take(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                      cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                      int64_t most, void *values);

void kz_cudnn_finalize(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor);

/* Destroys the descriptors; the set is as new. */
void kz_cudnn_clear(kz_cudnn_set *set);

struct kz_cudnn_device {
    kz_cudnn *cudnn;
    cudnnHandle_t handle; /* NULL: not here, */
    kz_cudnn_set set;
    cudnnBackendDescriptor_t described; /* but described; else NULL */
};

#endif
