#include "model/registry.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/digest.h"
#include "base/embedded.h"
#include "base/mem.h"
#include "base/reader.h"
#include "model/luma_net.h"
#include "model/ncnn.h"

#define MANIFEST_LIMIT ((size_t)64 << 10)
#define PARAM_LIMIT ((size_t)4 << 20)
#define BIN_LIMIT ((size_t)1 << 30)
#define OWN_LIMIT ((size_t)64 << 20)

/* The architecture of our own networks. */
#define OWN "kizuna"

enum {
    FILE_MODEL_HALO = 64,      /* for a file without a manifest, at most */
    FILE_MODEL_NEAR_HALO = 32, /* likewise */
    FILE_MODEL_NEAR = 2,       /* likewise: as the most sensitive of the models here */
    FILE_MODEL_BF16 = 55       /* likewise: good enough */
};

/* ---- manifests ---- */

static void free_info(kz_model_info *info)
{
    kz_free(info->name);
    kz_free(info->architecture);
    kz_free(info->title);
    kz_free(info->licence);
    kz_free(info->source);
    kz_free(info->weights);
    kz_free(info->param);
    kz_free(info->weights_sha256);
    kz_free(info->param_sha256);
    *info = (kz_model_info){0};
}

struct manifest {
    const cJSON *root;
    const char *path;
    const char *dir; /* its data directory, with a slash; "": the program */
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

/* A file's name mustn't lead out of its folder. */
static char *take_file(struct manifest *m, const char *key, const char *folder, char **sha256)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(m->root, key);
    char *file = take_text(m, object, "file"), *path = NULL;
    *sha256 = take_text(m, object, "sha256");
    if (file && (strchr(file, '/') || *file == '.'))
        warn(m, "\"%s\" names a file outside models", key);
    else if (file)
        path = keep(m, kz_asprintf("%s%s/%s", m->dir, folder, file));
    kz_free(file);
    return path;
}

/* Our own networks tell their halo themselves. */
static void fill_own(kz_model_info *info, struct manifest *m)
{
    info->weights = take_file(m, "weights", "models", &info->weights_sha256);
}

static void fill_ncnn(kz_model_info *info, struct manifest *m)
{
    info->halo = take_number(m, "halo", 0, 512);
    info->near_halo = take_number(m, "near_halo", 0, 512);
    info->param = take_file(m, "param", "models/weights", &info->param_sha256);
    info->weights = take_file(m, "bin", "models/weights", &info->weights_sha256);
}

static bool is_there(const kz_model_info *info, const char *path)
{
    return info->embedded ? kz_embedded_find(path) != NULL : access(path, R_OK) == 0;
}

static void fill_info(kz_model_info *info, struct manifest *m)
{
    info->name = take_text(m, m->root, "name");
    info->architecture = take_text(m, m->root, "architecture");
    info->title = take_text(m, m->root, "title");
    info->licence = take_text(m, m->root, "licence");
    info->source = take_text(m, m->root, "source");
    info->scale = take_number(m, "scale", 1, 8);
    info->near = take_number(m, "near", 0, 64);
    info->bf16 = take_number(m, "bf16", 0, 200);
    if (info->architecture && strcmp(info->architecture, OWN) == 0)
        fill_own(info, m);
    else
        fill_ncnn(info, m);
    info->installed =
        !m->error && is_there(info, info->weights) && (!info->param || is_there(info, info->param));
}

/* KZ_ERROR_FAILED, after a warning, where the manifest can't be used. `dir` is the data directory,
 * with its slash; NULL: the program. */
static int parse_manifest(kz_model_info *info, const void *text, size_t size, const char *path,
                          const char *dir, kz_log *log)
{
    cJSON *root = cJSON_ParseWithLength(text, size);
    struct manifest m = {.root = root, .path = path, .dir = dir ? dir : "", .log = log};
    *info = (kz_model_info){.embedded = !dir};
    if (root)
        fill_info(info, &m);
    else
        warn(&m, "not JSON");
    cJSON_Delete(root);
    if (m.error)
        free_info(info);
    return m.error;
}

