#include "base/quota.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/reader.h"

enum { MOST_TEXT = 64 << 10 };

/* The file's text; NULL where there is none. */
static char *read_text(char *path)
{
    char *text = NULL;
    if (path)
        kz_pseudo_file_read(&text, path, MOST_TEXT);
    kz_free(path);
    return text;
}

/* `text` is the quota, `of` the period, in the same unit; "max" and negative ones are no limit. */
static int processors(const char *text, const char *of)
{
    double quota = text ? strtod(text, NULL) : 0, period = of ? strtod(of, NULL) : 0;
    if (!(quota > 0 && period > 0 && quota / period < INT_MAX))
        return 0;
    int whole = (int)(quota / period);
    return whole + (whole * period < quota);
}

/* Of the group at `path`, its first `length` bytes. */
static int quota_of(const char *root, const char *path, int length, int version)
{
    char *quota, *period = NULL;
    if (version == 2) {
        quota = read_text(kz_asprintf("%s/sys/fs/cgroup%.*s/cpu.max", root, length, path));
    } else {
        quota =
            read_text(kz_asprintf("%s/sys/fs/cgroup/cpu%.*s/cpu.cfs_quota_us", root, length, path));
        period = read_text(
            kz_asprintf("%s/sys/fs/cgroup/cpu%.*s/cpu.cfs_period_us", root, length, path));
    }
    const char *second = quota && version == 2 ? strchr(quota, ' ') : period;
    int count = processors(quota, second);
    kz_free(quota);
    kz_free(period);
    return count;
}

static int smaller(int a, int b)
{
    return !a || (b && b < a) ? b : a;
}

/* Of the group and all above it. In a container its own group may be what lies at the top, whatever
 * its path says: then the groups below aren't found there. */
static int quota_along(const char *root, const char *path, int version)
{
    int length = (int)strlen(path), least = 0;
    for (;;) {
        while (length > 0 && path[length - 1] == '/')
            length--;
        least = smaller(least, quota_of(root, path, length, version));
        if (length == 0)
            return least;
        while (length > 0 && path[length - 1] != '/')
            length--;
    }
}

/* Whether the list "cpu,cpuacct" names `cpu`. */
static int names_cpu(const char *controllers)
{
    for (const char *at = controllers; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == 3 && strncmp(at, "cpu", 3) == 0)
            return 1;
    return 0;
}

/* A line is "4:cpu,cpuacct:/path", in version 2 "0::/path". */
static int quota_of_line(const char *root, char *line)
{
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return 0;
    *path++ = 0;
    controllers++;
    if (!*controllers)
        return quota_along(root, path, 2);
    return names_cpu(controllers) ? quota_along(root, path, 1) : 0;
}

int kz_cpu_quota(const char *root)
{
    char *text = read_text(kz_asprintf("%s/proc/self/cgroup", root)), *rest = text, *line;
    int least = 0;
    while ((line = strsep(&rest, "\n")))
        least = smaller(least, quota_of_line(root, line));
    kz_free(text);
    return least;
}
