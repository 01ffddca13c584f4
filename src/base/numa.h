/* Memory nodes: on a machine of several, memory is nearer to some processors than to others. Linux
 * puts a page where the thread that first writes it runs; so a worker that always runs on the same
 * node, and clears its part of the data itself, has that part near. */
#ifndef KZ_BASE_NUMA_H
#define KZ_BASE_NUMA_H

#include <pthread.h>

typedef struct kz_numa kz_numa;

/* Reads which node has which processors from `folder` (NULL: /sys/devices/system/node), leaving out
 * processors that the caller may not run on. *numa is NULL where no more than one node is left, or
 * where the folder doesn't tell: then there is nothing to place. 0 or KZ_ERROR_MEMORY (not
 * reported). */
int kz_numa_open(kz_numa **numa, const char *folder);
void kz_numa_close(kz_numa **numa); /* NULL is legal */

/* Binds a thread, worker `worker` of `workers`, to the processors of its node: neighbours lie on
 * one node, and a node has workers in proportion to its processors. Where the system refuses, the
 * thread runs where it likes. */
void kz_numa_bind(const kz_numa *numa, pthread_t thread, int worker, int workers);

#endif
