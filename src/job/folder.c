#include "job/folder.h"

#include <cjson/cJSON.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/reader.h"
#include "job/options.h"

#define LIMIT ((size_t)64 << 10)

/* What a file in a folder that anybody may write to may choose: no files, and nothing of the
 * machine. */
static bool is_allowed(const char *name)
{
    static const char *const ours[] = {
        "scale",       "model", "encoder",   "crf",    "encoder-preset", "pix-fmt",
        "deinterlace", "ivtc",  "fps",       "reuse",  "audio",          "subs",
        "drop",        "start", "precision", "frames", "duration",       "no-verify"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcmp(name, ours[i]) == 0)
            return true;
    return false;
}

/* Of a model or a preset; other words mean a file. */
static bool is_name(const char *text)
{
    static const char *const files[] = {"*/*", "*.param", "*.safetensors", "*.json"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (fnmatch(files[i], text, 0) == 0)
            return false;
    return true;
}

/* A rate becomes part of a chain of filters, some of which write files. */
static bool is_rate(const char *text)
{
    return strspn(text, "0123456789./") == strlen(text);
}

static int check_value(const cJSON *item, const char *path, kz_log *log)
{
    const char *text = cJSON_GetStringValue(item);
    if (text && strcmp(item->string, "model") == 0 && !is_name(text))
        return kz_fail(log, KZ_ERROR_FAILED, "%s: 'model' must be a name, not a file", path);
    if (text && strcmp(item->string, "fps") == 0 && !is_rate(text))
        return kz_fail(log, KZ_ERROR_FAILED, "%s: 'fps' must be a number, as 24000/1001", path);
    return 0;
}

static int add_word(cJSON *words, char *text)
{
    cJSON *word = text ? cJSON_CreateString(text) : NULL;
    kz_free(text);
    return word && cJSON_AddItemToArray(words, word) ? 0 : KZ_ERROR_MEMORY;
}

/* As the command line would have it. */
static char *word_of(const cJSON *item)
{
    if (cJSON_IsString(item))
        return kz_asprintf("--%s=%s", item->string, item->valuestring);
    if (cJSON_IsNumber(item))
        return kz_asprintf("--%s=%.17g", item->string, item->valuedouble);
    return kz_asprintf("--%s", item->string);
}

static int add_option(cJSON *words, const cJSON *item, const char *path, kz_log *log)
{
    const kz_option *option =
        kz_option_find(kz_job_option_table(), item->string, strlen(item->string));
    const bool flag = cJSON_IsBool(item);
    if (!option)
        return kz_fail(log, KZ_ERROR_FAILED, "%s: no option is called '%s'", path, item->string);
    if (!is_allowed(option->name))
        return kz_fail(log, KZ_ERROR_FAILED, "%s: '%s' is the command's to say, not a folder's",
                       path, option->name);
    if (!(flag || cJSON_IsString(item) || cJSON_IsNumber(item)) ||
        flag != (option->type == KZ_OPTION_FLAG))
        return kz_fail(log, KZ_ERROR_FAILED, "%s: '%s' has a value of another kind", path,
                       item->string);
    if (flag && !cJSON_IsTrue(item))
        return 0;
    const int error = check_value(item, path, log);
    if (error)
        return error;
    return add_word(words, word_of(item)) ? kz_fail_memory(log, path) : 0;
}

static int add_file(cJSON *words, const cJSON *root, const char *path, kz_log *log)
{
    const cJSON *preset = cJSON_GetObjectItemCaseSensitive(root, "preset"), *item;
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(root, "options");
    if (!cJSON_IsObject(root) || (preset && !cJSON_IsString(preset)) ||
        (options && !cJSON_IsObject(options)))
        return kz_fail(log, KZ_ERROR_FAILED,
                       "%s: isn't an object with a \"preset\" and \"options\"", path);
    int error = 0;
    if (preset && !is_name(preset->valuestring))
        return kz_fail(log, KZ_ERROR_FAILED, "%s: \"preset\" must be a name, not a file", path);
    if (preset && add_word(words, kz_asprintf("--preset=%s", preset->valuestring)))
        error = kz_fail_memory(log, path);
    cJSON_ArrayForEach(item, options)
    {
        if (!error)
            error = add_option(words, item, path, log);
    }
    return error;
}

static int add_path(cJSON *words, const char *path, kz_log *log)
{
    kz_bytes bytes;
    int error = kz_file_read(&bytes, path, LIMIT, log);
    if (error)
        return error;
    cJSON *root = cJSON_ParseWithLength((const char *)bytes.data, bytes.size);
    error = root ? add_file(words, root, path, log)
                 : kz_fail(log, KZ_ERROR_FAILED, "%s: not JSON", path);
    cJSON_Delete(root);
    kz_free(bytes.data);
    return error;
}

int kz_folder_arguments(char **own, const char *folder, const char *arguments, kz_log *log)
{
    char *path = kz_asprintf("%s/kizuna.json", folder);
    cJSON *words = cJSON_Parse(arguments);
    int error = path && words ? 0 : kz_fail_memory(log, folder);
    *own = NULL;
    if (!error && access(path, F_OK) == 0)
        error = add_path(words, path, log);
    if (!error) {
        char *text = cJSON_PrintUnformatted(words);
        *own = text ? kz_strdup(text) : NULL;
        cJSON_free(text);
        if (!*own)
            error = kz_fail_memory(log, folder);
    }
    cJSON_Delete(words);
    kz_free(path);
    return error;
}
