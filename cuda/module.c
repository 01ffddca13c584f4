#include "backend/module.h"

#include "cuda/device.h"

const kz_module kz_backend_module = {
    .table_bytes = sizeof(kz_backend),
    .version = KZ_VERSION,
    .backend = &kz_backend_cuda,
    .check = kz_gpu_check,
};
