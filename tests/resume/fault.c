/* Preloaded into the program: the n-th thing done to a file of an unfinished run (written, synced,
 * renamed, cut) fails, or the power goes off there.
 *   KZ_FAULT=kill|torn|ENOSPC|EIO  KZ_FAULT_AT=n  KZ_FAULT_COUNT=file for how many there were
 *   KZ_FAULT_FOLDER=path of a folder that can't be synced
 *   KZ_NO_LINKS=1: a file system without hard links, on which a rename always replaces
 *   KZ_CLOCK=seconds to add to the clock of the day
 *   KZ_CLOCK_RATE=n: the clock that only grows goes n times as fast
 *   KZ_SLOW_READ=milliseconds that reading from a file below KZ_SLOW_FOLDER takes */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static atomic_long count;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_of_run(const char *path)
{
    return strstr(path, ".kizuna/") != NULL;
}

static int fd_is_of_run(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof(path) - 1);
    if (length <= 0)
        return 0;
    path[length] = '\0';
    return is_of_run(path);
}

/* It is this one's turn. */
static int strikes(void)
{
    const char *at = getenv("KZ_FAULT_AT");
    const long number = atomic_fetch_add(&count, 1) + 1;
    return at && number == atol(at);
}

static int strike(void)
{
    const char *fault = getenv("KZ_FAULT");
    if (fault && strcmp(fault, "ENOSPC") == 0)
        errno = ENOSPC;
    else if (fault && strcmp(fault, "EIO") == 0)
        errno = EIO;
    else
        kill(getpid(), SIGKILL);
    return -1;
}

ssize_t write(int fd, const void *data, size_t size)
{
    const char *fault = getenv("KZ_FAULT");
    if (!fd_is_of_run(fd) || !strikes())
        return REAL(write)(fd, data, size);
    if (fault && strcmp(fault, "torn") == 0)
        (void)!REAL(write)(fd, data, size / 2);
    return strike();
}

ssize_t read(int fd, void *data, size_t size)
{
    const char *slow = getenv("KZ_SLOW_READ"), *folder = getenv("KZ_SLOW_FOLDER");
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t length = slow && folder ? readlink(link, path, sizeof(path)) : 0;
    if (length > 0 && (size_t)length > strlen(folder) && !memcmp(path, folder, strlen(folder)))
        usleep(1000 * (unsigned)atoi(slow));
    return REAL(read)(fd, data, size);
}

int fsync(int fd)
{
    const char *folder = getenv("KZ_FAULT_FOLDER");
    struct stat broken, st;
    if (folder && stat(folder, &broken) == 0 && fstat(fd, &st) == 0 && broken.st_dev == st.st_dev &&
        broken.st_ino == st.st_ino) {
        errno = EIO;
        return -1;
    }
    return fd_is_of_run(fd) && strikes() ? strike() : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return fd_is_of_run(fd) && strikes() ? strike() : REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t size)
{
    return fd_is_of_run(fd) && strikes() ? strike() : REAL(ftruncate)(fd, size);
}

int rename(const char *from, const char *to)
{
    return is_of_run(from) && strikes() ? strike() : REAL(rename)(from, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    if (flags && getenv("KZ_NO_LINKS")) {
        errno = EINVAL;
        return -1;
    }
    return is_of_run(from) && strikes() ? strike()
                                        : REAL(renameat2)(from_fd, from, to_fd, to, flags);
}

int link(const char *from, const char *to)
{
    if (!getenv("KZ_NO_LINKS"))
        return REAL(link)(from, to);
    errno = EPERM;
    return -1;
}

int unlink(const char *path)
{
    return is_of_run(path) && strikes() ? strike() : REAL(unlink)(path);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    const char *shift = getenv("KZ_CLOCK"), *rate = getenv("KZ_CLOCK_RATE");
    const int result = REAL(clock_gettime)(clock, time);
    if (result == 0 && rate && clock == CLOCK_MONOTONIC) {
        const double now = ((double)time->tv_sec + 1e-9 * (double)time->tv_nsec) * atof(rate);
        time->tv_sec = (time_t)now;
        time->tv_nsec = (long)((now - (double)time->tv_sec) * 1e9);
    }
    if (result == 0 && shift && clock == CLOCK_REALTIME)
        time->tv_sec += atol(shift);
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("KZ_FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file)
        return;
    fprintf(file, "%ld\n", (long)count);
    fclose(file);
}
