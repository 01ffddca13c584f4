#include "job/dirs.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"

static int add(kz_dirs *dirs, char *path)
{
    if (!path)
        return KZ_ERROR_MEMORY;
    dirs->path[dirs->count++] = path;
    return 0;
}

int kz_dirs_open(kz_dirs *dirs)
{
    const char *own = getenv("KIZUNA_DATA_DIR"), *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    int error = 0;
    *dirs = (kz_dirs){0};
    if (own && *own)
        error = add(dirs, kz_strdup(own));
    if (!error && xdg && *xdg == '/')
        error = add(dirs, kz_asprintf("%s/kizuna", xdg));
    else if (!error && home && *home)
        error = add(dirs, kz_asprintf("%s/.local/share/kizuna", home));
    if (!error)
        error = add(dirs, kz_strdup(KZ_DATA_DIR));
    if (error)
        kz_dirs_close(dirs);
    return error;
}

void kz_dirs_close(kz_dirs *dirs)
{
    for (int i = 0; i < dirs->count; i++)
        kz_free(dirs->path[i]);
    *dirs = (kz_dirs){0};
}
