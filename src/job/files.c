#include "job/files.h"

#include <string.h>

#include "job/store_internal.h"

static int64_t time_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static int note(kz_store *store, const char *path, const struct stat *st)
{
    return kz_store_change(store, "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, 0)",
                           "tiiitd", path, (int64_t)st->st_size, time_of(st), (int64_t)st->st_ino,
                           store->boot, kz_since_boot());
}

int kz_files_see(kz_store *store, const char *path, const struct stat *st, kz_file_state *state)
{
    sqlite3_stmt *row = kz_store_query(
        store, "SELECT size, time, number, boot, seen, taken FROM files WHERE path = ?", "t", path);
    int error = row ? kz_store_row(store, row) : KZ_ERROR_FAILED;
    bool same = false;
    *state = (kz_file_state){0};
    if (!error && sqlite3_column_int64(row, 0) == st->st_size &&
        sqlite3_column_int64(row, 1) == time_of(st) &&
        sqlite3_column_int64(row, 2) == (int64_t)st->st_ino) {
        const char *boot = (const char *)sqlite3_column_text(row, 3);
        state->taken = sqlite3_column_int(row, 5);
        /* What was seen before the machine was booted counts from now. */
        same = state->taken || (boot && strcmp(boot, store->boot) == 0);
        state->age = kz_since_boot() - sqlite3_column_double(row, 4);
    }
    sqlite3_finalize(row);
    if (error && error != KZ_END)
        return error;
    if (same)
        return 0;
    state->age = 0;
    return note(store, path, st);
}

int kz_files_take(kz_store *store, const char *path)
{
    return kz_store_change(store, "UPDATE files SET taken = 1 WHERE path = ?", "t", path);
}
