/* What the files that keep something in the store's database share. */
#ifndef KZ_JOB_STORE_INTERNAL_H
#define KZ_JOB_STORE_INTERNAL_H

#include <sqlite3.h>

#include "job/store.h"

enum { KZ_BOOT_SIZE = 40 };

struct kz_store {
    sqlite3 *db;
    char *path;
    kz_log *log;
    char boot[KZ_BOOT_SIZE]; /* the kernel's name for this boot */
};

/* A statement with its values (i int64_t, d double, t text), NULL after a report. The caller
 * finalizes it. */
sqlite3_stmt *kz_store_query(const kz_store *store, const char *sql, const char *kinds, ...);

/* Its next row: 0, KZ_END or an error, reported. */
int kz_store_row(const kz_store *store, sqlite3_stmt *statement);

/* For a statement without rows. */
int kz_store_change(const kz_store *store, const char *sql, const char *kinds, ...);

double kz_since_boot(void);

#endif
