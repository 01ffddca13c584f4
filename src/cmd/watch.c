#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/commands.h"
#include "cmd/stop.h"
#include "job/options.h"
#include "job/place.h"
#include "job/watch.h"

struct options {
    char *output;
    bool recursive;
    int jobs;
    char *after;
    bool verified;
    double settle, rescan, backoff;
    int retries;
    char *schedule;
    int nice;
    char *on_done, *on_fail;
    char *store, *metrics;
    int log_format; /* text, json */
    bool help;
};

#define ROW(name_, letter_, type_, field_, ...)                      \
    {                                                                \
        .name = name_, .letter = letter_, .type = KZ_OPTION_##type_, \
        .offset = offsetof(struct options, field_), __VA_ARGS__      \
    }

/* clang-format off */
static const kz_option rows[] = {
    ROW("output", 'o', STRING, output, .metavar = "DIR",
        .help = "where results go, with the sub-folders and names of their originals"),
    ROW("recursive", 'r', FLAG, recursive, .help = "sub-folders too"),
    ROW("jobs", 0, INT, jobs, .least = 1, .most = 64, .metavar = "N", .initial = "1",
        .help = "so many at a time"),
    ROW("after", 0, STRING, after, .metavar = "keep|move DIR|delete", .initial = "keep",
        .help = "what becomes of an original when its result is finished and verified"),
    ROW("verified", 0, FLAG, verified,
        .help = "with --after delete: after a second verification, from the files alone"),
    ROW("settle", 0, REAL, settle, .least = 0, .most = 86400, .metavar = "SECONDS", .initial = "5",
        .help = "a file is taken when it has stayed the same for so long and nobody\n"
                "writes to it"),
    ROW("rescan", 0, REAL, rescan, .least = 1, .most = 86400, .metavar = "SECONDS", .initial = "60",
        .help = "look through the folder so often, whatever the system tells"),
    ROW("retries", 0, INT, retries, .least = 0, .most = 100, .metavar = "N", .initial = "2",
        .help = "try a failed file so often again; then it is in quarantine"),
    ROW("backoff", 0, REAL, backoff, .least = 0, .most = 21600, .metavar = "SECONDS",
        .initial = "60", .help = "before the first of them; before each further one twice as long"),
    ROW("schedule", 0, STRING, schedule, .metavar = "HH:MM-HH:MM",
        .help = "work in these hours only; several with commas"),
    ROW("nice", 0, INT, nice, .least = 0, .most = 19, .metavar = "N", .initial = "0",
        .help = "leave the processors to others: nice(1) of the work"),
    ROW("on-done", 0, STRING, on_done, .metavar = "COMMAND",
        .help = "run by the shell after each finished job, which is its standard input, as JSON"),
    ROW("on-fail", 0, STRING, on_fail, .metavar = "COMMAND", .help = "the same after a job that is given up"),
    ROW("store", 0, STRING, store, .metavar = "FILE",
        .help = "where jobs are kept [~/.local/state/kizuna/jobs.db]"),
    ROW("metrics", 0, STRING, metrics, .metavar = "FILE",
        .help = "counts for Prometheus, written anew every 15 seconds"),
    ROW("log-format", 0, CHOICE, log_format, .choices = "text|json", .initial = "text",
        .help = "how a line about each event looks"),
    ROW("help", 'h', FLAG, help, .help = "this text"),
};
/* clang-format on */

static const kz_option_table table = {rows, sizeof(rows) / sizeof(rows[0])};

static void print_help(void)
{
    printf(
        "usage: kizuna watch [options] IN --output DIR [options of kizuna upscale]\n"
        "\n"
        "Upscales every video that comes into the folder IN. Originals aren't touched, results\n"
        "are verified, nothing is done twice, and what was interrupted goes on. A kizuna.json in\n"
        "a folder sets options for it. The jobs: kizuna jobs.\n"
        "\n");
    kz_options_help(table, stdout);
}

/* ---- two commands' options on one line ---- */

struct words {
    char **own; /* for this command's table; the first is its name */
    int n_own;
    char **jobs; /* for the other's; so too */
    int n_jobs;
    char *after; /* "move DIR" as one word; NULL: it isn't there */
};

/* The row that a word names: "--name", "--name=value", "-name", "-l". */
static const kz_option *row_of(kz_option_table rows_of, const char *word)
{
    if (word[0] != '-' || !word[1])
        return NULL;
    const char *name = word + 1 + (word[1] == '-');
    const size_t length = strcspn(name, "=");
    if (word[1] != '-' && length == 1)
        for (int i = 0; i < rows_of.count; i++)
            if (rows_of.options[i].letter == name[0])
                return &rows_of.options[i];
    return kz_option_find(rows_of, name, length);
}

/* Options of `kizuna upscale` go to the jobs, all else stays here. "--after move DIR" is one
 * option. */
