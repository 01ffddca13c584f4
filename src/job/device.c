#include "job/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number in "cuda:N", 0 for "cuda", -1 for anything else. */
static int cuda_index(const char *text)
{
    if (strcmp(text, "cuda") == 0)
        return 0;
    if (strncmp(text, "cuda:", 5) != 0)
        return -1;
    const size_t digits = strspn(text + 5, "0123456789");
    return digits >= 1 && digits <= 4 && !text[5 + digits] ? atoi(text + 5) : -1;
}

int kz_device_check(const char *text, kz_log *log)
{
    if (strcmp(text, "auto") == 0 || kz_backend_by_name(text) || cuda_index(text) >= 0)
        return 0;
    return kz_fail(log, KZ_ERROR_USAGE,
                   "--device: '%s' is none of auto, cpu, reference, cuda and cuda:N with N from 0",
                   text);
}

static int find_cuda(kz_found_device *found, int index, char *why, size_t size)
{
    const kz_module *module;
    int error = kz_module_load(&module, why, size);
    if (!error)
        error = module->check(index, why, size);
    if (!error)
        *found = (kz_found_device){.backend = module->backend, .index = index};
    return error;
}

int kz_device_find(kz_found_device *found, const char *text, kz_log *log)
{
    char why[KZ_WHY_SIZE];
    const int index = cuda_index(text);
    *found = (kz_found_device){.backend = kz_backend_by_name(text)};
    if (index < 0 && strcmp(text, "auto") != 0)
        return kz_device_check(text, log);
    const int error = find_cuda(found, index < 0 ? 0 : index, why, sizeof(why));
    if (error && index >= 0)
        return kz_fail(log, error, "--device %s: %s", text, why);
    if (error) {
        found->backend = &kz_backend_cpu;
        snprintf(found->note, sizeof(found->note), " (no CUDA: %s)", why);
    }
    return 0;
}
