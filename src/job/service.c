#include "job/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/disk.h"

void kz_service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, strlen(path));
    /* A name that begins with @ is abstract. */
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    const size_t size = offsetof(struct sockaddr_un, sun_path) + strlen(path);
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                  (socklen_t)size);
    close(fd);
}

double kz_service_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && atol(pid) != (long)getpid()))
        return 0;
    return (double)atoll(usec) * 1e-6;
}

static void put(FILE *file, const char *name, const char *kind, const char *help, double value)
{
    fprintf(file, "# HELP kizuna_%s %s\n# TYPE kizuna_%s %s\nkizuna_%s %.17g\n", name, help, name,
            kind, name, value);
}

int kz_service_metrics(const char *path, const kz_store_counts *counts, double fps, kz_log *log)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return kz_fail_memory(log, path);
    fprintf(file, "# HELP kizuna_jobs Jobs in each state.\n# TYPE kizuna_jobs gauge\n");
    for (int i = 0; i < KZ_JOB_STATES; i++)
        fprintf(file, "kizuna_jobs{state=\"%s\"} %lld\n", kz_job_state_name((enum kz_job_state)i),
                (long long)counts->of[i]);
    put(file, "fps", "gauge", "Frames a second of all jobs under way.", fps);
    put(file, "failures_total", "counter", "Attempts that failed.", (double)counts->failures);
    put(file, "frames_total", "counter", "Frames of finished jobs.", (double)counts->frames);
    put(file, "output_bytes_total", "counter", "Bytes of finished outputs.", (double)counts->bytes);
    int error = fclose(file) == 0 ? kz_disk_replace(path, text, size) : ENOMEM;
    free(text);
    return error ? kz_fail(log, KZ_ERROR_FAILED, "%s: %s", path, strerror(error)) : 0;
}
