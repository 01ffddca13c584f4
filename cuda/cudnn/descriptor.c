#include "cuda/cudnn/descriptor.h"

#include <string.h>

static int code_of(cudnnStatus_t status)
{
    switch (status) {
    case CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED:
    case CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED:
        return KZ_ERROR_MEMORY;
    default:
        return KZ_ERROR_FAILED;
    }
}

int kz_cudnn_fail(const kz_cudnn *cudnn, kz_log *log, enum kz_log_level level, cudnnStatus_t status,
                  const char *what)
{
    char words[512] = "";
    cudnn->last_error(words, sizeof(words));
    words[sizeof(words) - 1] = '\0';
    words[strcspn(words, "\n")] = '\0';
    kz_log_line(log, level, "%s: %s%s%s", what, cudnn->error_string(status), *words ? ": " : "",
                words);
    return code_of(status);
}

cudnnBackendDescriptor_t kz_cudnn_make(kz_cudnn_set *set, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t made = NULL;
    if (set->status == CUDNN_STATUS_SUCCESS && set->n_made == KZ_CUDNN_MAX_DESCRIPTORS)
        set->status = CUDNN_STATUS_INTERNAL_ERROR_UNEXPECTED_VALUE;
    if (set->status == CUDNN_STATUS_SUCCESS)
        set->status = set->cudnn->make(type, &made);
    if (set->status != CUDNN_STATUS_SUCCESS)
        return NULL;
    return set->made[set->n_made++] = made;
}

void kz_cudnn_put(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                  cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                  const void *values)
{
    if (set->status == CUDNN_STATUS_SUCCESS)
        set->status = set->cudnn->set(descriptor, name, type, count, values);
}

void kz_cudnn_put_one(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                      cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                      const void *value)
{
    kz_cudnn_put(set, descriptor, name, type, 1, value);
}

void kz_cudnn_put_descriptor(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                             cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value)
{
    kz_cudnn_put_one(set, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, &value);
}

void kz_cudnn_put_integer(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                          cudnnBackendAttributeName_t name, int64_t value)
{
    kz_cudnn_put_one(set, descriptor, name, CUDNN_TYPE_INT64, &value);
}

int64_t kz_cudnn_take(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor,
                      cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                      int64_t most, void *values)
{
    int64_t count = 0;
    if (set->status == CUDNN_STATUS_SUCCESS)
        set->status = set->cudnn->get(descriptor, name, type, most, &count, values);
    if (set->status != CUDNN_STATUS_SUCCESS)
        return 0;
    return count < most ? count : most;
}

void kz_cudnn_finalize(kz_cudnn_set *set, cudnnBackendDescriptor_t descriptor)
{
    if (set->status == CUDNN_STATUS_SUCCESS)
        set->status = set->cudnn->finalize(descriptor);
}

void kz_cudnn_clear(kz_cudnn_set *set)
{
    while (set->n_made > 0)
        set->cudnn->unmake(set->made[--set->n_made]);
    set->status = CUDNN_STATUS_SUCCESS;
}
