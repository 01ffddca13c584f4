#include "job/worker.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "job/after.h"
#include "job/child.h"
#include "job/describe.h"
#include "job/identity.h"
#include "job/lease.h"
#include "job/place.h"
#include "job/resume.h"

enum {
    MOST_ARGUMENTS = 200,
    BEAT_SECONDS = 5,
    STOP_SECONDS = 8,        /* that a process has for a clean end */
    STALL_SECONDS = 45 * 60, /* without a sign of life: it hangs */
    MOST_READS = 1000,       /* of everything there is, without a frame: it reads in circles */
    LOOK_SECONDS = 3,        /* for jobs that other processes queue */
    FAILED_SECONDS = 30,     /* after the store failed */
    MOST_BACKOFF = 6 * 3600
};

struct work {
    const kz_worker_params *params;
    kz_store *store;
    char name[80];
    kz_record job;
    kz_lease *lease;
    unsigned beats;
    bool busy; /* another process makes the output */
    double began;
    char error[1024];
};

static bool may_work(const kz_worker_params *p)
{
    return !atomic_load(p->stop) && kz_schedule_allows(p->schedule, time(NULL));
}

/* ---- the command ---- */

/* The words of a JSON array, as `kizuna upscale` gets them. The array owns them. */
static cJSON *read_words(const struct work *w)
{
    cJSON *words = cJSON_Parse(w->job.arguments);
    if (!cJSON_IsArray(words) || cJSON_GetArraySize(words) > MOST_ARGUMENTS) {
        cJSON_Delete(words);
        return NULL;
    }
    return words;
}

/* The child's last words are what its exit code is for; a name within them may hold anything. */
static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), part = strlen(end);
    return length >= part && strcmp(text + length - part, end) == 0;
}

/* argv[] points into `words` and the job. */
static void fill_upscale(const struct work *w, const cJSON *words, const char **argv)
{
    static const char *const fixed[] = {"upscale", "--progress", "json", "--strict",
                                        "--on-change=restart"};
    int n = 0;
    const cJSON *word;
    argv[n++] = w->params->program;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        argv[n++] = fixed[i];
    cJSON_ArrayForEach(word, words)
    {
        if (cJSON_IsString(word))
            argv[n++] = word->valuestring;
    }
    /* What was put together wrongly would be so again. */
    if (strstr(w->job.error, ": the finished file isn't as it should be; it is "))
        argv[n++] = "--restart";
    argv[n++] = "-y";
    argv[n++] = "-o";
    argv[n++] = w->job.output;
    argv[n++] = "--";
    argv[n++] = w->job.input;
    argv[n] = NULL;
}

/* ---- one job ---- */

static void fail_with(struct work *w, const char *text)
{
    snprintf(w->error, sizeof(w->error), "%s", text);
}

/* Beats while the child works. Returns true when it shall end: the job isn't ours any more, or we
 * shall stop. */
static bool shall_end(struct work *w, const kz_child_news *news)
{
    return !may_work(w->params) ||
           kz_store_beat(w->store, w->job.id, w->name, news->frames, news->total, news->fps) ==
               KZ_ERROR_CANCELLED ||
           (w->lease && w->beats++ % 3 == 0 && kz_lease_beat(w->lease) == KZ_ERROR_CANCELLED);
}

struct life {
    int64_t frames, read, read_at_frame;
};

/* How much there is to read: the input, and the output or what there is of it. */
static double all_bytes(const struct work *w, const kz_child_news *news)
{
    struct stat st;
    double bytes = (double)news->bytes;
    if (stat(w->job.input, &st) == 0)
        bytes += (double)st.st_size;
    if (stat(w->job.output, &st) == 0)
        bytes += (double)st.st_size;
    return bytes;
}

/* A frame is a sign of life; so is reading, since what goes over frames that are there already, or
 * puts a file together, or compares it, has none to tell of for hours. */
static bool shows_life(const struct work *w, struct life *life, const kz_child_news *news)
{
    const bool frame = news->frames != life->frames, read = news->read != life->read;
    if (frame)
        life->read_at_frame = news->read;
    life->frames = news->frames;
    life->read = news->read;
    const double since = (double)(news->read - life->read_at_frame);
    return frame || (read && since < MOST_READS * all_bytes(w, news));
}

