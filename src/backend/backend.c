#include "backend/backend.h"

#include <string.h>

const kz_backend *kz_backend_by_name(const char *name)
{
    static const kz_backend *const all[] = {&kz_backend_cpu, &kz_backend_reference};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

const char *kz_precision_name(enum kz_precision precision)
{
    static const char *const names[KZ_PRECISIONS] = {"auto", "fp32", "bf16", "fp16", "tf32"};
    return names[precision];
}
