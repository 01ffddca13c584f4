/* Where models and presets lie. */
#ifndef KZ_JOB_DIRS_H
#define KZ_JOB_DIRS_H

enum { KZ_MAX_DIRS = 3 };

typedef struct kz_dirs {
    char *path[KZ_MAX_DIRS]; /* earlier ones win */
    int count;
} kz_dirs;

/* $KIZUNA_DATA_DIR, $XDG_DATA_HOME/kizuna (or ~/.local/share/kizuna; a relative one isn't valid by
 * the XDG Base Directory Specification), and where kizuna was installed to. 0 or KZ_ERROR_MEMORY.
 */
int kz_dirs_open(kz_dirs *dirs);
void kz_dirs_close(kz_dirs *dirs);

#endif
