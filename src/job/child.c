#include "job/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/mem.h"
#include "base/thread.h"

enum { LINE = 4096 };

struct kz_child {
    pid_t pid;
    int fd; /* its standard error */
    kz_child_news news;
    char line[LINE]; /* the one being read; what doesn't fit is dropped */
    size_t length;
    char error[LINE], encoder[LINE];
};

/* ---- start ---- */

/* Between fork() and exec() only what is safe in a signal handler. */
__attribute__((noreturn)) static void become(const char *const *argv, int in, int err, int nice)
{
    sigset_t none;
    const int nothing = open("/dev/null", O_RDWR);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGTERM, SIG_DFL); /* whatever this process ignores: it is how a child is asked to end */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Ctrl-C on the terminal is for whoever started this. */
    setpgid(0, 0);
    if (nice)
        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + nice);
    if (dup2(in < 0 ? nothing : in, STDIN_FILENO) >= 0 && dup2(nothing, STDOUT_FILENO) >= 0 &&
        (err < 0 || dup2(err, STDERR_FILENO) >= 0))
        execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

int kz_child_start(kz_child **child, const char *const *argv, int nice, kz_log *log)
{
    kz_child *c = *child = kz_alloc(1, sizeof(*c));
    int fds[2];
    if (!c)
        return kz_fail_memory(log, "a process");
    if (pipe2(fds, O_CLOEXEC) != 0) {
        kz_free(c);
        *child = NULL;
        return kz_fail(log, KZ_ERROR_FAILED, "a process: %s", strerror(errno));
    }
    c->fd = fds[0];
    c->news.error = c->error;
    c->news.encoder = c->encoder;
    c->pid = fork();
    if (c->pid == 0)
        become(argv, -1, fds[1], nice);
    close(fds[1]);
    if (c->pid > 0)
        return 0;
    c->news.ended = true;
    kz_child_close(child);
    return kz_fail(log, KZ_ERROR_FAILED, "a process: %s", strerror(errno));
}

/* ---- lines ---- */

static void take_line(kz_child *c)
{
    static const char mark[] = "kizuna: error: ", encoder[] = "encoder ";
    long long frames, total;
    double fps;
    c->line[c->length] = '\0';
    c->length = 0;
    if (sscanf(c->line, "{\"frame\":%lld,\"total\":%lld,\"fps\":%lf", &frames, &total, &fps) == 3) {
        c->news.frames = frames;
        c->news.total = total;
        c->news.fps = fps;
        const char *bytes = strstr(c->line, "\"bytes\":");
        c->news.bytes = bytes ? strtoll(bytes + strlen("\"bytes\":"), NULL, 10) : 0;
    } else if (strncmp(c->line, mark, strlen(mark)) == 0) {
        memcpy(c->error, c->line + strlen(mark), strlen(c->line) - strlen(mark) + 1);
    } else if (strncmp(c->line, encoder, strlen(encoder)) == 0) {
        memcpy(c->encoder, c->line + strlen(encoder), strlen(c->line) - strlen(encoder) + 1);
    }
}

static void take_bytes(kz_child *c, const char *bytes, ssize_t count)
{
    for (ssize_t i = 0; i < count; i++) {
        if (bytes[i] == '\n')
            take_line(c);
        else if (c->length < LINE - 1)
            c->line[c->length++] = bytes[i];
    }
}

static void take_end(kz_child *c)
{
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    c->news.ended = true;
    c->news.killed =
        WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM);
    c->news.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (WIFSIGNALED(status))
        snprintf(c->error, sizeof(c->error), "its process was ended by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (c->news.code && !c->error[0])
        snprintf(c->error, sizeof(c->error), "its process ended with exit code %d", c->news.code);
}

/* The kernel counts it, for all threads. */
static void look_what_was_read(kz_child *c)
{
    char path[64];
    long long count;
    snprintf(path, sizeof(path), "/proc/%ld/io", (long)c->pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "rchar: %lld", &count) == 1)
        c->news.read = count;
    if (file)
        fclose(file);
}

void kz_child_wait(kz_child *c, double seconds, kz_child_news *news)
{
    const double until = kz_now() + seconds;
    struct pollfd fd = {.fd = c->fd, .events = POLLIN};
    char bytes[4096];
    for (double left; !c->news.ended && (left = until - kz_now()) > 0;) {
        if (poll(&fd, 1, (int)(left * 1000) + 1) <= 0)
            continue;
        const ssize_t got = read(c->fd, bytes, sizeof(bytes));
        if (got > 0)
            take_bytes(c, bytes, got);
        else if (got == 0 || errno != EINTR)
            take_end(c);
    }
    if (!c->news.ended)
        look_what_was_read(c);
    *news = c->news;
}

/* ---- end ---- */

void kz_child_stop(kz_child *c)
{
    if (!c->news.ended)
        kill(c->pid, SIGTERM);
}

void kz_child_kill(kz_child *c)
{
    if (!c->news.ended)
        kill(c->pid, SIGKILL);
}

void kz_child_close(kz_child **child)
{
    kz_child *c = *child;
    if (!c)
        return;
    kz_child_kill(c);
    if (!c->news.ended)
        take_end(c);
    close(c->fd);
    kz_free(c);
    *child = NULL;
}

/* Its end, or ours of patience. */
static void wait_for_hook(pid_t pid)
{
    struct pollfd fd = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    if (fd.fd < 0)
        return;
    if (poll(&fd, 1, KZ_HOOK_SECONDS * 1000) == 0)
        kill(-pid, SIGKILL);
    close(fd.fd);
}

int kz_child_hook(const char *command, const char *text, kz_log *log)
{
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    int fds[2], status = 0;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return kz_fail(log, KZ_ERROR_FAILED, "%s: %s", command, strerror(errno));
    const pid_t pid = fork();
    if (pid == 0)
        become(argv, fds[0], -1, 0);
    close(fds[0]);
    /* A hook needn't read what it is given. */
    if (pid > 0)
        (void)!kz_disk_write(fds[1], text, strlen(text));
    close(fds[1]);
    if (pid < 0)
        return kz_fail(log, KZ_ERROR_FAILED, "%s: %s", command, strerror(errno));
    wait_for_hook(pid);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
