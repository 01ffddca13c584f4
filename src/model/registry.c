#include "model/registry.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/reader.h"
#include "model/ncnn.h"

#define MANIFEST_LIMIT ((size_t)64 << 10)
#define PARAM_LIMIT ((size_t)4 << 20)
#define BIN_LIMIT ((size_t)1 << 30)

enum {
    FILE_MODEL_HALO = 32, /* for a file without a manifest */
    FILE_MODEL_NEAR = 2,  /* likewise: as the most sensitive of the models here */
    FILE_MODEL_BF16 = 55  /* likewise: good enough */
};

/* ---- manifests ---- */

static void free_info(kz_model_info *info)
{
    kz_free(info->name);
    kz_free(info->architecture);
    kz_free(info->title);
    kz_free(info->licence);
    kz_free(info->source);
    kz_free(info->param);
    kz_free(info->bin);
    kz_free(info->param_sha256);
    kz_free(info->bin_sha256);
    *info = (kz_model_info){0};
}

struct manifest {
    const cJSON *root;
    const char *path;
    kz_log *log;
    int error; /* KZ_ERROR_FAILED once it was found broken, and reported; KZ_ERROR_MEMORY */
};

__attribute__((format(printf, 2, 3))) static void warn(struct manifest *m, const char *format, ...)
{
    char why[160];
    va_list args;
    if (m->error)
        return;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    kz_log_line(m->log, KZ_LOG_WARNING, "%s: %s", m->path, why);
    m->error = KZ_ERROR_FAILED;
}

/* The text, or NULL where there is no memory. */
static char *keep(struct manifest *m, char *text)
{
    if (!text)
        m->error = KZ_ERROR_MEMORY;
    return text;
}

static char *take_text(struct manifest *m, const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (cJSON_IsString(item))
        return keep(m, kz_strdup(item->valuestring));
    warn(m, "no text \"%s\"", key);
    return NULL;
}

static int take_number(struct manifest *m, const char *key, int least, int most)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(m->root, key);
    if (cJSON_IsNumber(item) && item->valuedouble >= least && item->valuedouble <= most)
        return (int)item->valuedouble;
    warn(m, "\"%s\" is not a number from %d to %d", key, least, most);
    return least;
}

/* A file's name mustn't lead out of the weights' folder. */
static char *take_file(struct manifest *m, const char *key, const char *dir, char **sha256)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(m->root, key);
    char *file = take_text(m, object, "file"), *path = NULL;
    *sha256 = take_text(m, object, "sha256");
    if (file && (strchr(file, '/') || *file == '.'))
        warn(m, "\"%s\" names a file outside models/weights", key);
    else if (file)
        path = keep(m, kz_asprintf("%s/models/weights/%s", dir, file));
    kz_free(file);
    return path;
}

static void fill_info(kz_model_info *info, struct manifest *m, const char *dir)
{
    info->name = take_text(m, m->root, "name");
    info->architecture = take_text(m, m->root, "architecture");
    info->title = take_text(m, m->root, "title");
    info->licence = take_text(m, m->root, "licence");
    info->source = take_text(m, m->root, "source");
    info->scale = take_number(m, "scale", 1, 8);
    info->halo = take_number(m, "halo", 0, 512);
    info->near = take_number(m, "near", 0, 64);
    info->near_halo = take_number(m, "near_halo", 0, 512);
    info->bf16 = take_number(m, "bf16", 0, 200);
    info->param = take_file(m, "param", dir, &info->param_sha256);
    info->bin = take_file(m, "bin", dir, &info->bin_sha256);
    info->installed = !m->error && access(info->param, R_OK) == 0 && access(info->bin, R_OK) == 0;
}

/* KZ_ERROR_FAILED, after a warning, where the manifest can't be used. */
static int read_manifest(kz_model_info *info, const char *path, const char *dir, kz_log *log)
{
    kz_bytes text;
    *info = (kz_model_info){0};
    int error = kz_file_read(&text, path, MANIFEST_LIMIT, log);
    if (error)
        return error;
    cJSON *root = cJSON_ParseWithLength((const char *)text.data, text.size);
    struct manifest m = {.root = root, .path = path, .log = log};
    if (root)
        fill_info(info, &m, dir);
    else
        warn(&m, "not JSON");
    cJSON_Delete(root);
    kz_free(text.data);
    if (m.error)
        free_info(info);
    return m.error;
}

