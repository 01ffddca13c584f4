#include "backend/version.h"

#include <stdio.h>

#include <dnnl.h>

const char *kz_backend_versions(char *text, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, size, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}
