#include "job/store_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum { SCHEMA = 1, BUSY_MS = 20000 };

/* ---- names ---- */

static const char *const states[] = {"queued",      "running",   "done",
                                     "quarantined", "cancelled", "paused"};

const char *kz_job_state_name(enum kz_job_state state)
{
    return states[state];
}

int kz_job_state_parse(const char *name)
{
    for (int i = 0; i < KZ_JOB_STATES; i++)
        if (strcmp(states[i], name) == 0)
            return i;
    return -1;
}

/* When the process began, in the kernel's ticks; 0: there is none. A number is given again to
 * another process, but not with the same beginning. */
static unsigned long long begin_of(long pid)
{
    char path[40], text[1024];
    unsigned long long ticks = 0;
    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    const size_t size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size] = '\0';
    /* The name in parentheses may hold anything. */
    const char *at = strrchr(text, ')');
    if (at)
        (void)!sscanf(at + 1,
                      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                      "%*d %*d %llu",
                      &ticks);
    return ticks;
}

/* Numbers of processes mean something within one of these only. */
static unsigned long long pid_namespace(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

const char *kz_worker_name(char *name, size_t size, int thread)
{
    const long pid = getpid();
    snprintf(name, size, "%ld.%llu.%d.%llu", pid, begin_of(pid), thread, pid_namespace());
    return name;
}

bool kz_worker_lives(const char *worker)
{
    long pid = 0;
    unsigned long long begin = 0, space = 0;
    const int found = sscanf(worker, "%ld.%llu.%*d.%llu", &pid, &begin, &space);
    /* Of a process that can't be seen from here its lease alone tells. */
    if (found == 3 && space != pid_namespace())
        return true;
    return found >= 2 && pid > 0 && begin_of(pid) == begin;
}

double kz_since_boot(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- SQLite ---- */

static int failed(const kz_store *s)
{
    if (sqlite3_errcode(s->db) == SQLITE_NOMEM)
        return kz_fail_memory(s->log, s->path);
    return kz_fail(s->log, KZ_ERROR_FAILED, "%s: %s", s->path, sqlite3_errmsg(s->db));
}

static int run_sql(const kz_store *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(s);
}

static sqlite3_stmt *prepare(const kz_store *s, const char *sql, const char *kinds, va_list values)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL);
    for (int i = 0; code == SQLITE_OK && kinds[i]; i++) {
        if (kinds[i] == 'i')
            code = sqlite3_bind_int64(statement, i + 1, va_arg(values, int64_t));
        else if (kinds[i] == 'd')
            code = sqlite3_bind_double(statement, i + 1, va_arg(values, double));
        else
            code = sqlite3_bind_text(statement, i + 1, va_arg(values, const char *), -1,
                                     SQLITE_TRANSIENT);
    }
    if (code == SQLITE_OK)
        return statement;
    (void)failed(s);
    sqlite3_finalize(statement);
    return NULL;
}

sqlite3_stmt *kz_store_query(const kz_store *s, const char *sql, const char *kinds, ...)
{
    va_list values;
    va_start(values, kinds);
    sqlite3_stmt *statement = prepare(s, sql, kinds, values);
    va_end(values);
    return statement;
}

int kz_store_change(const kz_store *s, const char *sql, const char *kinds, ...)
{
    va_list values;
    va_start(values, kinds);
    sqlite3_stmt *statement = prepare(s, sql, kinds, values);
    va_end(values);
    if (!statement)
        return KZ_ERROR_FAILED;
    const int code = sqlite3_step(statement);
    const int error = code == SQLITE_DONE || code == SQLITE_ROW ? 0 : failed(s);
    sqlite3_finalize(statement);
    return error;
}

int kz_store_row(const kz_store *s, sqlite3_stmt *statement)
{
    const int code = sqlite3_step(statement);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? KZ_END : failed(s);
}

static int begin(const kz_store *s)
{
    return run_sql(s, "BEGIN IMMEDIATE");
}

/* Commits after success, else takes everything back. */
static int end(const kz_store *s, int error)
{
    if (!error || error == KZ_END) {
        const int code = run_sql(s, "COMMIT");
        if (!code)
            return error;
        error = code;
    }
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return error;
}

/* ---- open ---- */

static char *default_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state)
        return kz_asprintf("%s/kizuna/jobs.db", state);
    return kz_asprintf("%s/.local/state/kizuna/jobs.db", home && *home ? home : ".");
}

