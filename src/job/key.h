/* What the bytes of a run's video depend on, as named facts: two runs with equal facts make equal
 * segments. */
#ifndef KZ_JOB_KEY_H
#define KZ_JOB_KEY_H

#include "job/job.h"
#include "pipeline/journal.h"

enum { KZ_MAX_KEY = 80 };

/* All zero is an empty key. */
typedef struct kz_key {
    kz_fact facts[KZ_MAX_KEY];
    int count;
} kz_key;

/* Adds a copy; 0 or KZ_ERROR_MEMORY (not reported), as the next. */
int kz_key_add(kz_key *key, const char *name, const char *value);
void kz_key_close(kz_key *key);

/* What was asked for: "option.NAME" for every option that the video depends on. */
int kz_key_add_options(kz_key *key, const kz_job_options *options);

/* Compares with what the journal has. Returns 0; KZ_ERROR_USAGE when something was asked for
 * otherwise than now (reported: what, and that --restart begins anew). `output` is for the message.
 */
int kz_key_compare(const kz_key *key, const kz_journal *journal, const char *output, kz_log *log);

#endif