static void split(struct words *w, int argc, char **argv)
{
    w->own[w->n_own++] = w->jobs[w->n_jobs++] = argv[0];
    for (int i = 1; i < argc; i++) {
        const kz_option *own = row_of(table, argv[i]);
        const kz_option *job = own ? NULL : row_of(kz_job_option_table(), argv[i]);
        const kz_option *row = own ? own : job;
        const bool value =
            row && row->type != KZ_OPTION_FLAG && !strchr(argv[i], '=') && i + 1 < argc;
        char **to = job ? w->jobs : w->own;
        int *n = job ? &w->n_jobs : &w->n_own;
        to[(*n)++] = argv[i];
        if (value)
            to[(*n)++] = argv[++i];
        if (value && own && strcmp(own->name, "after") == 0 && strcmp(argv[i], "move") == 0 &&
            i + 1 < argc) {
            kz_free(w->after);
            w->after = kz_asprintf("move:%s", argv[++i]);
            to[*n - 1] = w->after ? w->after : argv[i];
        }
    }
}

/* The options that jobs get, as they were written, each as one word. */
static char *write_words(char **words, int count)
{
    cJSON *list = cJSON_CreateArray();
    bool whole = list != NULL;
    for (int i = 1; i < count && whole; i++) {
        const kz_option *row = row_of(kz_job_option_table(), words[i]);
        const bool value = row && row->type != KZ_OPTION_FLAG && !strchr(words[i], '=');
        const char *equals = strchr(words[i], '=');
        char *text = NULL;
        if (row && value && i + 1 < count)
            text = kz_asprintf("--%s=%s", row->name, words[++i]);
        else if (row)
            text = kz_asprintf("--%s%s", row->name, equals ? equals : "");
        cJSON *word = text ? cJSON_CreateString(text) : NULL;
        kz_free(text);
        whole = word && cJSON_AddItemToArray(list, word);
    }
    char *text = whole ? cJSON_PrintUnformatted(list) : NULL;
    char *copy = text ? kz_strdup(text) : NULL;
    cJSON_free(text);
    cJSON_Delete(list);
    return copy;
}

/* Options of a run that a person sees to. */
static int check_meaning(const kz_job_options *o, kz_log *log)
{
    if (o->no_resume || o->restart)
        return kz_fail(log, KZ_ERROR_USAGE, "--%s: a watched folder's jobs always resume",
                       o->no_resume ? "no-resume" : "restart");
    if (o->keep_existing)
        return kz_fail(log, KZ_ERROR_USAGE,
                       "--no-overwrite: what a watched folder's job replaces is its own");
    if (o->reuse_map)
        return kz_fail(log, KZ_ERROR_USAGE, "--reuse-map: one file can't be of a watched folder");
    if (strcmp(o->progress, "auto") != 0)
        return kz_fail(log, KZ_ERROR_USAGE,
                       "--progress: a watched folder's jobs tell it to kizuna jobs");
    return 0;
}

/* What jobs are given has to be right before the first of them fails by it. */
static int check_jobs(struct words *w, const kz_dirs *dirs, char **ending, kz_log *log)
{
    kz_job_options options = {0};
    int n = 0;
    char **rest = kz_alloc((size_t)w->n_jobs + 1, sizeof(*rest));
    int error = rest ? kz_job_options_parse(&options, w->n_jobs, w->jobs, rest, &n, dirs->path,
                                            dirs->count, log)
                     : kz_fail_memory(log, "options");
    if (!error)
        error = check_meaning(&options, log);
    if (!error) {
        *ending = kz_asprintf(".%s", options.format && strcmp(options.format, "matroska") != 0
                                         ? options.format
                                         : "mkv");
        if (!*ending)
            error = kz_fail_memory(log, "options");
    }
    kz_free(rest);
    kz_options_free(kz_job_option_table(), &options);
    return error;
}

/* ---- folders ---- */

/* The absolute path of a folder, which is made if it isn't there and may be. */
static int open_folder(char **path, const char *name, bool make, kz_log *log)
{
    struct stat st;
    char *inside = kz_asprintf("%s/", name);
    if (!inside)
        return kz_fail_memory(log, name);
    const int code = make ? kz_place_folders(inside) : 0;
    kz_free(inside);
    *path = code ? NULL : realpath(name, NULL);
    if (!*path || stat(*path, &st) != 0)
        return kz_fail(log, KZ_ERROR_USAGE, "%s: %s", name, strerror(code ? code : errno));
    if (!S_ISDIR(st.st_mode))
        return kz_fail(log, KZ_ERROR_USAGE, "%s: isn't a folder", name);
    return 0;
}

struct watch {
    struct options *options;
    char *root, *output, *moved_to; /* free() */
    char *arguments, *ending;
    char program[4096];
    atomic_bool flag;
    kz_stop *stop;
    kz_schedule schedule;
    kz_events events;
    kz_log *log;
};

static int open_folders(struct watch *w, const char *root)
{
    const struct options *o = w->options;
    int error = open_folder(&w->root, root, false, w->log);
    if (!error && !o->output)
        error = kz_fail(w->log, KZ_ERROR_USAGE, "--output: where shall the results go?");
    if (!error)
        error = open_folder(&w->output, o->output, true, w->log);
    if (!error && strcmp(w->root, w->output) == 0)
        error =
            kz_fail(w->log, KZ_ERROR_USAGE,
                    "--output: %s is the watched folder: results need one of their own", o->output);
    if (!error && strncmp(o->after, "move:", 5) == 0)
        error = open_folder(&w->moved_to, o->after + 5, true, w->log);
    return error;
}

