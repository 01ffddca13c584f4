#include "base/numa.h"

#include <ctype.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/reader.h"

/* What Linux can have at most. */
enum { MOST_CPUS = 8192, MOST_TEXT = 64 << 10 };

struct set {
    cpu_set_t part[MOST_CPUS / CPU_SETSIZE];
};

struct kz_numa {
    int n_nodes, n_cpus;
    struct set nodes[]; /* no processor is in two */
};

static int count_of(const struct set *set)
{
    return CPU_COUNT_S(sizeof(*set), set->part);
}

/* A number of the list; -1: there is none. */
static long read_number(const char **text)
{
    char *end;
    if (!isdigit((unsigned char)**text))
        return -1;
    long number = strtol(*text, &end, 10);
    *text = end;
    return number;
}

/* "0-3,8,10-11"; nothing at all is an empty set. */
static bool parse(struct set *set, const char *text)
{
    *set = (struct set){0};
    while (*text && *text != '\n') {
        long first = read_number(&text), last = first;
        if (*text == '-') {
            text++;
            last = read_number(&text);
        }
        if (first < 0 || last < first || last >= MOST_CPUS)
            return false;
        for (long i = first; i <= last; i++)
            CPU_SET_S((size_t)i, sizeof(*set), set->part);
        if (*text == ',')
            text++;
        else if (*text && *text != '\n')
            return false;
    }
    return true;
}

/* 0, KZ_ERROR_MEMORY, or KZ_ERROR_FAILED where the file is missing or holds no list. */
static int read_list(struct set *set, char *path)
{
    char *text = NULL;
    if (!path)
        return KZ_ERROR_MEMORY;
    int error = kz_pseudo_file_read(&text, path, MOST_TEXT);
    if (!error && !parse(set, text))
        error = KZ_ERROR_FAILED;
    kz_free(text);
    kz_free(path);
    return error;
}

/* Takes the node's processors out of those that are free. */
static int read_node(kz_numa *numa, const char *folder, int id, struct set *free_cpus)
{
    struct set *node = &numa->nodes[numa->n_nodes];
    int error = read_list(node, kz_asprintf("%s/node%d/cpulist", folder, id));
    if (error)
        return error;
    CPU_AND_S(sizeof(*node), node->part, node->part, free_cpus->part);
    CPU_XOR_S(sizeof(*node), free_cpus->part, free_cpus->part, node->part);
    numa->n_nodes += count_of(node) > 0;
    numa->n_cpus += count_of(node);
    return 0;
}

static int read_nodes(kz_numa *numa, const char *folder, const struct set *ids)
{
    struct set allowed;
    int error = 0;
    if (sched_getaffinity(0, sizeof(allowed), allowed.part))
        return KZ_ERROR_FAILED;
    for (int id = 0; id < MOST_CPUS && !error; id++)
        if (CPU_ISSET_S((size_t)id, sizeof(*ids), ids->part))
            error = read_node(numa, folder, id, &allowed);
    return error;
}

int kz_numa_open(kz_numa **numa, const char *folder)
{
    struct set ids;
    *numa = NULL;
    folder = folder ? folder : "/sys/devices/system/node";
    int error = read_list(&ids, kz_asprintf("%s/online", folder));
    if (!error && count_of(&ids) > 1) {
        size_t bytes = sizeof(**numa) + (size_t)count_of(&ids) * sizeof(struct set);
        *numa = kz_alloc(bytes, 1);
        error = *numa ? read_nodes(*numa, folder, &ids) : KZ_ERROR_MEMORY;
    }
    if (error || (*numa && (*numa)->n_nodes < 2))
        kz_numa_close(numa);
    return error == KZ_ERROR_MEMORY ? error : 0;
}

void kz_numa_close(kz_numa **numa)
{
    kz_free(*numa);
    *numa = NULL;
}

void kz_numa_bind(const kz_numa *numa, pthread_t thread, int worker, int workers)
{
    int cpu = (int)((long)numa->n_cpus * worker / workers), node = 0;
    while (cpu >= count_of(&numa->nodes[node]))
        cpu -= count_of(&numa->nodes[node++]);
    pthread_setaffinity_np(thread, sizeof(struct set), numa->nodes[node].part);
}