/* ---- list ---- */

static bool is_listed(const kz_model_info *infos, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(infos[i].name, name) == 0)
            return true;
    return false;
}

static int append(kz_model_info **infos, int *count, kz_model_info *info)
{
    kz_model_info *grown = kz_alloc((size_t)*count + 1, sizeof(*grown));
    if (!grown) {
        free_info(info);
        return KZ_ERROR_MEMORY;
    }
    int at = *count;
    while (at > 0 && strcmp((*infos)[at - 1].name, info->name) > 0)
        at--;
    if (at)
        memcpy(grown, *infos, (size_t)at * sizeof(*grown));
    grown[at] = *info;
    if (*count > at)
        memcpy(grown + at + 1, *infos + at, (size_t)(*count - at) * sizeof(*grown));
    kz_free(*infos);
    *infos = grown;
    ++*count;
    return 0;
}

static bool is_manifest(const char *name)
{
    size_t length = strlen(name);
    return length > 5 && *name != '.' && strcmp(name + length - 5, ".json") == 0;
}

static int list_file(kz_model_info **infos, int *count, const char *dir, const char *name,
                     kz_log *log)
{
    kz_model_info info;
    char *path = kz_asprintf("%s/models/%s", dir, name);
    if (!path)
        return KZ_ERROR_MEMORY;
    int error = read_manifest(&info, path, dir, log);
    kz_free(path);
    if (error)
        return error == KZ_ERROR_MEMORY ? error : 0;
    if (is_listed(*infos, *count, info.name)) {
        free_info(&info);
        return 0;
    }
    return append(infos, count, &info);
}

static int list_dir(kz_model_info **infos, int *count, const char *dir, kz_log *log)
{
    char *path = kz_asprintf("%s/models", dir);
    DIR *stream = path ? opendir(path) : NULL;
    int error = path ? 0 : KZ_ERROR_MEMORY;
    kz_free(path);
    for (const struct dirent *entry; stream && !error && (entry = readdir(stream));)
        if (is_manifest(entry->d_name))
            error = list_file(infos, count, dir, entry->d_name, log);
    if (stream)
        closedir(stream);
    return error;
}

int kz_registry_list(kz_model_info **infos, int *n_infos, char *const *dirs, int n_dirs,
                     kz_log *log)
{
    int error = 0;
    *infos = NULL;
    *n_infos = 0;
    for (int i = 0; i < n_dirs && !error; i++)
        error = list_dir(infos, n_infos, dirs[i], log);
    if (error)
        kz_registry_free(infos, *n_infos);
    return error ? kz_fail_memory(log, "the list of models") : 0;
}

void kz_registry_free(kz_model_info **infos, int n_infos)
{
    for (int i = 0; i < n_infos && *infos; i++)
        free_info(&(*infos)[i]);
    kz_free(*infos);
    *infos = NULL;
}

/* ---- open ---- */

static int read_checked(kz_bytes *bytes, const char *path, size_t limit, const char *sha256,
                        char found[KZ_DIGEST_TEXT], kz_log *log)
{
    int error = kz_file_read(bytes, path, limit, log);
    if (error)
        return error;
    kz_digest_of(bytes->data, bytes->size, found);
    if (!sha256 || strcmp(found, sha256) == 0)
        return 0;
    return kz_fail(log, KZ_ERROR_FAILED, "%s is damaged: its sha256 is %s, its manifest says %s",
                   path, found, sha256);
}

