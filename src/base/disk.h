/* Putting bytes on disk so that they are there after a power cut. Functions return 0 or an errno;
 * nothing is reported. */
#ifndef KZ_BASE_DISK_H
#define KZ_BASE_DISK_H

#include <stddef.h>

/* Writes everything, however often it takes. */
int kz_disk_write(int fd, const void *data, size_t size);

/* Makes what was created, renamed or removed in the folder last. File systems that can't are no
 * failure. */
int kz_disk_sync_folder(const char *path);

/* The same for the folder that `path` lies in. */
int kz_disk_sync_folder_of(const char *path);

/* Writes `path` anew as a whole: after a crash it holds the old bytes or all of the new ones. */
int kz_disk_replace(const char *path, const void *data, size_t size);

/* rename() that fails with EEXIST rather than replace a file. On a file system that knows neither
 * how to do that nor hard links, one that appears at the very moment is replaced. */
int kz_disk_rename_new(const char *from, const char *to);

/* Removes a folder and the files in it, the one called `last` last: as long as that is there, the
 * folder tells what it was. */
int kz_disk_remove_folder(const char *path, const char *last);

#endif
