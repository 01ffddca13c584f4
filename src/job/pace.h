/* How fast this machine ran a network, kept from run to run in $XDG_CACHE_HOME/kizuna/paces or
 * ~/.cache/kizuna/paces: what is chosen by it is chosen alike by every run, by plans, and by the
 * jobs of a watched folder. Nothing depends on the file: where it can't be read or written nothing
 * is known, or it stays as it is. Thread-safe, also between processes. */
#ifndef KZ_JOB_PACE_H
#define KZ_JOB_PACE_H

/* The least seconds that were kept of `key`, a line of text; 0: none. */
double kz_pace_known(const char *key);

/* Keeps what was measured. */
void kz_pace_keep(const char *key, double seconds);

#endif
