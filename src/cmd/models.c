#include <stdio.h>
#include <string.h>

#include "cmd/commands.h"
#include "model/registry.h"

static void print_models(const kz_model_info *infos, int count)
{
    printf("%-15s %-13s %-6s %-13s %-10s %s\n", "name", "architecture", "scale", "licence",
           "installed", "file");
    for (int i = 0; i < count; i++)
        printf("%-15s %-13s x%-5d %-13s %-10s %s\n", infos[i].name, infos[i].architecture,
               infos[i].scale, infos[i].licence, infos[i].installed ? "yes" : "no",
               infos[i].embedded ? "inside the program" : infos[i].weights);
}

int kz_cmd_models(int argc, char **argv, const kz_dirs *dirs)
{
    kz_log *log = NULL;
    kz_model_info *infos = NULL;
    int count = 0;
    if (argc > 1) {
        bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
        fprintf(help ? stdout : stderr, "usage: kizuna models\n\nLists the networks that "
                                        "--model can name, and where their weights lie.\n");
        return help ? 0 : 2;
    }
    int error = kz_cmd_open_log(&log);
    if (!error)
        error = kz_registry_list(&infos, &count, dirs->path, dirs->count, log);
    if (!error)
        print_models(infos, count);
    kz_registry_free(&infos, count);
    kz_log_close(&log);
    return kz_exit_code(error);
}
