/* A fixed set of worker threads that run the items of one task at a time. */
#ifndef KZ_BASE_POOL_H
#define KZ_BASE_POOL_H

#include "base/log.h"

typedef struct kz_pool kz_pool;

/* Starts `threads` (1 to 1024) workers; each calls start(worker) once before its first item, for
 * per-thread settings (NULL: nothing). Workers flush denormals; callers' settings stay. Returns 0,
 * KZ_ERROR_MEMORY or KZ_ERROR_FAILED (reported). */
int kz_pool_open(kz_pool **pool, int threads, void (*start)(int worker), kz_log *log);

/* Ends and joins the workers, sets *pool to NULL; NULL is legal. */
void kz_pool_close(kz_pool **pool);

int kz_pool_threads(const kz_pool *pool);

/* Calls run(context, worker, item) for every item in 0 … items-1, on the workers, and returns when
 * all are done. `worker` is 0 … threads-1: at most one item runs for a worker at a time. Items are
 * handed out in order to whoever is free; run() must give the same result whoever that is.
 * One caller at a time. */
void kz_pool_run(kz_pool *pool, int items, void (*run)(void *context, int worker, int item),
                 void *context);

#endif
