#include "backend/module.h"

#include "cuda/device.h"
#include "cuda/selftest.h"

static int check(int index, char *why, size_t size)
{
    const int error = kz_gpu_check(index, why, size);
    return error ? error : kz_cuda_selftest(&kz_backend_cuda, index, why, size);
}

const kz_module kz_backend_module = {
    .table_bytes = sizeof(kz_backend),
    .version = KZ_VERSION,
    .backend = &kz_backend_cuda,
    .check = check,
};
