#include "backend/module.h"

#include "cuda/device.h"
#include "cuda/selftest.h"

/* Our own kernels: others' engines are compared with them when they are chosen. */
static int check(int index, char *why, size_t size)
{
    const int error = kz_gpu_check(index, why, size);
    kz_backend own = kz_backend_cuda;
    own.compile = kz_cuda_compile_own;
    return error ? error : kz_cuda_selftest(&own, index, why, size);
}

const kz_module kz_backend_module = {
    .table_bytes = sizeof(kz_backend),
    .version = KZ_VERSION,
    .backend = &kz_backend_cuda,
    .check = check,
};
