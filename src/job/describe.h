/* A job as JSON: for lists, hooks and logs. */
#ifndef KZ_JOB_DESCRIBE_H
#define KZ_JOB_DESCRIBE_H

#include "job/store.h"

/* One line, without its end; the caller kz_free()s it. Bytes of names that aren't UTF-8 are written
 * as lone surrogates, as Python's surrogateescape does, so that they can be got back. NULL when
 * memory is short. */
char *kz_record_json(const kz_record *record);

/* The same of one string, with its quotes. */
char *kz_json_string(const char *text);

#endif
