#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/numa.h"
#include "base/option.h"
#include "base/pool.h"
#include "base/quota.h"
#include "base/reader.h"
#include "base/ring.h"
#include "base/thread.h"
#include "check.h"

/* ---- ring ---- */

static void count_drop(void *item)
{
    ++*(int *)item;
}

static void *push_hundred(void *ring)
{
    static int items[100];
    for (int i = 0; i < 100; i++) {
        items[i] = i;
        if (kz_ring_push(ring, &items[i], 10))
            return NULL;
    }
    kz_ring_finish(ring);
    return NULL;
}

static void ring_keeps_order_and_ends(void)
{
    kz_ring *ring;
    pthread_t writer;
    void *item;
    CHECK(kz_ring_open(&ring, &(kz_ring_params){.max_items = 3, .drop = count_drop}) == 0);
    CHECK(pthread_create(&writer, NULL, push_hundred, ring) == 0);
    for (int i = 0; i < 100; i++) {
        CHECK(kz_ring_pop(ring, &item) == 0);
        CHECK(*(int *)item == i);
    }
    CHECK(kz_ring_pop(ring, &item) == KZ_END);
    CHECK(kz_ring_pop(ring, &item) == KZ_END);
    pthread_join(writer, NULL);
    kz_ring_close(&ring);
    CHECK(!ring);
}

static void *push_two(void *ring)
{
    static int drops[2];
    intptr_t taken = !kz_ring_push(ring, &drops[0], 60);
    taken += !kz_ring_push(ring, &drops[1], 60);
    return (void *)taken;
}

static void ring_is_bounded_in_bytes(void)
{
    kz_ring *ring;
    pthread_t writer;
    void *taken;
    kz_ring_params params = {.max_items = 8, .max_bytes = 100, .drop = count_drop};
    CHECK(kz_ring_open(&ring, &params) == 0);
    CHECK(pthread_create(&writer, NULL, push_two, ring) == 0);
    while (kz_ring_get_stats(ring).items == 0)
        usleep(100);
    usleep(20000);
    CHECK(kz_ring_get_stats(ring).items == 1); /* the second doesn't fit */
    kz_ring_stop(ring);
    pthread_join(writer, &taken);
    CHECK((intptr_t)taken == 1);
    kz_ring_close(&ring);
}

static void ring_passes_an_oversized_item_alone(void)
{
    kz_ring *ring;
    int drops = 0;
    void *item;
    kz_ring_params params = {.max_items = 8, .max_bytes = 100, .drop = count_drop};
    CHECK(kz_ring_open(&ring, &params) == 0);
    CHECK(kz_ring_push(ring, &drops, 1000) == 0);
    CHECK(kz_ring_pop(ring, &item) == 0);
    CHECK(kz_ring_push(ring, &drops, 1000) == 0);
    kz_ring_close(&ring);
    CHECK(drops == 1); /* what nobody took */
}

static void *pop_one(void *ring)
{
    void *item;
    return (void *)(intptr_t)kz_ring_pop(ring, &item);
}

static void ring_stop_wakes_the_reader(void)
{
    kz_ring *ring;
    pthread_t reader;
    void *result;
    CHECK(kz_ring_open(&ring, &(kz_ring_params){.max_items = 1, .drop = count_drop}) == 0);
    CHECK(pthread_create(&reader, NULL, pop_one, ring) == 0);
    usleep(10000);
    kz_ring_stop(ring);
    pthread_join(reader, &result);
    CHECK((intptr_t)result == KZ_CLOSED);
    kz_ring_close(&ring);
    kz_ring_close(&ring);
}

/* ---- pool ---- */

enum { MOST_ITEMS = 1000, MOST_THREADS = 16 };

struct tally {
    atomic_int done[MOST_ITEMS];
    int by[MOST_ITEMS]; /* whom */
    atomic_int busy[MOST_THREADS];
    atomic_bool shared;
    int slow; /* worker, whose items take long; -1: none */
};

static void tally_item(void *context, int worker, int item)
{
    struct tally *t = context;
    if (atomic_fetch_add(&t->busy[worker], 1))
        atomic_store(&t->shared, true);
    if (worker == t->slow)
        usleep(1000);
    t->by[item] = worker;
    atomic_fetch_add(&t->done[item], 1);
    atomic_fetch_sub(&t->busy[worker], 1);
}

