#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/numa.h"

/* Each on cache lines of its own: what one writes at every item doesn't take the others' away. */
struct worker {
    /* Items of its share that nobody has taken: the first in the upper half, the end in the lower.
     * In one word, so that the owner takes the first and others the last without a lock. */
    _Alignas(KZ_ALIGNMENT) _Atomic uint64_t left;
    kz_pool *pool;
    int index;
    pthread_t thread;
};

struct kz_pool {
    int threads; /* started, and so to be joined */
    void (*start)(int worker);
    struct worker *workers;
    /* Written before the shares are handed out, read by who has taken an item: */
    void (*run)(void *context, int worker, int item);
    void *context;
    _Alignas(KZ_ALIGNMENT) atomic_int unfinished;
    _Alignas(KZ_ALIGNMENT) pthread_mutex_t lock;
    pthread_cond_t work, done;
    /* ---- protected by lock ---- */
    unsigned tasks; /* so far: a worker sleeps until there is another */
    bool ending;
};

/* ---- shares ---- */

static uint64_t share(int first, int end)
{
    return (uint64_t)(uint32_t)first << 32 | (uint32_t)end;
}

static int first_of(uint64_t left)
{
    return (int)(left >> 32);
}

static int end_of(uint64_t left)
{
    return (int)(uint32_t)left;
}

/* An item of the worker's share, or -1: its first, or for another worker its last. A word that is
 * the same as before may be the next task's already: then the item is that task's. */
static int take(struct worker *w, bool own)
{
    uint64_t left = atomic_load(&w->left);
    while (first_of(left) < end_of(left)) {
        int first = first_of(left), end = end_of(left);
        uint64_t rest = own ? share(first + 1, end) : share(first, end - 1);
        if (atomic_compare_exchange_weak(&w->left, &left, rest))
            return own ? first : end - 1;
    }
    return -1;
}

/* Who has most left, or NULL. */
static struct worker *find_busiest(kz_pool *p)
{
    struct worker *busiest = NULL;
    int most = 0;
    for (int i = 0; i < p->threads; i++) {
        uint64_t left = atomic_load(&p->workers[i].left);
        if (end_of(left) - first_of(left) > most) {
            most = end_of(left) - first_of(left);
            busiest = &p->workers[i];
        }
    }
    return busiest;
}

static int take_any(kz_pool *p)
{
    struct worker *busiest;
    int item = -1;
    while (item < 0 && (busiest = find_busiest(p)))
        item = take(busiest, false);
    return item;
}

/* ---- workers ---- */

/* Does what there is to do of the task, and perhaps of the next. */
static void work(struct worker *w)
{
    kz_pool *p = w->pool;
    int item;
    while ((item = take(w, true)) >= 0 || (item = take_any(p)) >= 0) {
        p->run(p->context, w->index, item);
        if (atomic_fetch_sub(&p->unfinished, 1) > 1)
            continue;
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
}

static bool wait_for_task(kz_pool *p, unsigned *seen)
{
    pthread_mutex_lock(&p->lock);
    while (p->tasks == *seen && !p->ending)
        pthread_cond_wait(&p->work, &p->lock);
    *seen = p->tasks;
    bool ending = p->ending;
    pthread_mutex_unlock(&p->lock);
    return !ending;
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    unsigned seen = 0;
    kz_cpu_flush_denormals();
    if (w->pool->start)
        w->pool->start(w->index);
    while (wait_for_task(w->pool, &seen))
        work(w);
    return NULL;
}

/* ---- life ---- */

static int start_workers(kz_pool *p, int threads, const kz_numa *numa, kz_log *log)
{
    for (int i = 0; i < threads; i++) {
        struct worker *w = &p->workers[i];
        w->pool = p;
        w->index = i;
        int error = pthread_create(&w->thread, NULL, worker_main, w);
        if (error)
            return kz_fail(log, KZ_ERROR_FAILED, "cannot start thread %d of %d: %s", i + 1, threads,
                           strerror(error));
        p->threads++;
        if (numa)
            kz_numa_bind(numa, w->thread, i, threads);
    }
    return 0;
}

int kz_pool_open(kz_pool **pool, const kz_pool_params *params, kz_log *log)
{
    kz_pool *p = *pool = kz_alloc(1, sizeof(*p));
    kz_numa *numa = NULL;
    if (!p)
        return kz_fail_memory(log, "threads");
    p->start = params->start;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->workers = kz_alloc((size_t)params->threads, sizeof(*p->workers));
    int error = p->workers ? kz_numa_open(&numa, params->memory_nodes) : KZ_ERROR_MEMORY;
    if (error)
        kz_fail_memory(log, "threads");
    else
        error = start_workers(p, params->threads, numa, log);
    if (error)
        kz_pool_close(pool);
    kz_numa_close(&numa);
    return error;
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

static void hand_out(kz_pool *p, int items)
{
    for (int i = 0; i < p->threads; i++) {
        int first = (int)((int64_t)items * i / p->threads);
        int end = (int)((int64_t)items * (i + 1) / p->threads);
        atomic_store(&p->workers[i].left, share(first, end));
    }
}

void kz_pool_run(kz_pool *p, int items, void (*run)(void *context, int worker, int item),
                 void *context)
{
    if (items <= 0)
        return;
    p->run = run;
    p->context = context;
    atomic_store(&p->unfinished, items);
    hand_out(p, items); /* a worker still awake may begin at once */
    pthread_mutex_lock(&p->lock);
    p->tasks++;
    pthread_cond_broadcast(&p->work);
    while (atomic_load(&p->unfinished))
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
