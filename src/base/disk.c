#include "base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int kz_disk_write(int fd, const void *data, size_t size)
{
    const char *bytes = data;
    while (size) {
        const ssize_t wrote = write(fd, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return errno;
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

int kz_disk_sync_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return error == EINVAL || error == ENOTSUP || error == EBADF ? 0 : error;
}

static int write_new(const char *path, const void *data, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno;
    int error = kz_disk_write(fd, data, size);
    if (!error && fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && !error)
        error = errno;
    return error;
}

int kz_disk_sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? kz_asprintf("%.*s/", (int)(slash - path), path) : kz_strdup(".");
    const int error = folder ? kz_disk_sync_folder(folder) : ENOMEM;
    kz_free(folder);
    return error;
}

int kz_disk_replace(const char *path, const void *data, size_t size)
{
    char *fresh = kz_asprintf("%s.new", path);
    int error = fresh ? write_new(fresh, data, size) : ENOMEM;
    if (!error && rename(fresh, path) != 0)
        error = errno;
    if (error && fresh)
        unlink(fresh);
    kz_free(fresh);
    return error ? error : kz_disk_sync_folder_of(path);
}

/* What link() says where there are no hard links. */
static bool knows_no_links(int code)
{
    return code == EPERM || code == ENOSYS || code == EOPNOTSUPP || code == EINVAL;
}

int kz_disk_rename_new(const char *from, const char *to)
{
    struct stat st;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    if (link(from, to) == 0)
        return unlink(from) == 0 ? 0 : errno;
    if (!knows_no_links(errno))
        return errno;
    if (lstat(to, &st) == 0)
        return EEXIST;
    return rename(from, to) == 0 ? 0 : errno;
}

int kz_disk_remove_folder(const char *path, const char *last)
{
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? 0 : errno;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strcmp(entry->d_name, last) != 0)
            unlinkat(dirfd(folder), entry->d_name, 0);
    unlinkat(dirfd(folder), last, 0);
    closedir(folder);
    return rmdir(path) == 0 ? 0 : errno;
}
