#include "job/pace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cache.h"
#include "base/disk.h"
#include "base/mem.h"
#include "base/reader.h"

/* A longer file is begun anew. */
enum { MOST_BYTES = 64 << 10 };

/* NULL: there is none, or no memory. */
static char *paces_in(const char *folder)
{
    return folder ? kz_asprintf("%s/paces", folder) : NULL;
}

/* Of a line "SECONDS KEY"; 0 where it isn't one of this key: a line may be cut, or anything. */
static double seconds_of(const char *line, const char *key)
{
    char *end;
    const double seconds = strtod(line, &end);
    return seconds > 0 && seconds < 1 && *end == ' ' && strcmp(end + 1, key) == 0 ? seconds : 0;
}

static double least_of(char *text, const char *key)
{
    double least = 0;
    for (char *line; (line = strsep(&text, "\n"));) {
        const double seconds = seconds_of(line, key);
        if (seconds > 0 && (least <= 0 || seconds < least))
            least = seconds;
    }
    return least;
}

double kz_pace_known(const char *key)
{
    char *folder = kz_cache_folder(), *path = paces_in(folder);
    kz_bytes text = {0};
    double least = 0;
    if (path && kz_file_read(&text, path, MOST_BYTES, NULL) == 0)
        least = least_of((char *)text.data, key);
    kz_free(text.data);
    kz_free(path);
    kz_free(folder);
    return least;
}

static void append(int fd, const char *line)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    if (st.st_size + (off_t)strlen(line) > MOST_BYTES)
        (void)!ftruncate(fd, 0);
    (void)!kz_disk_write(fd, line, strlen(line));
}

void kz_pace_keep(const char *key, double seconds)
{
    char *folder = kz_cache_folder(), *path = paces_in(folder);
    char *line = kz_asprintf("%.4g %s\n", seconds, key);
    if (folder)
        kz_cache_make(folder);
    /* O_NONBLOCK: opening a named pipe must not wait for a reader. */
    const int fd = path && line
                       ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0600)
                       : -1;
    if (fd >= 0) {
        append(fd, line);
        close(fd);
    }
    kz_free(line);
    kz_free(path);
    kz_free(folder);
}
