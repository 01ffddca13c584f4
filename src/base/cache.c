#include "base/cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

char *kz_cache_folder(void)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && *xdg == '/')
        return kz_asprintf("%s/kizuna", xdg);
    return home && *home == '/' ? kz_asprintf("%s/.cache/kizuna", home) : NULL;
}

void kz_cache_make(const char *folder)
{
    char *above = kz_strdup(folder);
    if (above && strrchr(above, '/')) {
        *strrchr(above, '/') = '\0';
        (void)!mkdir(above, 0700);
    }
    kz_free(above);
    (void)!mkdir(folder, 0700);
}
