#include "job/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "job/service.h"

enum { MOST_WORKERS = 64, QUIET_MS = 300, METRICS_SECONDS = 15 };

struct thread {
    kz_worker_params params;
    pthread_t thread;
    int result;
};

struct watch {
    const kz_watch_params *params;
    kz_store *store;
    int inotify;
    struct thread threads[MOST_WORKERS];
    int n_threads;
    double told; /* when the metrics were last written */
};

static void *worker_main(void *argument)
{
    struct thread *thread = argument;
    thread->result = kz_worker_run(&thread->params);
    return NULL;
}

static int start_workers(struct watch *w)
{
    const kz_watch_params *p = w->params;
    for (; w->n_threads < p->workers && w->n_threads < MOST_WORKERS; w->n_threads++) {
        struct thread *thread = &w->threads[w->n_threads];
        thread->params = p->worker;
        thread->params.thread = w->n_threads;
        const int error = pthread_create(&thread->thread, NULL, worker_main, thread);
        if (error)
            return kz_fail(p->worker.log, KZ_ERROR_FAILED, "a worker: %s", strerror(error));
    }
    return 0;
}

static int join_workers(struct watch *w)
{
    int first = 0;
    for (int i = 0; i < w->n_threads; i++) {
        pthread_join(w->threads[i].thread, NULL);
        first = first ? first : w->threads[i].result;
    }
    return first;
}

static int add_fps(void *context, const kz_record *record)
{
    *(double *)context += record->fps;
    return 0;
}

static void tell(struct watch *w)
{
    const kz_watch_params *p = w->params;
    kz_store_counts counts;
    double fps = 0;
    if (!p->metrics || (w->told > 0 && kz_now() - w->told < METRICS_SECONDS))
        return;
    w->told = kz_now();
    if (kz_store_count(w->store, &counts) == 0 &&
        kz_store_list(w->store, KZ_JOB_RUNNING, add_fps, &fps) == 0)
        (void)!kz_service_metrics(p->metrics, &counts, fps, p->worker.log);
}

static void drain(int fd)
{
    char bytes[4096];
    while (read(fd, bytes, sizeof(bytes)) > 0)
        ;
}

/* Waits for news of the folders, a settled file, a reload or the end. */
static void wait_for_news(struct watch *w, double seconds)
{
    const kz_watch_params *p = w->params;
    struct pollfd fds[3] = {{.fd = p->worker.stop_fd, .events = POLLIN},
                            {.fd = w->inotify, .events = POLLIN},
                            {.fd = p->reload_fd, .events = POLLIN}};
    if (poll(fds, 3, (int)(seconds * 1000) + 1) <= 0 || fds[0].revents)
        return;
    if (fds[2].revents) {
        drain(p->reload_fd);
        kz_service_notify("READY=1");
        kz_event(p->worker.events, "reloaded", NULL, NULL);
    }
    /* Files come in crowds; one look is enough for all of them. */
    if (fds[1].revents) {
        (void)!poll(fds, 1, QUIET_MS);
        drain(w->inotify);
    }
}

static double least(double a, double b)
{
    return b >= 0 && b < a ? b : a;
}

static int look_on(struct watch *w)
{
    const kz_watch_params *p = w->params;
    kz_scan_params scan = p->scan;
    const double watchdog = kz_service_watchdog();
    double due = 0;
    int error = 0;
    scan.inotify = w->inotify;
    while (!error && !atomic_load(p->worker.stop)) {
        double next = -1;
        error = kz_scan(w->store, &scan, &next);
        due = kz_now() + least(p->rescan, next);
        do {
            tell(w);
            kz_service_notify("WATCHDOG=1");
            double wait = due - kz_now();
            wait = least(wait, watchdog > 0 ? watchdog / 3 : -1);
            wait = least(wait, p->metrics ? METRICS_SECONDS : -1);
            const double began = kz_now();
            wait_for_news(w, wait > 0 ? wait : 0);
            if (kz_now() - began < wait - 0.01)
                break; /* there is news */
        } while (!error && kz_now() < due && !atomic_load(p->worker.stop));
    }
    return error;
}

static void stop_all(const kz_watch_params *p)
{
    const uint64_t one = 1;
    atomic_store(p->worker.stop, true);
    (void)!write(p->worker.stop_fd, &one, sizeof(one));
}

/* A worker whose store fails ends alone; the others and the watch go on without it. */
int kz_watch_run(const kz_watch_params *params)
{
    struct watch w = {.params = params, .inotify = -1};
    kz_log *log = params->worker.log;
    /* What a lease on a file that is opened for writing would send. */
    signal(SIGIO, SIG_IGN);
    int error = kz_store_open(&w.store, params->worker.store, log);
    w.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w.inotify < 0)
        kz_log_line(log, KZ_LOG_WARNING, "inotify: %s: changes are seen every %.0f s only",
                    strerror(errno), params->rescan);
    if (!error)
        error = start_workers(&w);
    if (!error) {
        kz_service_notify("READY=1");
        error = look_on(&w);
    }
    kz_service_notify("STOPPING=1");
    stop_all(params);
    const int joined = join_workers(&w);
    if (w.inotify >= 0)
        close(w.inotify);
    kz_store_close(&w.store);
    return error ? error : joined;
}