static void make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)!mkdir(path, 0777);
        *slash = '/';
    }
}

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS jobs ("
    " id INTEGER PRIMARY KEY, input TEXT NOT NULL, output TEXT NOT NULL,"
    " content TEXT NOT NULL, arguments TEXT NOT NULL, state INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL DEFAULT 0, most_attempts INTEGER NOT NULL,"
    " losses INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',"
    " worker TEXT NOT NULL DEFAULT '', boot TEXT NOT NULL DEFAULT '',"
    " lease REAL NOT NULL DEFAULT 0," /* until then it is held, or waits */
    " created REAL NOT NULL, started REAL NOT NULL DEFAULT 0, ended REAL NOT NULL DEFAULT 0,"
    " seconds REAL NOT NULL DEFAULT 0, frames INTEGER NOT NULL DEFAULT 0,"
    " total INTEGER NOT NULL DEFAULT 0, fps REAL NOT NULL DEFAULT 0,"
    " bytes INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE (input, output));"
    "CREATE TABLE IF NOT EXISTS files ("
    " path TEXT PRIMARY KEY, size INTEGER NOT NULL, time INTEGER NOT NULL, number INTEGER NOT NULL,"
    " boot TEXT NOT NULL, seen REAL NOT NULL, taken INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS jobs_state ON jobs (state, id);"
    "CREATE INDEX IF NOT EXISTS jobs_content ON jobs (content, arguments);"
    "CREATE INDEX IF NOT EXISTS jobs_output ON jobs (output);"
    "PRAGMA user_version = 1;";

static int check_schema(const kz_store *s)
{
    sqlite3_stmt *statement = kz_store_query(s, "PRAGMA user_version", "");
    int error = statement ? kz_store_row(s, statement) : KZ_ERROR_FAILED;
    const int version = error ? 0 : sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    if (!error && version > SCHEMA)
        return kz_fail(s->log, KZ_ERROR_FAILED, "%s: was made by a later version of kizuna",
                       s->path);
    if (error || version == SCHEMA)
        return error;
    error = begin(s);
    return error ? error : end(s, run_sql(s, schema));
}

static void read_boot(char boot[KZ_BOOT_SIZE])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    boot[0] = '\0';
    if (!file)
        return;
    if (fgets(boot, KZ_BOOT_SIZE, file))
        boot[strcspn(boot, "\n")] = '\0';
    fclose(file);
}

