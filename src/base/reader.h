/* Bounded reading of files from outside: nothing is read past the end, counts are checked before
 * anything is allocated. A reader isn't thread-safe; it borrows its bytes. */
#ifndef KZ_BASE_READER_H
#define KZ_BASE_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

typedef struct kz_bytes {
    uint8_t *data; /* kz_free() it; one zero byte follows the last */
    size_t size;
} kz_bytes;

/* Reads a whole regular file of at most `limit` bytes. On failure reports and returns
 * KZ_ERROR_FAILED or KZ_ERROR_MEMORY, and *bytes is empty. */
int kz_file_read(kz_bytes *bytes, const char *path, size_t limit, kz_log *log);

/* Reads a file of less than `limit` bytes that the system makes up as it is read (in /proc, in
 * /sys), whose size therefore isn't told. *text ends with a zero byte; kz_free() it. 0,
 * KZ_ERROR_FAILED or KZ_ERROR_MEMORY, not reported: such files may well be missing; then *text is
 * NULL. */
int kz_pseudo_file_read(char **text, const char *path, size_t limit);

typedef struct kz_reader {
    const uint8_t *data;
    size_t size;
    size_t position;
} kz_reader;

/* The next `count` bytes, or NULL (and the position unchanged) when fewer are left. */
const uint8_t *kz_reader_take(kz_reader *reader, size_t count);

/* Reads a little-endian 32-bit word; 0, or KZ_END when fewer than four bytes are left. */
int kz_reader_u32(kz_reader *reader, uint32_t *value);

#endif