/* Watches the child to its end. */
static enum kz_outcome watch(struct work *w, kz_child *child)
{
    kz_child_news news = {0};
    struct life life = {.frames = -1};
    double moved = kz_now(), beaten = 0, asked = 0;
    bool told = false;
    do {
        kz_child_wait(child, 0.5, &news);
        if (!told && (told = news.encoder[0]))
            kz_event(w->params->events, "encoder", &w->job, news.encoder);
        const double now = kz_now();
        if (shows_life(w, &life, &news))
            moved = now;
        if (!asked && (now - beaten > BEAT_SECONDS || atomic_load(w->params->stop))) {
            beaten = now;
            if (shall_end(w, &news)) {
                kz_child_stop(child);
                asked = now;
            }
        }
        if (asked && now - asked > STOP_SECONDS)
            kz_child_kill(child);
        if (!asked && now - moved > STALL_SECONDS) {
            fail_with(w, "it hung: for 45 minutes no frame came and nothing was read");
            kz_child_kill(child);
        }
    } while (!news.ended);
    if (asked)
        return KZ_OUTCOME_INTERRUPTED;
    /* A dead worker's process that isn't gone yet, or somebody at the shell. */
    if (news.code && ends_with(news.error, ": another run is making it")) {
        w->busy = true;
        return KZ_OUTCOME_INTERRUPTED;
    }
    if (news.killed && !w->error[0]) {
        fail_with(w, news.error);
        return KZ_OUTCOME_LOST;
    }
    (void)kz_store_beat(w->store, w->job.id, w->name, news.frames, news.total, news.fps);
    if (news.code == 0)
        return KZ_OUTCOME_DONE;
    if (!w->error[0])
        fail_with(w, news.error);
    return KZ_OUTCOME_FAILED;
}

static enum kz_outcome run_child(struct work *w, const char *const *argv)
{
    kz_child *child = NULL;
    if (kz_child_start(&child, argv, w->params->nice, w->params->log)) {
        fail_with(w, "its process couldn't be started");
        return KZ_OUTCOME_FAILED;
    }
    const enum kz_outcome outcome = watch(w, child);
    kz_child_close(&child);
    return outcome;
}

static enum kz_outcome upscale(struct work *w)
{
    const char *argv[MOST_ARGUMENTS + 16];
    cJSON *words = read_words(w);
    if (!words) {
        fail_with(w, "its options can't be read");
        return KZ_OUTCOME_FAILED;
    }
    fill_upscale(w, words, argv);
    const enum kz_outcome outcome = run_child(w, argv);
    cJSON_Delete(words);
    return outcome;
}

/* Before an original is deleted the output is read and decoded once more, by itself. */
static enum kz_outcome verify(struct work *w)
{
    const char *argv[MOST_ARGUMENTS + 16];
    cJSON *words = read_words(w);
    const cJSON *word;
    int n = 0;
    if (!words)
        return KZ_OUTCOME_FAILED;
    argv[n++] = w->params->program;
    argv[n++] = "verify";
    cJSON_ArrayForEach(word, words)
    {
        if (cJSON_IsString(word))
            argv[n++] = word->valuestring;
    }
    argv[n++] = w->job.input;
    argv[n++] = w->job.output;
    argv[n] = NULL;
    const enum kz_outcome outcome = run_child(w, argv);
    cJSON_Delete(words);
    if (outcome == KZ_OUTCOME_FAILED && !w->error[0])
        fail_with(w, "the output doesn't hold all of the input");
    return outcome;
}

/* The same content was done under another name: its output gets this name too. */
static bool link_done(struct work *w)
{
    kz_record done;
    struct stat st;
    if (kz_store_find_done(w->store, &w->job, &done) != 0)
        return false;
    char *part = kz_asprintf("%s.%ld.part", w->job.output, (long)getpid());
    bool linked = part && stat(done.output, &st) == 0 && st.st_size == done.bytes &&
                  kz_place_link(done.output, part) == 0;
    if (linked)
        linked = rename(part, w->job.output) == 0;
    /* Two names of one file aren't renamed onto each other. */
    if (part)
        unlink(part);
    kz_free(part);
    kz_record_free(&done);
    return linked;
}

/* The input is what was queued; a file replaced meanwhile is a job of its own. */
static bool input_is_same(struct work *w)
{
    char digest[KZ_DIGEST_TEXT];
    if (kz_identity(digest, w->job.input, NULL) != 0)
        fail_with(w, "the input is gone or can't be read");
    else if (strcmp(digest, w->job.content) != 0)
        fail_with(w, "the input has changed since it was queued");
    return !w->error[0];
}

/* A worker before this one had finished the output and died before it could say so, or another
 * machine has. */
static bool was_finished(struct work *w)
{
    struct stat st;
    if (kz_resume_was_finished(w->job.output))
        return true;
    if (stat(w->job.output, &st) != 0 || (double)st.st_mtim.tv_sec + 1 < w->job.created)
        return false;
    const bool whole = verify(w) == KZ_OUTCOME_DONE;
    w->error[0] = '\0';
    return whole;
}

static enum kz_outcome do_job(struct work *w)
{
    /* A disk that is away for a while is no fault of its files. */
    if (access(w->params->root, R_OK | X_OK) != 0)
        return KZ_OUTCOME_INTERRUPTED;
    const int code = kz_place_folders(w->job.output);
    if (code) {
        snprintf(w->error, sizeof(w->error), "its output's folder: %s", strerror(code));
        return KZ_OUTCOME_FAILED;
    }
    if (!input_is_same(w))
        return KZ_OUTCOME_FAILED;
    const int error = kz_lease_take(&w->lease, w->job.output, w->params->stop_fd, w->params->log);
    if (error == KZ_AGAIN)
        return KZ_OUTCOME_INTERRUPTED;
    if (error) {
        fail_with(w, "its output's folder can't be written");
        return KZ_OUTCOME_FAILED;
    }
    enum kz_outcome outcome = was_finished(w) || link_done(w) ? KZ_OUTCOME_DONE : upscale(w);
    if (outcome == KZ_OUTCOME_DONE && !input_is_same(w))
        outcome = KZ_OUTCOME_FAILED;
    if (outcome == KZ_OUTCOME_DONE &&
        kz_after_sidecars(w->job.input, w->job.output, w->params->log) != 0) {
        fail_with(w, "a file beside it couldn't be copied");
        outcome = KZ_OUTCOME_FAILED;
    }
    if (outcome == KZ_OUTCOME_DONE && w->params->after == KZ_AFTER_DELETE)
        outcome = verify(w);
    return outcome;
}

