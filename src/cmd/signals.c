#include "cmd/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"

enum { GRACE_MS = 750, MOST_UNFINISHED = 2 };

struct kz_signals {
    atomic_bool *stop;
    kz_log *log;
    int signal_fd, end_fd;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    /* ---- protected by lock ---- */
    char *unfinished[MOST_UNFINISHED]; /* NULL: none */
};

/* Returns 1 for a signal, 0 when the time is up, -1 when the owner has ended the wait. */
static int wait_for_signal(kz_signals *s, int timeout)
{
    struct signalfd_siginfo info;
    struct pollfd fds[2] = {{.fd = s->signal_fd, .events = POLLIN},
                            {.fd = s->end_fd, .events = POLLIN}};
    while (poll(fds, 2, timeout) < 0) {
    }
    if (fds[1].revents)
        return -1;
    if (!fds[0].revents)
        return 0;
    return read(s->signal_fd, &info, sizeof(info)) == sizeof(info);
}

/* The other threads are left as they are: nothing of theirs is needed any more. */
static void give_up(kz_signals *s)
{
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < MOST_UNFINISHED; i++)
        if (s->unfinished[i])
            unlink(s->unfinished[i]);
    _exit(255);
}

static void *signals_main(void *argument)
{
    kz_signals *s = argument;
    if (wait_for_signal(s, -1) < 0)
        return NULL;
    atomic_store(s->stop, true);
    if (wait_for_signal(s, GRACE_MS) >= 0)
        give_up(s);
    return NULL;
}

void kz_signals_add(sigset_t *set, int number)
{
    struct sigaction old;
    if (sigaction(number, NULL, &old) != 0 || old.sa_handler != SIG_IGN)
        sigaddset(set, number);
}

static int start(kz_signals *s)
{
    sigset_t set;
    sigemptyset(&set);
    kz_signals_add(&set, SIGINT);
    kz_signals_add(&set, SIGTERM);
    kz_signals_add(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL))
        return KZ_ERROR_FAILED;
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    s->end_fd = eventfd(0, EFD_CLOEXEC);
    if (s->signal_fd < 0 || s->end_fd < 0)
        return KZ_ERROR_FAILED;
    if (pthread_create(&s->thread, NULL, signals_main, s))
        return KZ_ERROR_FAILED;
    s->started = true;
    return 0;
}

int kz_signals_open(kz_signals **signals, atomic_bool *stop, kz_log *log)
{
    kz_signals *s = *signals = kz_alloc(1, sizeof(*s));
    if (!s)
        return kz_fail_memory(log, "signals");
    *s = (kz_signals){.stop = stop, .log = log, .signal_fd = -1, .end_fd = -1};
    pthread_mutex_init(&s->lock, NULL);
    if (start(s)) {
        kz_signals_close(signals);
        return kz_fail(log, KZ_ERROR_FAILED, "cannot wait for signals");
    }
    return 0;
}

static void forget(kz_signals *s)
{
    for (int i = 0; i < MOST_UNFINISHED; i++) {
        kz_free(s->unfinished[i]);
        s->unfinished[i] = NULL;
    }
}

void kz_signals_close(kz_signals **signals)
{
    kz_signals *s = *signals;
    uint64_t one = 1;
    if (!s)
        return;
    if (s->started && write(s->end_fd, &one, sizeof(one)) == sizeof(one))
        pthread_join(s->thread, NULL);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
    if (s->end_fd >= 0)
        close(s->end_fd);
    pthread_mutex_destroy(&s->lock);
    forget(s);
    kz_free(s);
    *signals = NULL;
}

void kz_signals_unfinished(kz_signals *s, const char *path)
{
    int i = 0;
    pthread_mutex_lock(&s->lock);
    if (!path)
        forget(s);
    while (i < MOST_UNFINISHED && s->unfinished[i])
        i++;
    if (path && i < MOST_UNFINISHED)
        s->unfinished[i] = kz_strdup(path);
    pthread_mutex_unlock(&s->lock);
}
