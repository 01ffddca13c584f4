#include "cmd/targets.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "job/job.h"

static bool is_folder(const char *path)
{
    struct stat st;
    size_t length = strlen(path);
    return (length && path[length - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* A pipe would give its bytes to the look alone. */
static bool is_plain_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Only what isn't Matroska already needs a look inside. */
static const char *ending_of(const char *input, const kz_job_options *options, char *buffer,
                             size_t size)
{
    const char *dot = strrchr(input, '.');
    kz_input *opened = NULL;
    kz_input_params params = kz_job_input(options, input, NULL);
    if (!options->format && (!dot || strcasecmp(dot, ".mkv") != 0) && is_plain_file(input))
        (void)kz_input_open(&opened, &params, NULL); /* why it can't be read is the job's to say */
    const char *ending = kz_output_ending(opened, input, options->format, buffer, size);
    kz_input_close(&opened);
    return ending;
}

/* "dir/show.01.mkv" and "out" give "out/show.01.4k.mkv"; no folder: the input's own. */
static char *default_name(const char *input, const char *folder, const kz_job_options *options)
{
    const char *slash = strrchr(input, '/'), *name = slash ? slash + 1 : input;
    const char *dot = strrchr(name, '.');
    int stem = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    char buffer[64];
    const char *ending = ending_of(input, options, buffer, sizeof(buffer));
    if (folder)
        return kz_asprintf("%s%s%.*s.4k%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/",
                           stem, name, ending);
    return kz_asprintf("%.*s.4k%s", (int)(name - input) + stem, input, ending);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The folder that `path` is in, kz_free(); NULL: no memory. */
static char *folder_of(const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    return slash ? kz_asprintf("%.*s", (int)(slash - path) + 1, path) : kz_strdup(".");
}

bool kz_target_is_same(const char *a, const char *b)
{
    const char *a_name, *b_name;
    char *a_folder = folder_of(a, &a_name), *b_folder = folder_of(b, &b_name);
    const bool same = same_file(a, b) || (a_folder && b_folder && strcmp(a_name, b_name) == 0 &&
                                          same_file(a_folder, b_folder));
    kz_free(a_folder);
    kz_free(b_folder);
    return same;
}

int kz_target_check_beside(const char *option, const char *path, const char *output,
                           char *const *inputs, int n_inputs, kz_log *log)
{
    for (int i = 0; i < n_inputs; i++)
        if (kz_target_is_same(path, inputs[i]))
            return kz_fail(log, KZ_ERROR_USAGE, "%s: %s is an input: it is never overwritten",
                           option, path);
    if (output && kz_target_is_same(path, output))
        return kz_fail(log, KZ_ERROR_USAGE, "%s: %s is the output", option, path);
    return 0;
}

static int choose(char **target, const char *input, int n_inputs, const kz_job_options *options,
                  kz_log *log)
{
    const char *output = options->output;
    bool from_pipe = strcmp(input, "-") == 0;
    if (from_pipe && (!output || (strcmp(output, "-") != 0 && is_folder(output))))
        return kz_fail(log, KZ_ERROR_USAGE, "standard input has no name: give --output FILE or -");
    if (output && n_inputs > 1 && (strcmp(output, "-") == 0 || !is_folder(output)))
        return kz_fail(log, KZ_ERROR_USAGE,
                       "--output %s: several inputs need an existing folder, or one ending in /",
                       output);
    if (!output)
        *target = default_name(input, NULL, options);
    else if (strcmp(output, "-") != 0 && is_folder(output))
        *target = default_name(input, output, options);
    else
        *target = kz_strdup(output);
    return *target ? 0 : kz_fail_memory(log, "a file name");
}

int kz_target_of(char **target, const char *input, char *const *inputs, int n_inputs,
                 const kz_job_options *options, kz_log *log)
{
    *target = NULL;
    int error = choose(target, input, n_inputs, options, log);
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
