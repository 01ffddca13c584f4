#include "job/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/mem.h"
#include "job/after.h"
#include "job/files.h"
#include "job/folder.h"
#include "job/identity.h"

enum { MOST_DEPTH = 64 };

struct scan {
    kz_store *store;
    const kz_scan_params *params;
    struct stat output, moved_to; /* as far as they exist */
    double next;
};

static void wait_for(struct scan *s, double seconds)
{
    if (s->next < 0 || seconds < s->next)
        s->next = seconds;
}

/* Somebody writes to it: the kernel refuses a lease then (fcntl(2)). Where it knows no leases (on
 * network file systems), or the file is another user's, only time tells. */
static bool is_being_written(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return false;
    const bool busy = fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && errno == EAGAIN;
    if (!busy)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    close(fd);
    return busy;
}

/* ---- a job of a file ---- */

/* OUT/sub/STEM.mkv; with the whole name where another input has that. */
static char *output_of(const struct scan *s, const char *path, bool whole)
{
    const kz_scan_params *p = s->params;
    const char *inside = path + strlen(p->root);
    const char *dot = strrchr(inside, '.');
    const int length = whole || !dot ? (int)strlen(inside) : (int)(dot - inside);
    return kz_asprintf("%s%.*s%s", p->output, length, inside, p->ending);
}

/* The output's name that is free for this input. *taken: by a file that is no job's. 0 or an error.
 */
static int choose_output(const struct scan *s, const char *path, char **output, bool *taken)
{
    int error = 0;
    *taken = false;
    for (int whole = 0; whole < 2 && !error; whole++) {
        char *owner = NULL;
        *output = output_of(s, path, whole);
        if (!*output)
            return kz_fail_memory(s->params->log, path);
        error = kz_store_owner(s->store, *output, &owner);
        const bool mine = owner && strcmp(owner, path) == 0;
        const bool others = owner && !mine;
        kz_free(owner);
        if (!error && !others) {
            *taken = !mine && access(*output, F_OK) == 0;
            return 0;
        }
        kz_free(*output);
        *output = NULL;
    }
    *taken = true;
    return error;
}

static int queue(struct scan *s, const char *path, const char *output, const char *arguments)
{
    const kz_scan_params *p = s->params;
    char content[KZ_DIGEST_TEXT];
    bool fresh = false;
    int64_t id = 0;
    if (kz_identity(content, path, p->log) != 0)
        return 0; /* it may be readable later */
    const kz_request request = {.input = path,
                                .output = output,
                                .content = content,
                                .arguments = arguments,
                                .most_attempts = p->most_attempts};
    int error = kz_store_add(s->store, &request, &id, &fresh);
    kz_record record;
    if (!error)
        error = kz_files_take(s->store, path);
    if (!error && fresh && kz_store_get(s->store, id, &record) == 0) {
        kz_event(p->events, "queued", &record, NULL);
        kz_record_free(&record);
    }
    return error;
}

static int take_file(struct scan *s, const char *path, const char *arguments)
{
    char *output = NULL;
    bool taken = false;
    int error = choose_output(s, path, &output, &taken);
    if (!error && taken) {
        char *text = kz_asprintf("%s: %s is there already", path, output ? output : "its output");
        kz_event(s->params->events, "left alone", NULL, text);
        kz_free(text);
        error = kz_files_take(s->store, path);
    } else if (!error) {
        error = queue(s, path, output, arguments);
    }
    kz_free(output);
    return error;
}

static int look_at(struct scan *s, const char *path, const struct stat *st, const char *arguments)
{
    kz_file_state state;
    int error = kz_files_see(s->store, path, st, &state);
    if (error || state.taken)
        return error;
    if (state.age < s->params->settle || is_being_written(path)) {
        wait_for(s, state.age < s->params->settle ? s->params->settle - state.age : 1);
        return 0;
    }
    return take_file(s, path, arguments);
}

/* ---- the tree ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int scan_folder(struct scan *s, const char *path, const char *arguments, int depth);

static int look_into(struct scan *s, const char *path, const char *name, const char *arguments,
                     int depth)
{
    struct stat st;
    char *inside = kz_asprintf("%s/%s", path, name);
    int error = inside ? 0 : kz_fail_memory(s->params->log, path);
    /* Links to folders aren't followed: they may lead round in a circle. */
    if (!error && lstat(inside, &st) == 0) {
        if (S_ISDIR(st.st_mode) && s->params->recursive && depth < MOST_DEPTH)
            error = scan_folder(s, inside, arguments, depth + 1);
        else if (kz_is_video_name(name) && !S_ISDIR(st.st_mode) && stat(inside, &st) == 0 &&
                 S_ISREG(st.st_mode))
            error = look_at(s, inside, &st, arguments);
    }
    kz_free(inside);
    return error;
}

static int scan_entries(struct scan *s, DIR *folder, const char *path, const char *arguments,
                        int depth)
{
    int error = 0;
    for (struct dirent *e; !error && (e = readdir(folder));)
        if (e->d_name[0] != '.')
            error = look_into(s, path, e->d_name, arguments, depth);
    return error;
}

static int scan_folder(struct scan *s, const char *path, const char *arguments, int depth)
{
    struct stat st;
    DIR *folder = opendir(path);
    char *own = NULL;
    if (!folder) {
        if (errno != ENOENT)
            kz_log_line(s->params->log, KZ_LOG_WARNING, "%s: %s", path, strerror(errno));
        return 0;
    }
    int error = 0;
    if (fstat(dirfd(folder), &st) == 0 && !same_file(&s->output, &st) &&
        !same_file(&s->moved_to, &st)) {
        if (s->params->inotify >= 0)
            (void)!inotify_add_watch(s->params->inotify, path,
                                     IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR);
        const int broken = kz_folder_arguments(&own, path, arguments, s->params->log);
        if (!broken)
            error = scan_entries(s, folder, path, own, depth);
    }
    closedir(folder);
    kz_free(own);
    return error;
}

int kz_scan(kz_store *store, const kz_scan_params *params, double *next)
{
    struct scan s = {.store = store, .params = params, .next = -1};
    if (stat(params->output, &s.output) != 0)
        s.output = (struct stat){0};
    if (!params->moved_to || stat(params->moved_to, &s.moved_to) != 0)
        s.moved_to = (struct stat){0};
    int error = scan_folder(&s, params->root, params->arguments, 0);
    *next = s.next;
    return error;
}
