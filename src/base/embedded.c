#include "base/embedded.h"

#include <string.h>

const kz_embedded *kz_embedded_find(const char *path)
{
    for (int i = 0; i < kz_embedded_count; i++)
        if (strcmp(kz_embedded_files[i].path, path) == 0)
            return &kz_embedded_files[i];
    return NULL;
}
