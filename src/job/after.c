#include "job/after.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "job/place.h"

bool kz_is_video_name(const char *name)
{
    static const char *const endings[] = {
        "mkv",  "mp4",  "m4v", "mov", "webm", "ts",  "m2ts", "mts",  "avi", "flv", "nut",
        "mpg",  "mpeg", "vob", "m2v", "wmv",  "asf", "ogv",  "ogm",  "3gp", "3g2", "rm",
        "rmvb", "divx", "y4m", "mxf", "dv",   "f4v", "h264", "hevc", "264", "265"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof(endings) / sizeof(endings[0]); i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return dot != name;
    return false;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int copy_sidecar(const char *name, const char *input, const char *output, kz_log *log)
{
    char *from = kz_asprintf("%.*s%s", (int)(base_of(input) - input), input, name);
    char *to = kz_asprintf("%.*s%s", (int)(base_of(output) - output), output, name);
    struct stat st;
    int error = from && to ? 0 : kz_fail_memory(log, name);
    /* A link may lead to what whoever made it mustn't read. */
    if (!error && lstat(from, &st) == 0 && S_ISREG(st.st_mode)) {
        const int code = kz_place_copy(from, to, false);
        if (code && code != EEXIST)
            error = kz_fail(log, KZ_ERROR_FAILED, "%s: %s", to, strerror(code));
    }
    kz_free(from);
    kz_free(to);
    return error;
}

int kz_after_sidecars(const char *input, const char *output, kz_log *log)
{
    const char *base = base_of(input);
    const size_t stem = strlen(base) - strlen(strrchr(base, '.') ? strrchr(base, '.') : "");
    char *folder = kz_asprintf("%.*s.", (int)(base - input), input);
    DIR *entries = folder ? opendir(folder) : NULL;
    int error = folder ? 0 : kz_fail_memory(log, input);
    for (struct dirent *e; entries && !error && (e = readdir(entries));)
        if (strncmp(e->d_name, base, stem) == 0 && e->d_name[stem] == '.' &&
            strcmp(e->d_name, base) != 0 && !kz_is_video_name(e->d_name))
            error = copy_sidecar(e->d_name, input, output, log);
    if (entries)
        closedir(entries);
    kz_free(folder);
    return error;
}

static int move_original(const kz_worker_params *p, const char *input)
{
    const size_t root = strlen(p->root);
    const char *inside = strncmp(input, p->root, root) == 0 ? input + root : base_of(input);
    char *to = kz_asprintf("%s/%s", p->moved_to, inside + (*inside == '/'));
    int code = to ? kz_place_folders(to) : ENOMEM;
    if (!code)
        code = kz_place_move(input, to);
    kz_free(to);
    return code;
}

int kz_after_original(const kz_worker_params *p, const char *input)
{
    int code = 0;
    if (p->after == KZ_AFTER_MOVE)
        code = move_original(p, input);
    else if (p->after == KZ_AFTER_DELETE && unlink(input) != 0)
        code = errno;
    if (!code)
        return 0;
    return kz_fail(p->log, KZ_ERROR_FAILED, "%s: can't be %s: %s", input,
                   p->after == KZ_AFTER_MOVE ? "moved" : "deleted", strerror(code));
}
