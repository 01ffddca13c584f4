/* Moving and copying files as a watch folder does: never onto another file, and whole or not at
 * all. Functions return 0 or an errno; nothing is reported. */
#ifndef KZ_JOB_PLACE_H
#define KZ_JOB_PLACE_H

#include <stdbool.h>

/* Makes the folders that `path` lies in. */
int kz_place_folders(const char *path);

/* Copies a file's content, mode and times under a temporary name that becomes `to` when it is on
 * disk; sharing the blocks where the file system can. An existing file is EEXIST unless `replace`.
 */
int kz_place_copy(const char *from, const char *to, bool replace);

/* Another name for the same content; a copy where that can't be. */
int kz_place_link(const char *from, const char *to);

/* Across file systems too: then copied, and removed when the copy is on disk. */
int kz_place_move(const char *from, const char *to);

#endif
