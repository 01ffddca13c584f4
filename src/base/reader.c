#include "base/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int read_all(int fd, kz_bytes *bytes)
{
    size_t done = 0;
    while (done < bytes->size) {
        ssize_t n = read(fd, bytes->data + done, bytes->size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    bytes->size = done;
    bytes->data[done] = 0;
    return 0;
}

static int read_open_file(kz_bytes *bytes, int fd, const char *path, size_t limit, kz_log *log)
{
    struct stat st;
    if (fstat(fd, &st))
        return kz_fail(log, KZ_ERROR_FAILED, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return kz_fail(log, KZ_ERROR_FAILED, "%s: not a regular file", path);
    if ((uintmax_t)st.st_size > limit)
        return kz_fail(log, KZ_ERROR_FAILED, "%s: %jd bytes, more than the %zu allowed here", path,
                       (intmax_t)st.st_size, limit);
    bytes->size = (size_t)st.st_size;
    bytes->data = kz_alloc_raw(bytes->size + 1, 1);
    if (!bytes->data)
        return kz_fail_memory(log, path);
    int error = read_all(fd, bytes);
    if (error)
        return kz_fail(log, KZ_ERROR_FAILED, "%s: %s", path, strerror(error));
    return 0;
}

int kz_file_read(kz_bytes *bytes, const char *path, size_t limit, kz_log *log)
{
    *bytes = (kz_bytes){0};
    /* O_NONBLOCK: opening a named pipe must not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return kz_fail(log, KZ_ERROR_FAILED, "%s: %s", path, strerror(errno));
    int error = read_open_file(bytes, fd, path, limit, log);
    close(fd);
    if (error) {
        kz_free(bytes->data);
        *bytes = (kz_bytes){0};
    }
    return error;
}

int kz_pseudo_file_read(char **text, const char *path, size_t limit)
{
    kz_bytes bytes = {.data = kz_alloc_raw(limit + 1, 1), .size = limit};
    *text = NULL;
    if (!bytes.data)
        return KZ_ERROR_MEMORY;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int error = fd < 0 || read_all(fd, &bytes) || bytes.size == limit ? KZ_ERROR_FAILED : 0;
    if (fd >= 0)
        close(fd);
    if (error)
        kz_free(bytes.data);
    else
        *text = (char *)bytes.data;
    return error;
}

const uint8_t *kz_reader_take(kz_reader *reader, size_t count)
{
    if (count > reader->size - reader->position)
        return NULL;
    const uint8_t *bytes = reader->data + reader->position;
    reader->position += count;
    return bytes;
}

int kz_reader_u32(kz_reader *reader, uint32_t *value)
{
    const uint8_t *b = kz_reader_take(reader, 4);
    if (!b)
        return KZ_END;
    *value = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return 0;
}
