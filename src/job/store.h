/* The jobs that are to be done, are under way, and were done, in an SQLite file (write-ahead log)
 * that any number of processes of one machine use at a time. A job under way is held by a lease
 * that its worker renews; whoever finds the worker dead takes the job over.
 *
 * Times for people are of the clock of the day; leases and waits are counted by the clock that runs
 * since boot, so that setting the day's clock moves none of them. A store isn't thread-safe: each
 * thread opens its own. Functions return 0, KZ_ERROR_FAILED or KZ_ERROR_MEMORY, reported, unless
 * they say more. */
#ifndef KZ_JOB_STORE_H
#define KZ_JOB_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

/* A worker that hasn't renewed its lease for so long is dead. */
#define KZ_LEASE_SECONDS 60

/* So often a job may lose its worker before that is held against it. */
#define KZ_MOST_LOSSES 25

typedef struct kz_store kz_store;

enum kz_job_state {
    KZ_JOB_QUEUED,
    KZ_JOB_RUNNING,
    KZ_JOB_DONE,
    KZ_JOB_QUARANTINED, /* failed as often as it may */
    KZ_JOB_CANCELLED,
    KZ_JOB_PAUSED,
    KZ_JOB_STATES
};

const char *kz_job_state_name(enum kz_job_state state);
int kz_job_state_parse(const char *name); /* -1: none is called so */

/* A job as it stands. Strings are the record's. */
typedef struct kz_record {
    int64_t id;
    char *input, *output;
    char *content;   /* kz_identity() of the input */
    char *arguments; /* what `kizuna upscale` gets besides, a JSON array of strings */
    enum kz_job_state state;
    int attempts, most_attempts; /* that failed, and that may */
    int losses;                  /* of its worker, in a row */
    char *error;                 /* why the last attempt failed; "" */
    char *worker;
    double created, started, ended; /* seconds of the day's clock since 1970; 0: not yet */
    double seconds;                 /* of work, all attempts together */
    double wait;                    /* seconds until it may be tried again */
    int64_t frames, total;          /* done, and of the whole; 0: unknown */
    double fps;
    int64_t bytes; /* of the output */
} kz_record;

void kz_record_free(kz_record *record);

/* NULL `path`: $XDG_STATE_HOME/kizuna/jobs.db, or ~/.local/state/kizuna/jobs.db; folders are made.
 */
int kz_store_open(kz_store **store, const char *path, kz_log *log);
void kz_store_close(kz_store **store);

/* What is asked for. */
typedef struct kz_request {
    const char *input, *output;
    const char *content, *arguments;
    int most_attempts;
} kz_request;

/* Queues a job. What has the same input, output, content and arguments is the same job, whatever
 * became of it; with other content or arguments it is to be done anew. *fresh tells. */
int kz_store_add(kz_store *store, const kz_request *request, int64_t *id, bool *fresh);

/* The next job that is due, or whose worker is dead, held by `worker` (kz_worker_name()) from now
 * on. KZ_END: none. */
int kz_store_take(kz_store *store, const char *worker, kz_record *record);

/* Renews the lease. KZ_ERROR_CANCELLED: the job isn't this worker's any more, or shall stop. */
int kz_store_beat(kz_store *store, int64_t id, const char *worker, int64_t frames, int64_t total,
                  double fps);

enum kz_outcome {
    KZ_OUTCOME_DONE,
    KZ_OUTCOME_FAILED, /* again after `wait` seconds, or never */
    KZ_OUTCOME_LOST,   /* its process was killed: again after `wait` seconds, KZ_MOST_LOSSES times
                        * as long as no frame comes */
    KZ_OUTCOME_INTERRUPTED /* again after `wait` seconds, by whoever is free */
};

typedef struct kz_result {
    enum kz_outcome outcome;
    const char *error; /* why it failed */
    double wait, seconds;
    int64_t bytes;
} kz_result;

/* Gives the job back. What isn't this worker's any more is left alone. *state is what became of it
 * (may be NULL). */
int kz_store_end(kz_store *store, int64_t id, const char *worker, const kz_result *result,
                 enum kz_job_state *state);

/* A finished job of the same content and arguments, with another output. KZ_END: none. */
int kz_store_find_done(kz_store *store, const kz_record *like, kz_record *found);

/* Whether the output at `path` is some job's, and of which input (kz_free() it; may be NULL). */
int kz_store_owner(kz_store *store, const char *path, char **input);

/* Gives `take` each job in the order of their numbers, those of one state where `state` >= 0. A
 * `take` that returns nonzero ends it, with that. */
int kz_store_list(kz_store *store, int state, int (*take)(void *context, const kz_record *record),
                  void *context);

/* KZ_ERROR_USAGE (reported): there is no such job. */
int kz_store_get(kz_store *store, int64_t id, kz_record *record);

/* What people do with jobs: KZ_JOB_QUEUED (again, at once, with all attempts), KZ_JOB_PAUSED,
 * KZ_JOB_CANCELLED. KZ_ERROR_USAGE (reported): there is no such job, or it is done and can't be. */
int kz_store_set(kz_store *store, int64_t id, enum kz_job_state state);

/* Forgets jobs that ended more than `seconds` ago: done and cancelled ones. *count tells how many.
 */
int kz_store_prune(kz_store *store, double seconds, int64_t *count);

typedef struct kz_store_counts {
    int64_t of[KZ_JOB_STATES];
    int64_t frames, bytes, failures; /* of all done jobs; of all attempts */
} kz_store_counts;

int kz_store_count(kz_store *store, kz_store_counts *counts);

/* Names this thread of this process so that another process can tell whether it lives. */
const char *kz_worker_name(char *name, size_t size, int thread);

/* The process of that worker of this machine runs. */
bool kz_worker_lives(const char *name);

#endif
