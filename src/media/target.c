#include "media/target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libavutil/error.h>
#include <libavutil/mem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/mem.h"

#define BUFFER_BYTES (1 << 20)

/* Leaves room for the dots and the random part within the usual 255. */
#define MAX_NAME 200

struct kz_target {
    AVIOContext *io;
    kz_log *log;
    int fd;
    int error;
    bool overwrite;
    bool kept;    /* the temporary file isn't to be removed */
    char *name;   /* as the user wrote it */
    char *path;   /* the final one */
    char *folder; /* of path */
    char *part;   /* the temporary one; NULL for devices and pipes */
    atomic_llong bytes;
};

#if LIBAVFORMAT_VERSION_MAJOR >= 61
typedef const uint8_t io_bytes;
#else
typedef uint8_t io_bytes;
#endif

static int write_all(void *opaque, io_bytes *data, int size)
{
    kz_target *target = opaque;
    const int error = kz_disk_write(target->fd, data, (size_t)size);
    if (error) {
        target->error = target->error ? target->error : error;
        return AVERROR(error);
    }
    atomic_fetch_add(&target->bytes, size);
    return size;
}

static int64_t seek_to(void *opaque, int64_t offset, int whence)
{
    const kz_target *target = opaque;
    struct stat info;
    if (whence & AVSEEK_SIZE)
        return fstat(target->fd, &info) == 0 ? info.st_size : AVERROR(errno);
    const off_t place = lseek(target->fd, offset, whence & ~AVSEEK_FORCE);
    return place < 0 ? AVERROR(errno) : place;
}

static int open_io(kz_target *target)
{
    uint8_t *buffer = av_malloc(BUFFER_BYTES);
    if (buffer)
        target->io = avio_alloc_context(buffer, BUFFER_BYTES, 1, target, NULL, write_all,
                                        target->part ? seek_to : NULL);
    if (!buffer || !target->io) {
        av_free(buffer);
        return kz_fail_memory(target->log, "the output buffer");
    }
    target->io->seekable = target->part ? AVIO_SEEKABLE_NORMAL : 0;
    return 0;
}

static int report(const kz_target *target, int code, const char *what, int error)
{
    return kz_fail(target->log, code, "%s: %s%s", target->name, what, strerror(error));
}

/* A file of a random name, with the umask's mode, which mkstemp() wouldn't heed. */
static int open_random(kz_target *target, const char *base)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        uint32_t random = 0;
        if (getrandom(&random, sizeof(random), 0) < 0)
            random = (uint32_t)getpid() + (uint32_t)attempt;
        kz_free(target->part);
        target->part = kz_asprintf("%.*s.%.*s.%06" PRIx32 ".part", (int)(base - target->path),
                                   target->path, MAX_NAME, base, random & 0xffffff);
        if (!target->part)
            return kz_fail_memory(target->log, target->name);
        target->fd = open(target->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (target->fd >= 0 || errno != EEXIST)
            break;
    }
    return 0;
}

static int open_part(kz_target *target, const char *part)
{
    const char *slash = strrchr(target->path, '/');
    const char *base = slash ? slash + 1 : target->path;
    int result = 0;
    target->folder =
        slash ? kz_asprintf("%.*s/", (int)(slash - target->path), target->path) : kz_strdup(".");
    if (part)
        target->part = kz_strdup(part);
    if (!target->folder || (part && !target->part))
        return kz_fail_memory(target->log, target->name);
    if (part)
        target->fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    else
        result = open_random(target, base);
    if (result != 0 || target->fd >= 0)
        return result;
    target->kept = true;
    return report(target, errno == ENOENT || errno == ENOTDIR ? KZ_ERROR_USAGE : KZ_ERROR_FAILED,
                  "can't create a file in its folder: ", errno);
}

