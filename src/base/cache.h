/* The folder for what may be lost: measurements that would have to be made again. */
#ifndef KZ_BASE_CACHE_H
#define KZ_BASE_CACHE_H

/* $XDG_CACHE_HOME/kizuna or ~/.cache/kizuna; as the XDG base directory specification has it, what
 * isn't absolute is ignored. NULL where there is neither, or memory is short. kz_free() it. */
char *kz_cache_folder(void);

/* Makes it, and the folder that it lies in. Whoever writes there then sees a failure. */
void kz_cache_make(const char *folder);

#endif
