/* Ctrl-C and friends as a flag. */
#ifndef KZ_CMD_SIGNALS_H
#define KZ_CMD_SIGNALS_H

#include <signal.h>
#include <stdatomic.h>

#include "base/log.h"

typedef struct kz_signals kz_signals;

/* Adds a signal to the set, unless whoever started the process had it ignored, as nohup does with
 * SIGHUP and a shell with SIGINT for what runs behind it: a signalfd(2) would tell of it. */
void kz_signals_add(sigset_t *set, int number);

/* Blocks SIGINT, SIGTERM and SIGHUP, those that aren't ignored, in this thread and those it starts
 * later, ignores SIGPIPE, and waits for them on a thread of its own. The first one sets *stop. If
 * the process hasn't ended the work three quarters of a second later (an encoder may be deep in a
 * large frame), or a second signal comes, the unfinished files are removed and the process exits
 * with code 255. */
int kz_signals_open(kz_signals **signals, atomic_bool *stop, kz_log *log);
void kz_signals_close(kz_signals **signals);

/* `path` is an unfinished file, too, one of two at most; NULL: none is any more. Thread-safe. */
void kz_signals_unfinished(kz_signals *signals, const char *path);

#endif