static int check_existing(const kz_target *target, const struct stat *info, const char *input)
{
    struct stat source;
    if (S_ISDIR(info->st_mode))
        return report(target, KZ_ERROR_USAGE, "", EISDIR);
    if (stat(input, &source) == 0 && source.st_dev == info->st_dev && source.st_ino == info->st_ino)
        return kz_fail(target->log, KZ_ERROR_USAGE, "%s: is the input itself", target->name);
    if (S_ISREG(info->st_mode) && !target->overwrite)
        return report(target, KZ_ERROR_USAGE, "", EEXIST);
    return 0;
}

static int open_path(kz_target *target, const char *part, const char *input)
{
    struct stat info;
    const bool exists = stat(target->name, &info) == 0;
    if (exists) {
        const int result = check_existing(target, &info, input);
        if (result != 0)
            return result;
    }
    if (exists && !S_ISREG(info.st_mode)) {
        target->fd = open(target->name, O_WRONLY | O_CLOEXEC);
        return target->fd < 0 ? report(target, KZ_ERROR_FAILED, "", errno) : 0;
    }
    /* A link to a file stays one: the file it points to is replaced. */
    char *real = exists ? realpath(target->name, NULL) : NULL;
    target->path = kz_strdup(real ? real : target->name);
    free(real);
    return target->path ? open_part(target, part) : kz_fail_memory(target->log, target->name);
}

int kz_target_open(kz_target **target, const char *path, const char *part, const char *input,
                   bool overwrite, kz_log *log)
{
    const bool pipe = strcmp(path, "-") == 0;
    kz_target *fresh = kz_alloc(1, sizeof(*fresh));
    *target = NULL;
    if (!fresh)
        return kz_fail_memory(log, path);
    fresh->log = log;
    fresh->overwrite = overwrite;
    fresh->fd = pipe ? STDOUT_FILENO : -1;
    fresh->name = kz_strdup(pipe ? "standard output" : path);
    int result = fresh->name ? 0 : kz_fail_memory(log, path);
    if (result == 0 && !pipe)
        result = open_path(fresh, part, input);
    if (result == 0)
        result = open_io(fresh);
    if (result != 0)
        kz_target_close(&fresh);
    *target = fresh;
    return result;
}

void kz_target_close(kz_target **target)
{
    kz_target *old = *target;
    if (!old)
        return;
    if (old->io)
        av_freep(&old->io->buffer);
    avio_context_free(&old->io);
    if (old->fd >= 0 && old->fd != STDOUT_FILENO)
        close(old->fd);
    if (old->part && !old->kept)
        unlink(old->part);
    kz_free(old->part);
    kz_free(old->folder);
    kz_free(old->path);
    kz_free(old->name);
    kz_free(old);
    *target = NULL;
}

AVIOContext *kz_target_io(const kz_target *target)
{
    return target->io;
}

const char *kz_target_name(const kz_target *target)
{
    return target->name;
}

const char *kz_target_temporary(const kz_target *target)
{
    return target->part;
}

int kz_target_error(const kz_target *target)
{
    return target->error;
}

int64_t kz_target_bytes(const kz_target *target)
{
    return atomic_load(&target->bytes);
}

void kz_target_keep(kz_target *target)
{
    target->kept = true;
}

int kz_target_commit(kz_target *target)
{
    if (!target->part)
        return 0;
    if (fsync(target->fd) != 0)
        return report(target, KZ_ERROR_FAILED, "", errno);
    const int error = target->overwrite ? (rename(target->part, target->path) == 0 ? 0 : errno)
                                        : kz_disk_rename_new(target->part, target->path);
    target->kept = true;
    if (!error) {
        /* Not every file system can, and the file itself is safe already. */
        (void)!kz_disk_sync_folder(target->folder);
        return 0;
    }
    /* The work is done and whole: hours aren't thrown away for a name. */
    return kz_fail(target->log, KZ_ERROR_FAILED, "%s: %s; the finished output is %s", target->name,
                   strerror(error), target->part);
}
