#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/option.h"
#include "cmd/commands.h"
#include "job/describe.h"
#include "job/store.h"

struct options {
    char *store;
    char *state;
    bool json;
    double older; /* days */
    bool help;
};

#define ROW(name_, letter_, type_, field_, ...)                      \
    {                                                                \
        .name = name_, .letter = letter_, .type = KZ_OPTION_##type_, \
        .offset = offsetof(struct options, field_), __VA_ARGS__      \
    }

/* clang-format off */
static const kz_option rows[] = {
    ROW("json", 0, FLAG, json, .help = "an object a line"),
    ROW("state", 0, STRING, state, .metavar = "NAME",
        .help = "list: queued, running, done, quarantined, cancelled or paused ones"),
    ROW("older", 0, REAL, older, .least = 0, .most = 36500, .metavar = "DAYS", .initial = "0",
        .help = "prune: those that ended so long ago"),
    ROW("store", 0, STRING, store, .metavar = "FILE",
        .help = "where jobs are kept [~/.local/state/kizuna/jobs.db]"),
    ROW("help", 'h', FLAG, help, .help = "this text"),
};
/* clang-format on */

static const kz_option_table table = {rows, sizeof(rows) / sizeof(rows[0])};

static void print_help(void)
{
    printf(
        "usage: kizuna jobs [options] [list]\n"
        "       kizuna jobs [options] show|retry|cancel|pause ID…\n"
        "       kizuna jobs [options] prune\n"
        "\n"
        "The jobs of watched folders. retry queues a job again, whatever became of it; a paused\n"
        "one waits for that. prune forgets jobs that are done or cancelled.\n"
        "\n");
    kz_options_help(table, stdout);
}

/* ---- list ---- */

static int print_json(void *context, const kz_record *record)
{
    char *text = kz_record_json(record);
    (void)context;
    if (!text)
        return KZ_ERROR_MEMORY;
    puts(text);
    kz_free(text);
    return 0;
}

/* A line stays one, whatever a file is called. */
static void print_plain(const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == 127)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
}

static int print_line(void *context, const kz_record *r)
{
    char share[32] = "";
    (void)context;
    if (r->state == KZ_JOB_RUNNING && r->total > 0)
        snprintf(share, sizeof(share), "%3.0f %%", 100.0 * (double)r->frames / (double)r->total);
    else if (r->state == KZ_JOB_DONE)
        snprintf(share, sizeof(share), "100 %%");
    printf("%6" PRId64 "  %-11s %5s  ", r->id, kz_job_state_name(r->state), share);
    print_plain(r->input);
    if (r->error[0] && r->state != KZ_JOB_DONE) {
        printf("  (");
        print_plain(r->error);
        printf(")");
    }
    putchar('\n');
    return 0;
}

static int list(kz_store *store, const struct options *o, kz_log *log)
{
    const int state = o->state ? kz_job_state_parse(o->state) : -1;
    if (o->state && state < 0)
        return kz_fail(log, KZ_ERROR_USAGE,
                       "--state: '%s' is none of queued, running, done, quarantined, cancelled, "
                       "paused",
                       o->state);
    return kz_store_list(store, state, o->json ? print_json : print_line, NULL);
}

/* ---- one job ---- */

static void print_time(const char *name, double seconds)
{
    const time_t when = (time_t)seconds;
    char text[40];
    struct tm parts;
    if (when <= 0)
        return;
    localtime_r(&when, &parts);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
    printf("%-10s %s\n", name, text);
}

static void print_text(const char *name, const char *value)
{
    if (!*value)
        return;
    printf("%-10s ", name);
    print_plain(value);
    putchar('\n');
}