static int load(kz_model *model, kz_log *log)
{
    const kz_model_info *info = &model->info;
    kz_bytes param = {0}, bin = {0};
    if (!info->installed)
        return kz_fail(log, KZ_ERROR_FAILED,
                       "the weights of %s aren't installed: %s is missing (scripts/fetch-models.sh "
                       "fetches them)",
                       info->name, access(info->param, R_OK) ? info->param : info->bin);
    char digests[2][KZ_DIGEST_TEXT];
    int error = read_checked(&param, info->param, PARAM_LIMIT, info->param_sha256, digests[0], log);
    if (!error)
        error = read_checked(&bin, info->bin, BIN_LIMIT, info->bin_sha256, digests[1], log);
    if (!error)
        kz_digest_of(digests, sizeof(digests), model->digest);
    if (!error)
        error = kz_ncnn_parse(&model->graph, param, info->param, bin, info->bin, log);
    kz_free(param.data);
    kz_free(bin.data);
    return error;
}

/* A .param file without a manifest: its name is all that is known of it. */
static int info_of_file(kz_model_info *info, const char *path, kz_log *log)
{
    size_t stem = strlen(path);
    if (stem > 6 && strcmp(path + stem - 6, ".param") == 0)
        stem -= 6;
    else
        return kz_fail(log, KZ_ERROR_USAGE, "%s: a model file's name ends in .param", path);
    const char *slash = strrchr(path, '/');
    *info = (kz_model_info){.name = kz_strdup(slash ? slash + 1 : path),
                            .architecture = kz_strdup("from file"),
                            .title = kz_strdup(""),
                            .licence = kz_strdup("unknown licence"),
                            .source = kz_strdup(path),
                            .halo = FILE_MODEL_HALO,
                            .near = FILE_MODEL_NEAR,
                            .near_halo = FILE_MODEL_HALO,
                            .bf16 = FILE_MODEL_BF16,
                            .param = kz_strdup(path),
                            .bin = kz_asprintf("%.*s.bin", (int)stem, path),
                            .installed = true};
    return info->name && info->architecture && info->title && info->licence && info->source &&
                   info->param && info->bin
               ? 0
               : kz_fail_memory(log, path);
}

static int unknown_model(const kz_model_info *infos, int count, const char *name, kz_log *log)
{
    char list[512] = "";
    for (int i = 0, at = 0; i < count && at < (int)sizeof(list) - 1; i++)
        at += snprintf(list + at, sizeof(list) - (size_t)at, "%s%s", i ? ", " : "", infos[i].name);
    return kz_fail(log, KZ_ERROR_USAGE, "no model is called '%s': there are %s", name,
                   *list ? list : "none (KIZUNA_DATA_DIR says where manifests lie)");
}

static int info_by_name(kz_model_info *info, const char *name, char *const *dirs, int n_dirs,
                        kz_log *log)
{
    kz_model_info *infos;
    int count, error = kz_registry_list(&infos, &count, dirs, n_dirs, log);
    if (error)
        return error;
    for (int i = 0; i < count; i++)
        if (strcmp(infos[i].name, name) == 0) {
            *info = infos[i];
            infos[i] = (kz_model_info){0};
            kz_registry_free(&infos, count);
            return 0;
        }
    error = unknown_model(infos, count, name, log);
    kz_registry_free(&infos, count);
    return error;
}

static bool is_path(const char *name)
{
    size_t length = strlen(name);
    return strchr(name, '/') || (length > 6 && strcmp(name + length - 6, ".param") == 0);
}

int kz_model_open(kz_model **model, const char *name, char *const *dirs, int n_dirs, kz_log *log)
{
    kz_model *m = *model = kz_alloc(1, sizeof(*m));
    if (!m)
        return kz_fail_memory(log, "the model");
    int error = is_path(name) ? info_of_file(&m->info, name, log)
                              : info_by_name(&m->info, name, dirs, n_dirs, log);
    if (!error)
        error = load(m, log);
    if (!error)
        m->info.scale = m->graph->nodes[m->graph->output].scale;
    if (error)
        kz_model_close(model);
    return error;
}

void kz_model_close(kz_model **model)
{
    kz_model *m = *model;
    if (!m)
        return;
    free_info(&m->info);
    kz_graph_close(&m->graph);
    kz_free(m);
    *model = NULL;
}
