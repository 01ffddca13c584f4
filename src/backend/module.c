#include "backend/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "kizuna-cuda.so"

__attribute__((format(printf, 3, 4))) static int refuse(char *why, size_t size, const char *format,
                                                        ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, size, format, arguments);
    va_end(arguments);
    return KZ_ERROR_FAILED;
}

/* The program's own folder with the module's name; false: the system doesn't tell it. */
static bool name_beside_program(char path[PATH_MAX])
{
    const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash || slash + sizeof("/" FILE_NAME) > path + PATH_MAX)
        return false;
    memcpy(slash, "/" FILE_NAME, sizeof("/" FILE_NAME));
    return true;
}

static bool find(char path[PATH_MAX])
{
    if (name_beside_program(path) && access(path, F_OK) == 0)
        return true;
    snprintf(path, PATH_MAX, "%s", KZ_MODULE_DIR "/" FILE_NAME);
    return access(path, F_OK) == 0;
}

int kz_module_load(const kz_module **module, char *why, size_t size)
{
    char path[PATH_MAX];
    *module = NULL;
    if (!find(path))
        return refuse(why, size, "this kizuna was built without it");
    /* A path with a slash is opened as it is, whatever LD_LIBRARY_PATH says. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return refuse(why, size, FILE_NAME " can't be loaded: %s", dlerror());
    const kz_module *found = dlsym(library, "kz_backend_module");
    if (!found)
        return refuse(why, size, "%s isn't a module of kizuna", path);
    if (strcmp(found->version, KZ_VERSION) != 0)
        return refuse(why, size, "%s is of kizuna %s, and this is %s", path, found->version,
                      KZ_VERSION);
    if (found->table_bytes != sizeof(kz_backend))
        return refuse(why, size, "%s was built from other sources than this kizuna", path);
    *module = found;
    return 0;
}