static void open_pool(kz_pool **pool, int threads)
{
    const kz_pool_params params = {.threads = threads};
    CHECK(kz_pool_open(pool, &params, NULL) == 0);
    CHECK(kz_pool_threads(*pool) == threads);
}

static void pool_runs_every_item_once(void)
{
    static const int threads[] = {1, 2, 3, 7, 16}, items[] = {0, 1, 2, 3, 15, 16, 17, 100, 1000};
    for (size_t n = 0; n < sizeof(threads) / sizeof(threads[0]); n++) {
        kz_pool *pool;
        struct tally t = {.slow = -1};
        int expected[MOST_ITEMS] = {0};
        open_pool(&pool, threads[n]);
        for (int round = 0; round < 200; round++) {
            int count = items[(size_t)round % (sizeof(items) / sizeof(items[0]))];
            kz_pool_run(pool, count, tally_item, &t);
            for (int i = 0; i < count; i++)
                CHECK(t.done[i] == ++expected[i]);
        }
        CHECK(!t.shared);
        kz_pool_close(&pool);
        CHECK(!pool);
    }
}

/* Workers that wait for each other, each in its first item. Whoever is still awake from the task
 * before may see another's share handed out before its own, and take from that: rarely. */
struct meeting {
    pthread_barrier_t all;
    int share;
    int by[64];
    cpu_set_t cpus[MOST_THREADS];
};

static void meet(void *context, int worker, int item)
{
    struct meeting *m = context;
    if (item % m->share)
        return;
    m->by[item / m->share] = worker;
    pthread_getaffinity_np(pthread_self(), sizeof(m->cpus[worker]), &m->cpus[worker]);
    pthread_barrier_wait(&m->all);
}

static void meet_all(struct meeting *m, kz_pool *pool, int share)
{
    unsigned threads = (unsigned)kz_pool_threads(pool);
    m->share = share;
    pthread_barrier_init(&m->all, NULL, threads);
    kz_pool_run(pool, (int)threads * share, meet, m);
    pthread_barrier_destroy(&m->all);
}

static void pool_gives_each_worker_its_share(void)
{
    for (int threads = 2; threads <= 5; threads++) {
        kz_pool *pool;
        struct meeting m;
        int own[MOST_THREADS] = {0};
        open_pool(&pool, threads);
        for (int round = 0; round < 20; round++) {
            meet_all(&m, pool, 1 + round % 4);
            for (int i = 0; i < threads; i++)
                own[i] += m.by[i] == i;
        }
        for (int i = 0; i < threads; i++)
            CHECK(own[i] > 15);
        kz_pool_close(&pool);
    }
}

static void pool_helps_a_slow_worker(void)
{
    kz_pool *pool;
    struct tally t = {.slow = 1};
    int helped = 0;
    open_pool(&pool, 4);
    for (int round = 0; round < 10; round++) {
        kz_pool_run(pool, 400, tally_item, &t);
        for (int i = 100; i < 200; i++)
            helped += t.by[i] != 1;
    }
    kz_pool_close(&pool);
    CHECK(!t.shared);
    CHECK(helped > 0);
    for (int i = 0; i < 400; i++)
        CHECK(t.done[i] == 10);
}

/* ---- what the system tells ---- */

/* A folder of made files, as Linux has them in /sys and /proc. */
static char tree[] = "/tmp/kizuna-test-XXXXXX";

static void put(const char *path, const char *text)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", tree, path);
    for (char *slash = whole + strlen(tree) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(whole, 0777);
    }
    FILE *file = fopen(whole, "w");
    CHECK(file);
    fputs(text, file);
    CHECK(fclose(file) == 0);
}

