#include "base/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"

struct worker {
    kz_pool *pool;
    int index;
    pthread_t thread;
};

struct kz_pool {
    int threads; /* started, and so to be joined */
    void (*start)(int worker);
    struct worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    /* ---- protected by lock ---- */
    void (*run)(void *context, int worker, int item);
    void *context;
    int next, items, unfinished;
    bool ending;
};

/* The next item for a worker, or -1 when the pool ends. */
static int wait_for_item_locked(kz_pool *p)
{
    while (p->next == p->items && !p->ending)
        pthread_cond_wait(&p->work, &p->lock);
    return p->ending ? -1 : p->next++;
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    kz_pool *p = w->pool;
    kz_cpu_flush_denormals();
    if (p->start)
        p->start(w->index);
    pthread_mutex_lock(&p->lock);
    for (int item; (item = wait_for_item_locked(p)) >= 0;) {
        void (*run)(void *, int, int) = p->run;
        void *context = p->context;
        pthread_mutex_unlock(&p->lock);
        run(context, w->index, item);
        pthread_mutex_lock(&p->lock);
        if (--p->unfinished == 0)
            pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int kz_pool_open(kz_pool **pool, int threads, void (*start)(int worker), kz_log *log)
{
    kz_pool *p = *pool = kz_alloc(1, sizeof(*p));
    if (!p)
        return kz_fail_memory(log, "threads");
    p->start = start;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->workers = kz_alloc((size_t)threads, sizeof(*p->workers));
    if (!p->workers) {
        kz_pool_close(pool);
        return kz_fail_memory(log, "threads");
    }
    for (int i = 0; i < threads; i++) {
        p->workers[i] = (struct worker){.pool = p, .index = i};
        int error = pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]);
        if (error) {
            kz_pool_close(pool);
            return kz_fail(log, KZ_ERROR_FAILED, "cannot start thread %d of %d: %s", i + 1, threads,
                           strerror(error));
        }
        p->threads++;
    }
    return 0;
}

void kz_pool_close(kz_pool **pool)
{
    kz_pool *p = *pool;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->threads; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    kz_free(p->workers);
    kz_free(p);
    *pool = NULL;
}

int kz_pool_threads(const kz_pool *pool)
{
    return pool->threads;
}

void kz_pool_run(kz_pool *p, int items, void (*run)(void *context, int worker, int item),
                 void *context)
{
    if (items <= 0)
        return;
    pthread_mutex_lock(&p->lock);
    p->run = run;
    p->context = context;
    p->next = 0;
    p->items = p->unfinished = items;
    pthread_cond_broadcast(&p->work);
    while (p->unfinished)
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
