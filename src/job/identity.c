#include "job/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { PIECES = 64, PIECE_BYTES = 128 << 10 };

/* One piece into the digest; 0 or an errno. The file's end may cut it. */
static int add_piece(kz_digest *digest, int fd, off_t at, char *buffer)
{
    size_t done = 0;
    while (done < PIECE_BYTES) {
        const ssize_t got = pread(fd, buffer + done, PIECE_BYTES - done, at + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    kz_digest_add(digest, buffer, done);
    return 0;
}

static int add_pieces(kz_digest *digest, int fd, char *buffer)
{
    struct stat st;
    char size[32];
    int error = 0;
    if (fstat(fd, &st) != 0)
        return errno;
    snprintf(size, sizeof(size), "%jd\n", (intmax_t)st.st_size);
    kz_digest_add(digest, size, strlen(size));
    const off_t step = st.st_size > (off_t)PIECES * PIECE_BYTES
                           ? (st.st_size - PIECE_BYTES) / (PIECES - 1)
                           : PIECE_BYTES;
    for (off_t i = 0; i < PIECES && !error && i * step < st.st_size; i++)
        error = add_piece(digest, fd, i * step, buffer);
    return error;
}

int kz_identity(char text[KZ_DIGEST_TEXT], const char *path, kz_log *log)
{
    kz_digest *digest = NULL;
    char *buffer = kz_alloc_raw(PIECE_BYTES, 1);
    int error = 0;
    if (!buffer || kz_digest_open(&digest) != 0) {
        kz_free(buffer);
        return kz_fail_memory(log, path);
    }
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        error = errno;
    else
        error = add_pieces(digest, fd, buffer);
    if (fd >= 0)
        close(fd);
    kz_digest_text(digest, text);
    kz_digest_close(&digest);
    kz_free(buffer);
    return error ? kz_fail(log, KZ_ERROR_FAILED, "%s: %s", path, strerror(error)) : 0;
}
