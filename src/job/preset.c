#include "job/preset.h"

#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/embedded.h"
#include "base/mem.h"
#include "base/reader.h"

enum { PRESET_LIMIT = 64 << 10 };

/* JSON's value as the command line would have it. */
static int set_from_json(kz_job_options *options, const kz_option *option, const cJSON *item,
                         const char *path, kz_log *log)
{
    char *who = kz_asprintf("%s: option '%s'", path, item->string);
    char number[32];
    int error;
    snprintf(number, sizeof(number), "%.17g", item->valuedouble);
    if (!who)
        error = kz_fail_memory(log, path);
    else if (cJSON_IsString(item))
        error = kz_option_set(option, options, item->valuestring, who, log);
    else if (cJSON_IsNumber(item))
        error = kz_option_set(option, options, number, who, log);
    else if (cJSON_IsBool(item))
        error = kz_option_set(option, options, cJSON_IsTrue(item) ? "true" : "false", who, log);
    else
        error = kz_fail(log, KZ_ERROR_FAILED, "%s must be a string, a number, true or false", who);
    kz_free(who);
    return error;
}

static int apply_options(kz_job_options *options, const cJSON *root, const char *path, kz_log *log)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "options"), *item;
    if (!cJSON_IsObject(list))
        return kz_fail(log, KZ_ERROR_FAILED, "%s: no object \"options\"", path);
    cJSON_ArrayForEach(item, list)
    {
        const kz_option *option =
            kz_option_find(kz_job_option_table(), item->string, strlen(item->string));
        if (!option || strcmp(option->name, "preset") == 0)
            return kz_fail(log, KZ_ERROR_FAILED, "%s: no option is called '%s'", path,
                           item->string);
        int error = set_from_json(options, option, item, path, log);
        if (error)
            return error;
    }
    return 0;
}

static int apply_text(kz_job_options *options, const void *text, size_t size, const char *path,
                      kz_log *log)
{
    cJSON *root = cJSON_ParseWithLength(text, size);
    int error = root ? apply_options(options, root, path, log)
                     : kz_fail(log, KZ_ERROR_FAILED, "%s: not JSON", path);
    cJSON_Delete(root);
    return error;
}

static int apply_file(kz_job_options *options, const char *path, kz_log *log)
{
    kz_bytes text;
    int error = kz_file_read(&text, path, PRESET_LIMIT, log);
    if (!error)
        error = apply_text(options, text.data, text.size, path, log);
    kz_free(text.data);
    return error;
}

/* KZ_END: no preset in the program is called so. */
static int apply_embedded(kz_job_options *options, const char *name, kz_log *log)
{
    char *path = kz_asprintf("presets/%s.json", name);
    if (!path)
        return kz_fail_memory(log, "the preset");
    const kz_embedded *file = kz_embedded_find(path);
    int error = file ? apply_text(options, file->data, file->size, path, log) : KZ_END;
    kz_free(path);
    return error;
}

static bool is_path(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '/') || (length > 5 && strcmp(name + length - 5, ".json") == 0);
}

int kz_preset_apply(kz_job_options *options, const char *name, char *const *dirs, int n_dirs,
                    kz_log *log)
{
    if (is_path(name))
        return apply_file(options, name, log);
    for (int i = 0; i < n_dirs; i++) {
        char *path = kz_asprintf("%s/presets/%s.json", dirs[i], name);
        if (!path)
            return kz_fail_memory(log, "the preset");
        bool found = access(path, F_OK) == 0;
        int error = found ? apply_file(options, path, log) : 0;
        kz_free(path);
        if (found)
            return error;
    }
    int error = apply_embedded(options, name, log);
    if (error != KZ_END)
        return error;
    return kz_fail(log, KZ_ERROR_USAGE,
                   "no preset is called '%s': there are anime, fast, best, archive, or a .json "
                   "file",
                   name);
}