int kz_store_open(kz_store **store, const char *path, kz_log *log)
{
    kz_store *s = *store = kz_alloc(1, sizeof(*s));
    if (!s)
        return kz_fail_memory(log, "the job store");
    s->log = log;
    s->path = path ? kz_strdup(path) : default_path();
    int error = s->path ? 0 : kz_fail_memory(log, "the job store");
    if (!error)
        make_folders(s->path);
    read_boot(s->boot);
    if (!error && sqlite3_open(s->path, &s->db) != SQLITE_OK)
        error = failed(s);
    if (!error) {
        sqlite3_busy_timeout(s->db, BUSY_MS);
        error = run_sql(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    }
    if (!error)
        error = check_schema(s);
    if (error)
        kz_store_close(store);
    return error;
}

void kz_store_close(kz_store **store)
{
    if (!*store)
        return;
    sqlite3_close((*store)->db);
    kz_free((*store)->path);
    kz_free(*store);
    *store = NULL;
}

/* ---- records ---- */

#define COLUMNS                                                                              \
    "id, input, output, content, arguments, state, attempts, most_attempts, losses, error, " \
    "worker, "                                                                               \
    "created, started, ended, seconds, boot, lease, frames, total, fps, bytes"

void kz_record_free(kz_record *record)
{
    kz_free(record->input);
    kz_free(record->output);
    kz_free(record->content);
    kz_free(record->arguments);
    kz_free(record->error);
    kz_free(record->worker);
    *record = (kz_record){0};
}

static char *text_of(sqlite3_stmt *row, int column)
{
    const unsigned char *text = sqlite3_column_text(row, column);
    return kz_strdup(text ? (const char *)text : "");
}

static int read_record(const kz_store *s, sqlite3_stmt *row, kz_record *r)
{
    const char *boot = (const char *)sqlite3_column_text(row, 15);
    const int state = sqlite3_column_int(row, 5);
    *r = (kz_record){.id = sqlite3_column_int64(row, 0),
                     .input = text_of(row, 1),
                     .output = text_of(row, 2),
                     .content = text_of(row, 3),
                     .arguments = text_of(row, 4),
                     .state = state >= 0 && state < KZ_JOB_STATES ? (enum kz_job_state)state
                                                                  : KZ_JOB_QUARANTINED,
                     .attempts = sqlite3_column_int(row, 6),
                     .most_attempts = sqlite3_column_int(row, 7),
                     .losses = sqlite3_column_int(row, 8),
                     .error = text_of(row, 9),
                     .worker = text_of(row, 10),
                     .created = sqlite3_column_double(row, 11),
                     .started = sqlite3_column_double(row, 12),
                     .ended = sqlite3_column_double(row, 13),
                     .seconds = sqlite3_column_double(row, 14),
                     .frames = sqlite3_column_int64(row, 17),
                     .total = sqlite3_column_int64(row, 18),
                     .fps = sqlite3_column_double(row, 19),
                     .bytes = sqlite3_column_int64(row, 20)};
    if (r->state == KZ_JOB_QUEUED && boot && strcmp(boot, s->boot) == 0) {
        const double wait = sqlite3_column_double(row, 16) - kz_since_boot();
        r->wait = wait > 0 ? wait : 0;
    }
    if (r->input && r->output && r->content && r->arguments && r->error && r->worker)
        return 0;
    kz_record_free(r);
    return kz_fail_memory(s->log, "a job");
}

/* Reads the one row of a query; takes the statement. */
static int read_one(const kz_store *s, sqlite3_stmt *statement, kz_record *record)
{
    int error = statement ? kz_store_row(s, statement) : KZ_ERROR_FAILED;
    if (!error)
        error = read_record(s, statement, record);
    sqlite3_finalize(statement);
    return error;
}

/* ---- the queue ---- */

static int add_locked(kz_store *s, const kz_request *r, int64_t *id, bool *fresh)
{
    kz_record old = {0};
    int error =
        read_one(s,
                 kz_store_query(s, "SELECT " COLUMNS " FROM jobs WHERE input = ? AND output = ?",
                                "tt", r->input, r->output),
                 &old);
    *fresh = error == KZ_END;
    *id = old.id;
    if (error == KZ_END) {
        error = kz_store_change(
            s,
            "INSERT INTO jobs (input, output, content, arguments, state, most_attempts, "
            "created) VALUES (?, ?, ?, ?, ?, ?, ?)",
            "ttttiid", r->input, r->output, r->content, r->arguments, (int64_t)KZ_JOB_QUEUED,
            (int64_t)r->most_attempts, clock_now());
        *id = sqlite3_last_insert_rowid(s->db);
    } else if (!error &&
               (strcmp(old.content, r->content) != 0 || strcmp(old.arguments, r->arguments) != 0)) {
        *fresh = true;
        error = kz_store_change(
            s,
            "UPDATE jobs SET content = ?, arguments = ?, state = ?, attempts = 0, "
            "losses = 0, most_attempts = ?, error = '', worker = '', boot = '', lease = "
            "0, created = ?, started = 0, ended = 0, frames = 0, total = 0, bytes = 0 "
            "WHERE id = ?",
            "ttiidi", r->content, r->arguments, (int64_t)KZ_JOB_QUEUED, (int64_t)r->most_attempts,
            clock_now(), old.id);
    }
    kz_record_free(&old);
    return error;
}

int kz_store_add(kz_store *s, const kz_request *request, int64_t *id, bool *fresh)
{
    int error = begin(s);
    return error ? error : end(s, add_locked(s, request, id, fresh));
}

/* The worker has died, of whatever: the job is free again, but not for ever. */
static int free_lost(kz_store *s, int64_t id, int losses)
{
    if (losses >= KZ_MOST_LOSSES)
        return kz_store_change(
            s,
            "UPDATE jobs SET state = ?, worker = '', error = 'its worker died again and "
            "again', ended = ? WHERE id = ?",
            "idi", (int64_t)KZ_JOB_QUARANTINED, clock_now(), id);
    return kz_store_change(
        s,
        "UPDATE jobs SET state = ?, worker = '', boot = '', lease = 0, losses = losses + "
        "1 WHERE id = ?",
        "ii", (int64_t)KZ_JOB_QUEUED, id);
}

/* Frees at most one job of a dead worker; KZ_END: there is none. */
static int free_one(kz_store *s)
{
    sqlite3_stmt *row =
        kz_store_query(s, "SELECT id, worker, boot, lease, losses FROM jobs WHERE state = ?", "i",
                       (int64_t)KZ_JOB_RUNNING);
    int error = row ? 0 : KZ_ERROR_FAILED, losses = 0;
    int64_t lost = 0;
    while (!error && !lost && !(error = kz_store_row(s, row))) {
        const char *worker = (const char *)sqlite3_column_text(row, 1);
        const char *boot = (const char *)sqlite3_column_text(row, 2);
        if (!boot || !worker || strcmp(boot, s->boot) != 0 || !kz_worker_lives(worker) ||
            sqlite3_column_double(row, 3) < kz_since_boot()) {
            lost = sqlite3_column_int64(row, 0);
            losses = sqlite3_column_int(row, 4);
        }
    }
    sqlite3_finalize(row);
    return lost ? free_lost(s, lost, losses) : error;
}

static int take_locked(kz_store *s, const char *worker, kz_record *record)
{
    int error;
    while (!(error = free_one(s)))
        ;
    if (error != KZ_END)
        return error;
    error = read_one(s,
                     kz_store_query(s,
                                    "SELECT " COLUMNS
                                    " FROM jobs WHERE state = ? AND (boot <> ? OR lease "
                                    "<= ?) ORDER BY id LIMIT 1",
                                    "itd", (int64_t)KZ_JOB_QUEUED, s->boot, kz_since_boot()),
                     record);
    if (error)
        return error;
    error = kz_store_change(
        s,
        "UPDATE jobs SET state = ?, worker = ?, boot = ?, lease = ?, started = ? WHERE "
        "id = ?",
        "ittddi", (int64_t)KZ_JOB_RUNNING, worker, s->boot, kz_since_boot() + KZ_LEASE_SECONDS,
        clock_now(), record->id);
    if (error)
        kz_record_free(record);
    return error;
}

int kz_store_take(kz_store *s, const char *worker, kz_record *record)
{
    *record = (kz_record){0};
    int error = begin(s);
    return error ? error : end(s, take_locked(s, worker, record));
}

int kz_store_beat(kz_store *s, int64_t id, const char *worker, int64_t frames, int64_t total,
                  double fps)
{
    int error = kz_store_change(
        s,
        "UPDATE jobs SET lease = ?, losses = CASE WHEN frames < ? THEN 0 ELSE losses "
        "END, frames = ?, total = ?, fps = ? WHERE id = ? AND worker = ? AND state = "
        "?",
        "diiiditi", kz_since_boot() + KZ_LEASE_SECONDS, frames, frames, total, fps, id, worker,
        (int64_t)KZ_JOB_RUNNING);
    if (!error && sqlite3_changes(s->db) == 0)
        error = KZ_ERROR_CANCELLED;
    return error;
}

static int end_locked(kz_store *s, int64_t id, const char *worker, const kz_result *r,
                      enum kz_job_state *state)
{
    kz_record now = {0};
    int error =
        read_one(s, kz_store_query(s, "SELECT " COLUMNS " FROM jobs WHERE id = ?", "i", id), &now);
    if (error)
        return error == KZ_END ? 0 : error;
    const bool mine = now.state == KZ_JOB_RUNNING && strcmp(now.worker, worker) == 0;
    const int attempts = now.attempts + (r->outcome == KZ_OUTCOME_FAILED);
    const int losses = now.losses + (r->outcome == KZ_OUTCOME_LOST);
    const bool failed_for_good =
        (r->outcome == KZ_OUTCOME_FAILED && attempts >= now.most_attempts) ||
        losses >= KZ_MOST_LOSSES;
    *state = now.state;
    if (mine)
        *state = r->outcome == KZ_OUTCOME_DONE ? KZ_JOB_DONE
                 : failed_for_good             ? KZ_JOB_QUARANTINED
                                               : KZ_JOB_QUEUED;
    const bool over = *state == KZ_JOB_DONE || *state == KZ_JOB_QUARANTINED;
    if (mine)
        error = kz_store_change(
            s,
            "UPDATE jobs SET state = ?, attempts = ?, losses = ?, failures = failures + ?, error "
            "= ?, worker = '', boot = ?, lease = ?, ended = ?, seconds = seconds + ?, bytes = ? "
            "WHERE id = ?",
            "iiiittdddii", (int64_t)*state, (int64_t)attempts, (int64_t)losses,
            (int64_t)(r->outcome == KZ_OUTCOME_FAILED), r->error ? r->error : "",
            r->wait > 0 ? s->boot : "", kz_since_boot() + r->wait, over ? clock_now() : 0.0,
            r->seconds, r->bytes, id);
    kz_record_free(&now);
    return error;
}

int kz_store_end(kz_store *s, int64_t id, const char *worker, const kz_result *result,
                 enum kz_job_state *state)
{
    enum kz_job_state unused;
    int error = begin(s);
    return error ? error : end(s, end_locked(s, id, worker, result, state ? state : &unused));
}

/* ---- looking ---- */

int kz_store_find_done(kz_store *s, const kz_record *like, kz_record *found)
{
    *found = (kz_record){0};
    return read_one(
        s,
        kz_store_query(s,
                       "SELECT " COLUMNS " FROM jobs WHERE content = ? AND arguments = ? AND "
                       "state = ? AND output <> ? ORDER BY id LIMIT 1",
                       "ttit", like->content, like->arguments, (int64_t)KZ_JOB_DONE, like->output),
        found);
}

int kz_store_owner(kz_store *s, const char *path, char **input)
{
    kz_record found = {0};
    int error = read_one(
        s, kz_store_query(s, "SELECT " COLUMNS " FROM jobs WHERE output = ? LIMIT 1", "t", path),
        &found);
    *input = found.input;
    found.input = NULL;
    kz_record_free(&found);
    return error == KZ_END ? 0 : error;
}

int kz_store_list(kz_store *s, int state, int (*take)(void *context, const kz_record *record),
                  void *context)
{
    sqlite3_stmt *row =
        kz_store_query(s, "SELECT " COLUMNS " FROM jobs WHERE ?1 < 0 OR state = ?1 ORDER BY id",
                       "i", (int64_t)state);
    int error = row ? 0 : KZ_ERROR_FAILED;
    while (!error && !(error = kz_store_row(s, row))) {
        kz_record record;
        error = read_record(s, row, &record);
        if (!error)
            error = take(context, &record);
        kz_record_free(&record);
    }
    sqlite3_finalize(row);
    return error == KZ_END ? 0 : error;
}

static int no_such(const kz_store *s, int64_t id)
{
    return kz_fail(s->log, KZ_ERROR_USAGE, "there is no job %lld: kizuna jobs lists them",
                   (long long)id);
}

int kz_store_get(kz_store *s, int64_t id, kz_record *record)
{
    *record = (kz_record){0};
    int error = read_one(s, kz_store_query(s, "SELECT " COLUMNS " FROM jobs WHERE id = ?", "i", id),
                         record);
    return error == KZ_END ? no_such(s, id) : error;
}

int kz_store_set(kz_store *s, int64_t id, enum kz_job_state state)
{
    kz_record now;
    int error = kz_store_get(s, id, &now);
    if (error)
        return error;
    const bool done = now.state == KZ_JOB_DONE;
    kz_record_free(&now);
    if (done && state != KZ_JOB_QUEUED)
        return kz_fail(s->log, KZ_ERROR_USAGE, "job %lld is done", (long long)id);
    return kz_store_change(
        s,
        "UPDATE jobs SET state = ?1, worker = '', boot = '', lease = 0, losses = 0, "
        "attempts = CASE WHEN ?1 = 0 THEN 0 ELSE attempts END, ended = CASE WHEN ?1 = 4 "
        "THEN ?2 ELSE 0 END WHERE id = ?3",
        "idi", (int64_t)state, clock_now(), id);
}

int kz_store_prune(kz_store *s, double seconds, int64_t *count)
{
    int error = kz_store_change(s, "DELETE FROM jobs WHERE state IN (2, 4) AND ended <= ?", "d",
                                clock_now() - seconds);
    *count = error ? 0 : sqlite3_changes(s->db);
    return error;
}

int kz_store_count(kz_store *s, kz_store_counts *counts)
{
    sqlite3_stmt *row =
        kz_store_query(s,
                       "SELECT state, count(*), sum(CASE WHEN state = 2 THEN frames ELSE 0 "
                       "END), sum(CASE WHEN state = 2 THEN bytes ELSE 0 END), sum(failures) "
                       "FROM jobs GROUP BY state",
                       "");
    int error = row ? 0 : KZ_ERROR_FAILED;
    *counts = (kz_store_counts){0};
    while (!error && !(error = kz_store_row(s, row))) {
        const int state = sqlite3_column_int(row, 0);
        if (state >= 0 && state < KZ_JOB_STATES)
            counts->of[state] = sqlite3_column_int64(row, 1);
        counts->frames += sqlite3_column_int64(row, 2);
        counts->bytes += sqlite3_column_int64(row, 3);
        counts->failures += sqlite3_column_int64(row, 4);
    }
    sqlite3_finalize(row);
    return error == KZ_END ? 0 : error;
}