static int read_manifest(kz_model_info *info, const char *path, const char *dir, kz_log *log)
{
    kz_bytes text;
    int error = kz_file_read(&text, path, MANIFEST_LIMIT, log);
    if (error)
        return error;
    error = parse_manifest(info, text.data, text.size, path, dir, log);
    kz_free(text.data);
    return error;
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

/* What an earlier directory has is left out. A broken manifest has been reported: no error. */
static int list_model(kz_model_info **infos, int *count, kz_model_info *info, int error)
{
    if (error)
        return error == KZ_ERROR_MEMORY ? error : 0;
    if (is_listed(*infos, *count, info->name)) {
        free_info(info);
        return 0;
    }
    return append(infos, count, info);
}

static int list_file(kz_model_info **infos, int *count, const char *dir, const char *name,
                     kz_log *log)
{
    kz_model_info info;
    char *path = kz_asprintf("%smodels/%s", dir, name);
    if (!path)
        return KZ_ERROR_MEMORY;
    int error = read_manifest(&info, path, dir, log);
    kz_free(path);
    return list_model(infos, count, &info, error);
}

/* `dir` has a slash at its end. */
static int list_dir(kz_model_info **infos, int *count, const char *dir, kz_log *log)
{
    char *path = kz_asprintf("%smodels", dir);
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

static int list_embedded(kz_model_info **infos, int *count, kz_log *log)
{
    int error = 0;
    for (int i = 0; i < kz_embedded_count && !error; i++) {
        const kz_embedded *file = &kz_embedded_files[i];
        kz_model_info info;
        if (strncmp(file->path, "models/", 7) == 0 && is_manifest(file->path)) {
            error = parse_manifest(&info, file->data, file->size, file->path, NULL, log);
            error = list_model(infos, count, &info, error);
        }
    }
    return error;
}

int kz_registry_list(kz_model_info **infos, int *n_infos, char *const *dirs, int n_dirs,
                     kz_log *log)
{
    int error = 0;
    *infos = NULL;
    *n_infos = 0;
    for (int i = 0; i < n_dirs && !error; i++) {
        char *dir = kz_asprintf("%s/", dirs[i]);
        error = dir ? list_dir(infos, n_infos, dir, log) : KZ_ERROR_MEMORY;
        kz_free(dir);
    }
    if (!error)
        error = list_embedded(infos, n_infos, log);
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

/* A copy of the program's own. */
static int read_embedded(kz_bytes *bytes, const char *path, kz_log *log)
{
    const kz_embedded *file = kz_embedded_find(path);
    *bytes = (kz_bytes){kz_alloc_raw(file->size, 1), file->size};
    if (!bytes->data)
        return kz_fail_memory(log, path);
    memcpy(bytes->data, file->data, file->size);
    return 0;
}

static int read_checked(kz_bytes *bytes, const kz_model_info *info, const char *path, size_t limit,
                        const char *sha256, char found[KZ_DIGEST_TEXT], kz_log *log)
{
    int error =
        info->embedded ? read_embedded(bytes, path, log) : kz_file_read(bytes, path, limit, log);
    if (error)
        return error;
    kz_digest_of(bytes->data, bytes->size, found);
    if (!sha256 || strcmp(found, sha256) == 0)
        return 0;
    return kz_fail(log, KZ_ERROR_FAILED, "%s is damaged: its sha256 is %s, its manifest says %s",
                   path, found, sha256);
}

/* What the network doesn't see need not be there. */
static void bound_halos(kz_model *model)
{
    const int reach = kz_graph_reach(model->graph);
    kz_model_info *info = &model->info;
    info->halo = info->halo < reach ? info->halo : reach;
    info->near_halo = info->near_halo < reach ? info->near_halo : reach;
}

static int load_ncnn(kz_model *model, kz_log *log)
{
    const kz_model_info *info = &model->info;
    kz_bytes param = {0}, bin = {0};
    char digests[2][KZ_DIGEST_TEXT];
    int error =
        read_checked(&param, info, info->param, PARAM_LIMIT, info->param_sha256, digests[0], log);
    if (!error)
        error = read_checked(&bin, info, info->weights, BIN_LIMIT, info->weights_sha256, digests[1],
                             log);
    if (!error)
        kz_digest_of(digests, sizeof(digests), model->digest);
    if (!error)
        error = kz_ncnn_parse(&model->graph, param, info->param, bin, info->weights, log);
    if (!error)
        bound_halos(model);
    kz_free(param.data);
    kz_free(bin.data);
    return error;
}

static int load_own(kz_model *model, kz_log *log)
{
    kz_model_info *info = &model->info;
    kz_bytes bytes = {0};
    int error = read_checked(&bytes, info, info->weights, OWN_LIMIT, info->weights_sha256,
                             model->digest, log);
    if (!error)
        error = kz_luma_net_parse(&model->graph, bytes, info->weights, log);
    if (!error)
        error = kz_graph_twice(&model->twice, model->graph, info->weights, log);
    if (!error)
        info->halo = info->near_halo = kz_graph_reach(model->graph);
    kz_free(bytes.data);
    return error;
}

static int load(kz_model *model, kz_log *log)
{
    const kz_model_info *info = &model->info;
    if (!info->installed)
        return kz_fail(log, KZ_ERROR_FAILED, "the weights of %s aren't installed: %s is missing%s",
                       info->name, is_there(info, info->weights) ? info->param : info->weights,
                       info->param ? " (scripts/fetch-models.sh fetches them)" : "");
    return info->param ? load_ncnn(model, log) : load_own(model, log);
}

/* ---- a file without a manifest: its name is all that is known of it ---- */

static bool ends_in(const char *name, const char *end)
{
    const size_t length = strlen(name), tail = strlen(end);
    return length > tail && strcmp(name + length - tail, end) == 0;
}

static int info_of_file(kz_model_info *info, const char *path, kz_log *log)
{
    const bool ncnn = ends_in(path, ".param");
    if (!ncnn && !ends_in(path, ".safetensors"))
        return kz_fail(log, KZ_ERROR_USAGE,
                       "%s: a model file's name ends in .param or .safetensors", path);
    const char *slash = strrchr(path, '/');
    *info = (kz_model_info){.name = kz_strdup(slash ? slash + 1 : path),
                            .architecture = kz_strdup("from file"),
                            .title = kz_strdup(""),
                            .licence = kz_strdup("unknown licence"),
                            .source = kz_strdup(path),
                            .halo = FILE_MODEL_HALO,
                            .near = FILE_MODEL_NEAR,
                            .near_halo = FILE_MODEL_NEAR_HALO,
                            .bf16 = FILE_MODEL_BF16,
                            .param = ncnn ? kz_strdup(path) : NULL,
                            .weights = ncnn ? kz_asprintf("%.*s.bin", (int)strlen(path) - 6, path)
                                            : kz_strdup(path),
                            .installed = true};
    return info->name && info->architecture && info->title && info->licence && info->source &&
                   (info->param || !ncnn) && info->weights
               ? 0
               : kz_fail_memory(log, path);
}

static int unknown_model(const kz_model_info *infos, int count, const char *name, kz_log *log)
{
    char list[512] = "";
    bool all_embedded = true;
    for (int i = 0, at = 0; i < count && at < (int)sizeof(list) - 1; i++) {
        at += snprintf(list + at, sizeof(list) - (size_t)at, "%s%s", i ? ", " : "", infos[i].name);
        all_embedded = all_embedded && infos[i].embedded;
    }
    return kz_fail(log, KZ_ERROR_USAGE, "no model is called '%s': there are %s%s", name, list,
                   all_embedded ? " (KIZUNA_DATA_DIR says where others' manifests lie)" : "");
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
    return strchr(name, '/') || ends_in(name, ".param") || ends_in(name, ".safetensors");
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
    kz_graph_close(&m->twice);
    kz_free(m);
    *model = NULL;
}

/* ---- use ---- */

kz_model_use kz_model_use_for(const kz_model *m, int in_width, int in_height, int out_width,
                              int out_height)
{
    const kz_model_info *info = &m->info;
    const int scale = info->scale;
    if (!m->twice || (out_width <= in_width * scale && out_height <= in_height * scale))
        return (kz_model_use){m->graph, scale, info->halo, info->near_halo};
    const int halo = kz_graph_reach(m->twice);
    return (kz_model_use){m->twice, scale * scale, halo, halo};
}

int kz_model_most_scale(const kz_model *m)
{
    return m->twice ? m->info.scale * m->info.scale : m->info.scale;
}
