#include "cmd/targets.h"

#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

static bool is_folder(const char *path)
{
    struct stat st;
    size_t length = strlen(path);
    return (length && path[length - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* "dir/show.01.mkv" and "out" give "out/show.01.4k.mkv"; no folder: the input's own. */
static char *default_name(const char *input, const char *folder)
{
    const char *slash = strrchr(input, '/'), *name = slash ? slash + 1 : input;
    const char *dot = strrchr(name, '.');
    int stem = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    if (folder)
        return kz_asprintf("%s%s%.*s.4k.mkv", folder, folder[strlen(folder) - 1] == '/' ? "" : "/",
                           stem, name);
    return kz_asprintf("%.*s.4k.mkv", (int)(name - input) + stem, input);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int choose(char **target, const char *input, int n_inputs, const char *output, kz_log *log)
{
    bool from_pipe = strcmp(input, "-") == 0;
    if (from_pipe && (!output || (strcmp(output, "-") != 0 && is_folder(output))))
        return kz_fail(log, KZ_ERROR_USAGE, "standard input has no name: give --output FILE or -");
    if (output && n_inputs > 1 && (strcmp(output, "-") == 0 || !is_folder(output)))
        return kz_fail(log, KZ_ERROR_USAGE,
                       "--output %s: several inputs need an existing folder, or one ending in /",
                       output);
    if (!output)
        *target = default_name(input, NULL);
    else if (strcmp(output, "-") != 0 && is_folder(output))
        *target = default_name(input, output);
    else
        *target = kz_strdup(output);
    return *target ? 0 : kz_fail_memory(log, "a file name");
}

int kz_target_of(char **target, const char *input, char *const *inputs, int n_inputs,
                 const kz_job_options *options, kz_log *log)
{
    *target = NULL;
    int error = choose(target, input, n_inputs, options->output, log);
    for (int i = 0; i < n_inputs && !error; i++)
        if (same_file(*target, inputs[i]))
            error =
                kz_fail(log, KZ_ERROR_USAGE, "%s is an input: it is never overwritten", *target);
    if (error) {
        kz_free(*target);
        *target = NULL;
    }
    return error;
}
