#include "job/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/mem.h"

int kz_place_folders(const char *path)
{
    char *copy = kz_strdup(path);
    int error = copy ? 0 : ENOMEM;
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash && !error;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            error = errno;
        *slash = '/';
    }
    kz_free(copy);
    return error;
}

static int copy_bytes(int from, int to)
{
    char buffer[1 << 16];
    ssize_t got;
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    while ((got = read(from, buffer, sizeof(buffer))) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        const int error = got < 0 ? errno : kz_disk_write(to, buffer, (size_t)got);
        if (error)
            return error;
    }
    return 0;
}

static int copy_to(int from, const char *part)
{
    struct stat st;
    if (fstat(from, &st) != 0)
        return errno;
    const int to =
        open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, st.st_mode & 0777);
    if (to < 0)
        return errno;
    int error = copy_bytes(from, to);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    if (!error)
        (void)!futimens(to, times);
    if (!error && fsync(to) != 0)
        error = errno;
    if (close(to) != 0 && !error)
        error = errno;
    return error;
}

static char *part_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    return kz_asprintf("%.*s.%.180s.%ld.part", (int)(base - path), path, base, (long)getpid());
}

int kz_place_copy(const char *from, const char *to, bool replace)
{
    char *part = part_of(to);
    const int fd = open(from, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : part ? copy_to(fd, part) : ENOMEM;
    if (!error)
        error = replace ? (rename(part, to) == 0 ? 0 : errno) : kz_disk_rename_new(part, to);
    if (error && part)
        unlink(part);
    if (fd >= 0)
        close(fd);
    kz_free(part);
    return error;
}

int kz_place_link(const char *from, const char *to)
{
    if (link(from, to) == 0)
        return 0;
    return errno == EEXIST ? EEXIST : kz_place_copy(from, to, false);
}

int kz_place_move(const char *from, const char *to)
{
    int error = kz_disk_rename_new(from, to);
    if (error != EXDEV)
        return error;
    error = kz_place_copy(from, to, false);
    if (!error)
        error = kz_disk_sync_folder_of(to); /* else a power cut could leave neither */
    if (!error && unlink(from) != 0)
        error = errno;
    return error;
}
