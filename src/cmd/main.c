#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "cmd/commands.h"

static void print_usage(FILE *stream)
{
    fprintf(stream, "kizuna makes a 4K episode of an anime episode.\n"
                    "\n"
                    "usage: kizuna upscale [options] INPUT… [-o FILE|DIR|-]\n"
                    "       kizuna plan [options] INPUT\n"
                    "       kizuna watch [options] IN --output DIR\n"
                    "       kizuna jobs [list|show|retry|cancel|pause|prune] [ID…]\n"
                    "       kizuna verify [options] INPUT OUTPUT\n"
                    "       kizuna models\n"
                    "       kizuna bench [options] [CLIP]\n"
                    "       kizuna --version\n"
                    "       kizuna COMMAND --help\n"
                    "\n"
                    "exit code: 0 done, 1 failed, 2 wrong use, 255 after a signal\n");
}

int kz_cmd_open_log(kz_log **log)
{
    int error = kz_log_open(log, stderr, KZ_LOG_INFO);
    if (error)
        fprintf(stderr, "kizuna: error: out of memory\n");
    return error;
}

bool kz_cmd_take_flag(int *argc, char **argv, const char *name)
{
    bool found = false;
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], name) == 0)
            found = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = *argc > 0 ? kept : 0;
    return found;
}

enum kz_log_level kz_cmd_log_level(const kz_job_options *options)
{
    return options->quiet ? KZ_LOG_WARNING : options->verbose ? KZ_LOG_VERBOSE : KZ_LOG_INFO;
}

int kz_exit_code(int error)
{
    switch (error) {
    case 0:
        return 0;
    case KZ_ERROR_USAGE:
        return 2;
    case KZ_ERROR_CANCELLED:
        return 255;
    default:
        return 1;
    }
}

static int run_command(int argc, char **argv, const kz_dirs *dirs)
{
    const char *name = argv[1];
    if (strcmp(name, "upscale") == 0)
        return kz_cmd_upscale(argc - 1, argv + 1, dirs);
    if (strcmp(name, "plan") == 0)
        return kz_cmd_plan(argc - 1, argv + 1, dirs);
    if (strcmp(name, "verify") == 0)
        return kz_cmd_verify(argc - 1, argv + 1, dirs);
    if (strcmp(name, "watch") == 0)
        return kz_cmd_watch(argc - 1, argv + 1, dirs);
    if (strcmp(name, "jobs") == 0)
        return kz_cmd_jobs(argc - 1, argv + 1);
    if (strcmp(name, "models") == 0)
        return kz_cmd_models(argc - 1, argv + 1, dirs);
    if (strcmp(name, "bench") == 0)
        return kz_cmd_bench(argc - 1, argv + 1, dirs);
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0)
        return kz_cmd_version();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    fprintf(stderr, "kizuna: error: unknown command '%s': see kizuna --help\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    kz_dirs dirs;
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (kz_dirs_open(&dirs)) {
        fprintf(stderr, "kizuna: error: out of memory\n");
        return 1;
    }
    int code = run_command(argc, argv, &dirs);
    kz_dirs_close(&dirs);
    return code;
}