static int show(kz_store *store, int64_t id, const struct options *o)
{
    kz_record r;
    int error = kz_store_get(store, id, &r);
    if (error)
        return error;
    if (o->json) {
        error = print_json(NULL, &r);
    } else {
        printf("%-10s %" PRId64 "\n%-10s %s\n", "job", r.id, "state", kz_job_state_name(r.state));
        print_text("input", r.input);
        print_text("output", r.output);
        print_text("options", r.arguments);
        print_text("error", r.error);
        printf("%-10s %d of %d\n", "failures", r.attempts, r.most_attempts);
        if (r.wait > 0)
            printf("%-10s %.0f s\n", "again in", r.wait);
        print_time("queued", r.created);
        print_time("started", r.started);
        print_time("ended", r.ended);
        printf("%-10s %" PRId64 " of %" PRId64 ", %.1f s of work\n", "frames", r.frames, r.total,
               r.seconds);
    }
    kz_record_free(&r);
    return error;
}

static int parse_id(int64_t *id, const char *text, kz_log *log)
{
    char *end;
    *id = strtoll(text, &end, 10);
    return *text && !*end && *id > 0
               ? 0
               : kz_fail(log, KZ_ERROR_USAGE, "'%s' isn't the number of a job", text);
}

static int each(kz_store *store, const char *verb, char **ids, int count, const struct options *o,
                kz_log *log)
{
    int error = 0;
    if (!count)
        return kz_fail(log, KZ_ERROR_USAGE, "kizuna jobs %s ID…", verb);
    for (int i = 0; i < count && !error; i++) {
        int64_t id;
        error = parse_id(&id, ids[i], log);
        if (!error && strcmp(verb, "show") == 0)
            error = show(store, id, o);
        else if (!error)
            error = kz_store_set(store, id,
                                 strcmp(verb, "retry") == 0   ? KZ_JOB_QUEUED
                                 : strcmp(verb, "pause") == 0 ? KZ_JOB_PAUSED
                                                              : KZ_JOB_CANCELLED);
    }
    return error;
}

static int prune(kz_store *store, const struct options *o)
{
    int64_t count = 0;
    int error = kz_store_prune(store, o->older * 86400, &count);
    if (!error)
        printf("%" PRId64 " jobs forgotten\n", count);
    return error;
}

static int run(const struct options *o, char **words, int count, kz_log *log)
{
    const char *verb = count ? words[0] : "list";
    kz_store *store = NULL;
    if (o->store && access(o->store, F_OK) != 0)
        return kz_fail(log, KZ_ERROR_USAGE, "%s: there is no job store", o->store);
    int error = kz_store_open(&store, o->store, log);
    if (error)
        return error;
    if (strcmp(verb, "list") == 0 && count <= 1)
        error = list(store, o, log);
    else if (strcmp(verb, "show") == 0 || strcmp(verb, "retry") == 0 ||
             strcmp(verb, "cancel") == 0 || strcmp(verb, "pause") == 0)
        error = each(store, verb, words + 1, count - 1, o, log);
    else if (strcmp(verb, "prune") == 0 && count == 1)
        error = prune(store, o);
    else
        error = kz_fail(log, KZ_ERROR_USAGE,
                        "'%s' is none of list, show, retry, cancel, pause, prune: see kizuna jobs "
                        "--help",
                        count > 1 && strcmp(verb, "list") == 0 ? words[1] : verb);
    kz_store_close(&store);
    return error;
}

int kz_cmd_jobs(int argc, char **argv)
{
    struct options options = {0};
    kz_log *log = NULL;
    char **words = kz_alloc((size_t)argc, sizeof(*words));
    int count = 0;
    int error = kz_cmd_open_log(&log);
    if (!error && (!words || kz_options_init(table, &options)))
        error = kz_fail_memory(log, "options");
    if (!error)
        error = kz_options_parse(table, &options, argc, argv, words, &count, log);
    if (!error && options.help)
        print_help();
    else if (!error)
        error = run(&options, words, count, log);
    kz_options_free(table, &options);
    kz_free(words);
    kz_log_close(&log);
    return kz_exit_code(error);
}