/* ---- around it ---- */

static void run_hook(const struct work *w, const char *command)
{
    kz_record now;
    if (!command || kz_store_get(w->store, w->job.id, &now) != 0)
        return;
    char *text = kz_record_json(&now);
    const int code = text ? kz_child_hook(command, text, w->params->log) : 1;
    if (code)
        kz_event(w->params->events, "hook failed", &now, command);
    kz_free(text);
    kz_record_free(&now);
}

static double backoff(const struct work *w)
{
    double wait = w->params->backoff;
    for (int i = 0; i < w->job.attempts && wait < MOST_BACKOFF; i++)
        wait *= 2;
    return wait < MOST_BACKOFF ? wait : MOST_BACKOFF;
}

/* Who has no lease waits for another machine, or else for another process. */
static double wait_after(const struct work *w, enum kz_outcome outcome)
{
    if (outcome == KZ_OUTCOME_FAILED)
        return backoff(w);
    if (outcome == KZ_OUTCOME_LOST)
        return w->params->backoff < 5 ? w->params->backoff : 5;
    return outcome == KZ_OUTCOME_INTERRUPTED && (!w->lease || w->busy) ? 5 : 0;
}

/* While the output was read once more, another file may have taken the original's name. */
static void part_with_original(struct work *w)
{
    w->error[0] = '\0';
    if (!input_is_same(w))
        kz_event(w->params->events, "kept", &w->job, w->error);
    else if (kz_after_original(w->params, w->job.input) != 0)
        kz_event(w->params->events, "kept", &w->job, "the original couldn't be moved away");
}

/* Tells the store, then the world. */
static int give_back(struct work *w, enum kz_outcome outcome)
{
    struct stat st;
    enum kz_job_state state = KZ_JOB_QUEUED;
    const bool interrupted = outcome == KZ_OUTCOME_INTERRUPTED;
    const kz_result result = {
        .outcome = outcome,
        .error = interrupted ? w->job.error : w->error,
        .wait = wait_after(w, outcome),
        .seconds = kz_now() - w->began,
        .bytes = outcome == KZ_OUTCOME_DONE && stat(w->job.output, &st) == 0 ? st.st_size : 0};
    /* First: of a worker that dies in between the job is left, not a lease that nobody looks at. */
    kz_lease_close(&w->lease);
    int error = kz_store_end(w->store, w->job.id, w->name, &result, &state);
    if (error)
        return error;
    if (interrupted)
        kz_event(w->params->events, "interrupted", &w->job, NULL);
    else if (state == KZ_JOB_DONE)
        kz_event(w->params->events, "done", &w->job, w->job.output);
    else
        kz_event(w->params->events, state == KZ_JOB_QUARANTINED ? "quarantined" : "failed", &w->job,
                 w->error);
    if (state == KZ_JOB_DONE && w->params->after != KZ_AFTER_KEEP)
        part_with_original(w);
    if (state == KZ_JOB_DONE)
        run_hook(w, w->params->on_done);
    else if (state == KZ_JOB_QUARANTINED)
        run_hook(w, w->params->on_fail);
    return 0;
}

static int work_once(struct work *w)
{
    w->error[0] = '\0';
    w->busy = false;
    w->began = kz_now();
    kz_event(w->params->events, "started", &w->job, NULL);
    const enum kz_outcome outcome = do_job(w);
    return give_back(w, outcome);
}

static void rest(struct work *w, int seconds)
{
    struct pollfd fd = {.fd = w->params->stop_fd, .events = POLLIN};
    (void)!poll(&fd, 1, seconds * 1000);
}

/* One job, or a rest until another process may have queued something, or until the store can be
 * written again: a full disk has room some time. */
static int work_or_rest(struct work *w)
{
    int error = may_work(w->params) ? kz_store_take(w->store, w->name, &w->job) : KZ_END;
    if (!error) {
        error = work_once(w);
        kz_record_free(&w->job);
    }
    if (error)
        rest(w, error == KZ_END ? LOOK_SECONDS : FAILED_SECONDS);
    return error == KZ_END ? 0 : error;
}

int kz_worker_run(const kz_worker_params *params)
{
    struct work w = {.params = params};
    kz_worker_name(w.name, sizeof(w.name), params->thread);
    int error = kz_store_open(&w.store, params->store, params->log);
    while (w.store && !atomic_load(params->stop))
        error = work_or_rest(&w);
    kz_store_close(&w.store);
    return error;
}