static int parse_after(enum kz_after *after, const struct options *o, kz_log *log)
{
    *after = KZ_AFTER_KEEP;
    if (strncmp(o->after, "move:", 5) == 0 && o->after[5])
        *after = KZ_AFTER_MOVE;
    else if (strcmp(o->after, "delete") == 0 && o->verified)
        *after = KZ_AFTER_DELETE;
    else if (strcmp(o->after, "delete") == 0)
        return kz_fail(log, KZ_ERROR_USAGE, "--after delete wants --verified with it");
    else if (strcmp(o->after, "keep") != 0)
        return kz_fail(log, KZ_ERROR_USAGE, "--after: '%s' is none of keep, move DIR, delete",
                       o->after);
    return 0;
}

static int find_program(struct watch *w)
{
    const ssize_t length = readlink("/proc/self/exe", w->program, sizeof(w->program) - 1);
    if (length <= 0)
        return kz_fail(w->log, KZ_ERROR_FAILED, "/proc/self/exe: %s", strerror(errno));
    w->program[length] = '\0';
    return 0;
}

static int run_watch(struct watch *w, enum kz_after after)
{
    const struct options *o = w->options;
    const kz_watch_params params = {.scan = {.root = w->root,
                                             .output = w->output,
                                             .moved_to = w->moved_to,
                                             .recursive = o->recursive,
                                             .settle = o->settle,
                                             .arguments = w->arguments,
                                             .ending = w->ending,
                                             .most_attempts = o->retries + 1,
                                             .events = &w->events,
                                             .log = w->log},
                                    .worker = {.program = w->program,
                                               .store = o->store,
                                               .nice = o->nice,
                                               .after = after,
                                               .root = w->root,
                                               .moved_to = w->moved_to,
                                               .on_done = o->on_done,
                                               .on_fail = o->on_fail,
                                               .backoff = o->backoff,
                                               .schedule = &w->schedule,
                                               .stop = &w->flag,
                                               .stop_fd = kz_stop_end_fd(w->stop),
                                               .events = &w->events,
                                               .log = w->log},
                                    .workers = o->jobs,
                                    .rescan = o->rescan,
                                    .metrics = o->metrics,
                                    .reload_fd = kz_stop_reload_fd(w->stop)};
    kz_event(&w->events, "watching", NULL, w->root);
    int error = kz_watch_run(&params);
    kz_event(&w->events, "stopped", NULL, w->root);
    return error;
}

static int watch(struct options *o, struct words *words, char **rest, int n_rest,
                 const kz_dirs *dirs, kz_log *log)
{
    struct watch w = {.options = o, .log = log, .events = {stderr, o->log_format == 1}};
    enum kz_after after;
    if (n_rest != 1)
        return kz_fail(log, KZ_ERROR_USAGE, "kizuna watch [options] IN --output DIR");
    int error = parse_after(&after, o, log);
    if (!error && o->schedule)
        error = kz_schedule_parse(&w.schedule, o->schedule, log);
    if (!error)
        error = check_jobs(words, dirs, &w.ending, log);
    if (!error && !(w.arguments = write_words(words->jobs, words->n_jobs)))
        error = kz_fail_memory(log, "options");
    if (!error)
        error = open_folders(&w, rest[0]);
    if (!error)
        error = find_program(&w);
    if (!error)
        error = kz_stop_open(&w.stop, &w.flag, log);
    if (!error)
        error = run_watch(&w, after);
    kz_stop_close(&w.stop);
    free(w.root);
    free(w.output);
    free(w.moved_to);
    kz_free(w.arguments);
    kz_free(w.ending);
    return error;
}

int kz_cmd_watch(int argc, char **argv, const kz_dirs *dirs)
{
    struct options options = {0};
    struct words words = {.own = kz_alloc((size_t)argc + 1, sizeof(char *)),
                          .jobs = kz_alloc((size_t)argc + 1, sizeof(char *))};
    char **rest = kz_alloc((size_t)argc + 1, sizeof(*rest));
    kz_log *log = NULL;
    int n_rest = 0;
    int error = kz_cmd_open_log(&log);
    if (!error && (!words.own || !words.jobs || !rest || kz_options_init(table, &options)))
        error = kz_fail_memory(log, "options");
    if (!error) {
        split(&words, argc, argv);
        error = kz_options_parse(table, &options, words.n_own, words.own, rest, &n_rest, log);
    }
    if (!error && options.help)
        print_help();
    else if (!error)
        error = watch(&options, &words, rest, n_rest, dirs, log);
    kz_options_free(table, &options);
    kz_free(words.own);
    kz_free(words.jobs);
    kz_free(words.after);
    kz_free(rest);
    kz_log_close(&log);
    return kz_exit_code(error);
}
