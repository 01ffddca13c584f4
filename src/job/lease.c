#include "job/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/mem.h"
#include "base/thread.h"
#include "job/store.h"

enum { TEXT = 300, LOOK_MS = 2000 };

struct kz_lease {
    char *path;
    char owner[TEXT - 40]; /* machine and process, in one word each */
    unsigned long beats;
};

static char *path_of(const char *output)
{
    const char *slash = strrchr(output, '/');
    const char *base = slash ? slash + 1 : output;
    return kz_asprintf("%.*s.%.180s.lease", (int)(base - output), output, base);
}

/* Machine, boot and process; names of hosts aren't unique, boots are. */
static void name_owner(char *owner, size_t size)
{
    char boot[64] = "", worker[80];
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file && !fgets(boot, sizeof(boot), file))
        boot[0] = '\0';
    if (file)
        fclose(file);
    boot[strcspn(boot, "\n")] = '\0';
    snprintf(owner, size, "%s %s", boot, kz_worker_name(worker, sizeof(worker), 0));
}

static int write_new(const kz_lease *lease)
{
    char text[TEXT];
    const int fd = open(lease->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno;
    snprintf(text, sizeof(text), "%s %lu\n", lease->owner, lease->beats);
    int error = kz_disk_write(fd, text, strlen(text));
    close(fd);
    return error;
}

static bool read_text(const char *path, char text[TEXT])
{
    FILE *file = fopen(path, "re");
    const size_t size = file ? fread(text, 1, TEXT - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = '\0';
    return file != NULL;
}

/* The owner is a process of this machine that has ended. */
static bool is_dead(const kz_lease *lease, const char *text)
{
    const size_t boot = strcspn(lease->owner, " ") + 1;
    if (strncmp(text, lease->owner, boot) != 0)
        return false;
    return !kz_worker_lives(text + boot);
}

/* It stays as it is for as long as a dead owner's would. */
static bool is_left(const char *path, const char *before, int stop_fd)
{
    char now[TEXT];
    struct pollfd fd = {.fd = stop_fd, .events = POLLIN};
    const double until = kz_now() + KZ_LEASE_SECONDS;
    while (kz_now() < until) {
        if (poll(&fd, 1, LOOK_MS) > 0 || !read_text(path, now) || strcmp(now, before) != 0)
            return false;
    }
    return true;
}

/* Whoever gets it away under a name of his own has it; a fresh one that came meanwhile goes back.
 */
static void remove_left(const kz_lease *lease, const char *before)
{
    char text[TEXT];
    char *mine = kz_asprintf("%s.%ld", lease->path, (long)getpid());
    if (mine && rename(lease->path, mine) == 0) {
        if (read_text(mine, text) && strcmp(text, before) != 0)
            (void)!link(mine, lease->path);
        unlink(mine);
    }
    kz_free(mine);
}

int kz_lease_take(kz_lease **lease, const char *path, int stop_fd, kz_log *log)
{
    char before[TEXT];
    kz_lease *fresh = *lease = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, path);
    fresh->path = path_of(path);
    name_owner(fresh->owner, sizeof(fresh->owner));
    int error = fresh->path ? write_new(fresh) : ENOMEM;
    if (error == EEXIST && read_text(fresh->path, before) &&
        (is_dead(fresh, before) || is_left(fresh->path, before, stop_fd))) {
        remove_left(fresh, before);
        error = write_new(fresh);
    }
    if (!error)
        return 0;
    kz_free(fresh->path);
    kz_free(fresh);
    *lease = NULL;
    if (error == EEXIST)
        return KZ_AGAIN;
    return kz_fail(log, KZ_ERROR_FAILED, "%s: %s", path, strerror(error));
}

static bool is_ours(const kz_lease *lease)
{
    char text[TEXT];
    return read_text(lease->path, text) && strncmp(text, lease->owner, strlen(lease->owner)) == 0;
}

int kz_lease_beat(kz_lease *lease)
{
    char text[TEXT];
    if (!is_ours(lease))
        return KZ_ERROR_CANCELLED;
    lease->beats++;
    snprintf(text, sizeof(text), "%s %lu\n", lease->owner, lease->beats);
    return kz_disk_replace(lease->path, text, strlen(text)) ? KZ_ERROR_FAILED : 0;
}

void kz_lease_close(kz_lease **lease)
{
    if (!*lease)
        return;
    if (is_ours(*lease))
        unlink((*lease)->path);
    kz_free((*lease)->path);
    kz_free(*lease);
    *lease = NULL;
}