static void begin_tree(void)
{
    strcpy(tree + strlen(tree) - 6, "XXXXXX");
    CHECK(mkdtemp(tree));
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void end_tree(void)
{
    CHECK(nftw(tree, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

/* The first two processors that this process may use; the second is -1 where there is only one. */
static void find_cpus(int cpus[2])
{
    cpu_set_t set;
    int n = 0;
    cpus[0] = cpus[1] = -1;
    CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
        if (CPU_ISSET(cpu, &set))
            cpus[n++] = cpu;
}

static void put_nodes(const char *online, const char *lists[], int n)
{
    put("online", online);
    for (int i = 0; i < n; i++) {
        char path[40];
        snprintf(path, sizeof(path), "node%d/cpulist", i);
        if (lists[i])
            put(path, lists[i]);
    }
}

static bool has_nodes(const char *online, const char *lists[], int n)
{
    kz_numa *numa;
    begin_tree();
    put_nodes(online, lists, n);
    CHECK(kz_numa_open(&numa, tree) == 0);
    bool some = numa != NULL;
    kz_numa_close(&numa);
    end_tree();
    return some;
}

static void workers_are_bound_to_nodes(void)
{
    int cpus[2];
    char first[40], second[40];
    const char *lists[] = {first, NULL, "9000\n", second, "\n"}; /* node 2 is offline */
    struct meeting m = {0};
    kz_pool *pool;
    find_cpus(cpus);
    if (cpus[1] < 0)
        return;
    snprintf(first, sizeof(first), "%d,8000-8010\n", cpus[0]);
    snprintf(second, sizeof(second), "%d-%d\n", cpus[1], cpus[1]);
    begin_tree();
    put_nodes("0,3-4\n", lists, 5);
    const kz_pool_params params = {.threads = 4, .memory_nodes = tree};
    CHECK(kz_pool_open(&pool, &params, NULL) == 0);
    meet_all(&m, pool, 1);
    kz_pool_close(&pool);
    end_tree();
    for (int i = 0; i < 4; i++)
        CHECK(CPU_COUNT(&m.cpus[i]) == 1 && CPU_ISSET(cpus[i / 2], &m.cpus[i]));
}

static void workers_of_one_node_are_free(void)
{
    struct meeting m = {0};
    cpu_set_t own;
    int cpus[2];
    char list[40];
    const char *lists[] = {list, "\n"};
    kz_pool *pool;
    find_cpus(cpus);
    snprintf(list, sizeof(list), "%d\n", cpus[0]);
    begin_tree();
    put_nodes("0-1\n", lists, 2); /* the second has memory alone */
    const kz_pool_params params = {.threads = 2, .memory_nodes = tree};
    CHECK(kz_pool_open(&pool, &params, NULL) == 0);
    meet_all(&m, pool, 1);
    kz_pool_close(&pool);
    end_tree();
    CHECK(sched_getaffinity(0, sizeof(own), &own) == 0);
    CHECK(CPU_EQUAL(&m.cpus[0], &own) && CPU_EQUAL(&m.cpus[1], &own));
}

static void nodes_are_read_with_care(void)
{
    static const char *const bad[] = {"0-",  "-1",  "1-0",      "0-9000", "x",
                                      "0;1", ",0",  "0,,1",     "0-1-2",  "99999999999999999999",
                                      "0 1", "0x1", "\xff\xfe", "0-8192", "0-1,5-3"};
    int cpus[2];
    char first[40], second[40];
    const char *lists[2] = {first, second};
    kz_numa *numa;
    find_cpus(cpus);
    if (cpus[1] < 0)
        return;
    snprintf(first, sizeof(first), "%d", cpus[0]);
    snprintf(second, sizeof(second), "%d", cpus[1]);
    CHECK(has_nodes("0-1", lists, 2));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *spoilt[2] = {first, bad[i]};
        if (has_nodes(bad[i], lists, 2) || has_nodes("0-1\n", spoilt, 2))
            check_failed("'%s' was taken", bad[i]);
    }
    lists[1] = first;
    CHECK(!has_nodes("0-1\n", lists, 2)); /* one processor, in both */
    lists[1] = NULL;
    CHECK(!has_nodes("0-1\n", lists, 2));
    CHECK(kz_numa_open(&numa, "/nowhere/at/all") == 0 && !numa);
}

static int quota_with(const char *groups, const char *path, const char *text)
{
    begin_tree();
    put("proc/self/cgroup", groups);
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "50000\n");
    put(path, text);
    int count = kz_cpu_quota(tree);
    end_tree();
    return count;
}

static void quota_of_version_2(void)
{
    static const char *const none[] = {"max 100000\n", "",         "200000",
                                       "200000 0\n",   "nan nan",  "-1 100000",
                                       "x y z",        "inf 1000", "1e300 1e-300"};
    const char *top = "sys/fs/cgroup/cpu.max", *group = "sys/fs/cgroup/a/b/cpu.max";
    CHECK(quota_with("0::/a/b\n", group, "200000 100000\n") == 2);
    CHECK(quota_with("0::/a/b\n", group, "200001 100000\n") == 3);
    CHECK(quota_with("0::/a/b\n", group, "1000 100000\n") == 1);
    CHECK(quota_with("0::/a/b/c/d\n", group, "200000 100000\n") == 2); /* above it */
    CHECK(quota_with("0::/a/b\n", top, "400000 100000\n") == 4);
    CHECK(quota_with("0::/\n", top, "400000 100000\n") == 4);
    CHECK(quota_with("0::/a\n", group, "200000 100000\n") == 0); /* below it */
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (quota_with("0::/a/b\n", group, none[i]))
            check_failed("'%s' is a limit", none[i]);
}

static void quota_of_version_1(void)
{
    const char *top = "sys/fs/cgroup/cpu/cpu.cfs_quota_us";
    const char *group = "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us";
    CHECK(quota_with("4:cpu,cpuacct:/docker/x\n0::/\n", top, "300000\n") == 3);
    CHECK(quota_with("5:memory:/\n4:cpuacct,cpu:/a\n", group, "300000\n") == 6);
    CHECK(quota_with("4:cpu:/\n", top, "-1\n") == 0);
    CHECK(quota_with("4:cpuset:/\n", top, "300000\n") == 0);
    CHECK(quota_with("4:cpu\n::::\n\n:\n", top, "300000\n") == 0);
    CHECK(kz_cpu_quota("/nowhere/at/all") == 0);
}

static void the_strictest_quota_counts(void)
{
    begin_tree();
    put("proc/self/cgroup", "0::/a/b/c\n");
    put("sys/fs/cgroup/a/b/c/cpu.max", "500000 100000\n");
    put("sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
    put("sys/fs/cgroup/a/cpu.max", "400000 100000\n");
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    CHECK(kz_cpu_quota(tree) == 3);
    end_tree();
}

static void processors_are_those_allowed(void)
{
    cpu_set_t own, one;
    int cpus[2];
    CHECK(sched_getaffinity(0, sizeof(own), &own) == 0);
    CHECK(kz_cpu_count() >= 1 && kz_cpu_count() <= CPU_COUNT(&own));
    find_cpus(cpus);
    CPU_ZERO(&one);
    CPU_SET(cpus[0], &one);
    CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
    int count = kz_cpu_count();
    CHECK(sched_setaffinity(0, sizeof(own), &own) == 0);
    CHECK(count == 1);
}

static void pseudo_files_have_no_size(void)
{
    char *text;
    CHECK(kz_pseudo_file_read(&text, "/proc/self/stat", 64 << 10) == 0);
    CHECK(text && strlen(text) > 10);
    kz_free(text);
    CHECK(kz_pseudo_file_read(&text, "/proc/self/stat", 10) == KZ_ERROR_FAILED && !text);
    CHECK(kz_pseudo_file_read(&text, "/", 100) == KZ_ERROR_FAILED && !text);
    CHECK(kz_pseudo_file_read(&text, "/dev/zero", 100) == KZ_ERROR_FAILED && !text);
}

/* ---- reader ---- */

static void reader_stays_inside(void)
{
    const uint8_t bytes[] = {1, 2, 3, 4, 5};
    kz_reader reader = {bytes, sizeof(bytes), 0};
    uint32_t word;
    CHECK(kz_reader_u32(&reader, &word) == 0 && word == 0x04030201);
    CHECK(kz_reader_u32(&reader, &word) == KZ_END);
    CHECK(!kz_reader_take(&reader, SIZE_MAX));
    CHECK(kz_reader_take(&reader, 1) == bytes + 4);
    CHECK(!kz_reader_take(&reader, 1));
}

static void file_read_refuses_what_is_no_file(void)
{
    kz_bytes bytes;
    CHECK(kz_file_read(&bytes, "/", 100, NULL) == KZ_ERROR_FAILED);
    CHECK(kz_file_read(&bytes, "/nowhere/at/all", 100, NULL) == KZ_ERROR_FAILED);
    CHECK(kz_file_read(&bytes, "/proc/self/exe", 100, NULL) == KZ_ERROR_FAILED);
    CHECK(!bytes.data && !bytes.size);
}

static void allocation_refuses_overflow(void)
{
    CHECK(!kz_alloc(SIZE_MAX / 2, 3));
    CHECK(!kz_alloc(SIZE_MAX, 1));
    void *none = kz_alloc(0, 8);
    CHECK(none && (uintptr_t)none % KZ_ALIGNMENT == 0);
    kz_free(none);
}

/* ---- options ---- */

struct values {
    char *name;
    int count, choice;
    double real, time;
    bool flag;
};

#define AT(field) offsetof(struct values, field)
static const kz_option rows[] = {
    {.name = "name", .letter = 'n', .type = KZ_OPTION_STRING, .offset = AT(name), .metavar = "N"},
    {.name = "count",
     .type = KZ_OPTION_INT,
     .offset = AT(count),
     .least = -5,
     .most = 9,
     .initial = "3",
     .metavar = "N"},
    {.name = "choice", .type = KZ_OPTION_CHOICE, .offset = AT(choice), .choices = "aa|b|cc"},
    {.name = "real",
     .type = KZ_OPTION_REAL,
     .offset = AT(real),
     .least = 0,
     .most = 1,
     .metavar = "R"},
    {.name = "time", .type = KZ_OPTION_TIME, .offset = AT(time), .metavar = "T"},
    {.name = "flag", .letter = 'f', .type = KZ_OPTION_FLAG, .offset = AT(flag)},
};
static const kz_option_table table = {rows, 6};

static int parse(struct values *values, int *n_arguments, int argc, char **argv)
{
    char *arguments[16];
    *values = (struct values){0};
    CHECK(kz_options_init(table, values) == 0);
    return kz_options_parse(table, values, argc, argv, arguments, n_arguments, NULL);
}

static void options_take_every_form(void)
{
    char *argv[] = {"x",  "-n",     "a b", "--count=-5", "--choice",
                    "cc", "--real", "0.5", "--time",     "1:02:03.5",
                    "-f", "-",      "--",  "--count",    NULL};
    struct values v;
    int n;
    CHECK(parse(&v, &n, 14, argv) == 0);
    CHECK(strcmp(v.name, "a b") == 0 && v.count == -5 && v.choice == 2 && v.flag);
    CHECK_NEAR(v.real, 0.5, 0);
    CHECK_NEAR(v.time, 3723.5, 0);
    CHECK(n == 2);
    kz_options_free(table, &v);
    CHECK(!v.name && !v.count);
}

static void options_refuse_nonsense(void)
{
    static char *const bad[] = {"--count=10",   "--count=1.5", "--count=",
                                "--count=1e99", "--choice=a",  "--choice=aa|b",
                                "--real=nan",   "--time=-1",   "--time=1:2:3:4",
                                "--time=",      "--time=1:",   "--flag=maybe",
                                "--unknown",    "-z",          "--name"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *argv[] = {"x", bad[i], NULL};
        struct values v;
        int n, error = parse(&v, &n, 2, argv);
        kz_options_free(table, &v);
        if (error != KZ_ERROR_USAGE)
            check_failed("%s was taken", bad[i]);
    }
}

static void cpu_levels_have_names(void)
{
    for (int level = KZ_CPU_BASELINE; level <= KZ_CPU_AMX; level++)
        CHECK(kz_cpu_level_parse(kz_cpu_level_name((enum kz_cpu_level)level)) == level);
    CHECK(kz_cpu_level_parse("z80") == -1);
    CHECK(kz_cpu_detect() <= KZ_CPU_AMX);
}

static const struct check_case cases[] = {
    {"ring keeps order and ends", ring_keeps_order_and_ends},
    {"ring is bounded in bytes", ring_is_bounded_in_bytes},
    {"ring passes an oversized item alone", ring_passes_an_oversized_item_alone},
    {"ring stop wakes the reader", ring_stop_wakes_the_reader},
    {"pool runs every item once", pool_runs_every_item_once},
    {"pool gives each worker its share", pool_gives_each_worker_its_share},
    {"pool helps a slow worker", pool_helps_a_slow_worker},
    {"workers are bound to memory nodes", workers_are_bound_to_nodes},
    {"workers of one memory node are free", workers_of_one_node_are_free},
    {"memory nodes are read with care", nodes_are_read_with_care},
    {"quota of version 2", quota_of_version_2},
    {"quota of version 1", quota_of_version_1},
    {"the strictest quota counts", the_strictest_quota_counts},
    {"processors are those allowed", processors_are_those_allowed},
    {"pseudo-files have no size", pseudo_files_have_no_size},
    {"reader stays inside", reader_stays_inside},
    {"file read refuses what is no file", file_read_refuses_what_is_no_file},
    {"allocation refuses overflow", allocation_refuses_overflow},
    {"options take every form", options_take_every_form},
    {"options refuse nonsense", options_refuse_nonsense},
    {"cpu levels have names", cpu_levels_have_names},
};

CHECK_MAIN(cases)
