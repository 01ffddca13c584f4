#include "cmd/stop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/signals.h"

struct kz_stop {
    atomic_bool *flag;
    int signals, end, reload, close;
    pthread_t thread;
    bool started;
};

static void ring(int fd)
{
    const uint64_t one = 1;
    (void)!write(fd, &one, sizeof(one));
}

static void *stop_main(void *argument)
{
    kz_stop *s = argument;
    struct pollfd fds[2] = {{.fd = s->close, .events = POLLIN},
                            {.fd = s->signals, .events = POLLIN}};
    for (;;) {
        struct signalfd_siginfo info;
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents)
            return NULL;
        if (read(s->signals, &info, sizeof(info)) != sizeof(info))
            continue;
        if (info.ssi_signo == SIGHUP) {
            ring(s->reload);
        } else {
            if (atomic_exchange(s->flag, true))
                _exit(255);
            ring(s->end);
        }
    }
}

int kz_stop_open(kz_stop **stop, atomic_bool *flag, kz_log *log)
{
    kz_stop *s = *stop = kz_alloc(1, sizeof(*s));
    sigset_t set;
    if (!s)
        return kz_fail_memory(log, "signals");
    sigemptyset(&set);
    kz_signals_add(&set, SIGINT);
    kz_signals_add(&set, SIGTERM);
    sigaddset(&set, SIGHUP); /* under nohup, too, it asks for a reload and ends nothing */
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->flag = flag;
    s->signals = signalfd(-1, &set, SFD_CLOEXEC);
    s->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->reload = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->close = eventfd(0, EFD_CLOEXEC);
    if (s->signals >= 0 && s->end >= 0 && s->reload >= 0 && s->close >= 0)
        s->started = pthread_create(&s->thread, NULL, stop_main, s) == 0;
    if (s->started)
        return 0;
    kz_stop_close(stop);
    return kz_fail(log, KZ_ERROR_FAILED, "cannot wait for signals");
}

void kz_stop_close(kz_stop **stop)
{
    kz_stop *s = *stop;
    if (!s)
        return;
    if (s->started) {
        ring(s->close);
        pthread_join(s->thread, NULL);
    }
    const int fds[] = {s->signals, s->end, s->reload, s->close};
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    kz_free(s);
    *stop = NULL;
}

int kz_stop_end_fd(const kz_stop *stop)
{
    return stop->end;
}

int kz_stop_reload_fd(const kz_stop *stop)
{
    return stop->reload;
}
