/* A fixed set of worker threads that run the items of one task at a time. */
#ifndef KZ_BASE_POOL_H
#define KZ_BASE_POOL_H

#include "base/log.h"

typedef struct kz_pool kz_pool;

typedef struct kz_pool_params {
    int threads;               /* 1 to 1024 */
    void (*start)(int worker); /* called once by each worker before its first item, for settings of
                                * the thread; NULL: nothing */
    const char *memory_nodes;  /* folder that lists them, as Linux does; NULL: Linux's own */
} kz_pool_params;

/* Starts the workers. They flush denormals; callers' settings stay. On a machine of several memory
 * nodes each is bound to the processors of one (base/numa.h), else to none. Returns 0,
 * KZ_ERROR_MEMORY or KZ_ERROR_FAILED (reported). */
int kz_pool_open(kz_pool **pool, const kz_pool_params *params, kz_log *log);

/* Ends and joins the workers, sets *pool to NULL; NULL is legal. */
void kz_pool_close(kz_pool **pool);

int kz_pool_threads(const kz_pool *pool);

/* Calls run(context, worker, item) for every item in 0 … items-1, on the workers, and returns when
 * all are done. `worker` is 0 … threads-1: at most one item runs for a worker at a time. A worker
 * takes its own share first, items * worker / threads and what follows, in order: tasks of as many
 * items thus find a worker's part of the data where it left it. When that is done it takes what is
 * left of the others'; so run() must give the same result whoever runs it. One caller at a time. */
void kz_pool_run(kz_pool *pool, int items, void (*run)(void *context, int worker, int item),
                 void *context);

#endif
