#include "pipeline/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/disk.h"
#include "base/mem.h"
#include "base/reader.h"

#define JOURNAL_LIMIT ((size_t)64 << 20)
#define MAX_NAME 180 /* of the output, within the usual 255 bytes */

enum { HASH_TEXT = 16, MAX_FACTS = 200, MAX_SEGMENTS = 1 << 20 };

struct kz_journal {
    kz_log *log;
    char *output; /* for messages */
    char *folder;
    int64_t bytes_before; /* of the segments it was opened with */
    int lock;             /* the folder's descriptor, -1: it isn't there */
    int fd;               /* the journal's, to append; -1: not begun */
    pthread_mutex_t mutex;
    /* ---- protected by mutex ---- */
    kz_fact facts[MAX_FACTS];
    int n_facts;
    kz_segment_info *segments;
    int n_segments;
    int64_t frames;
    int64_t reached;
    uintmax_t device, inode; /* of the file that was whole; 0: none was */
    off_t good;              /* bytes of the journal that hold */
};

static int failed(const kz_journal *j, const char *what, int error)
{
    return kz_fail(j->log, KZ_ERROR_FAILED, "%s: %s: %s", j->folder, what, strerror(error));
}

/* ---- paths ---- */

static char *folder_of(const char *output)
{
    const char *slash = strrchr(output, '/');
    const char *base = slash ? slash + 1 : output;
    char digest[KZ_DIGEST_TEXT];
    const int length = (int)(base - output);
    if (strlen(base) <= MAX_NAME)
        return kz_asprintf("%.*s.%s.kizuna", length, output, base);
    kz_digest_of(base, strlen(base), digest);
    return kz_asprintf("%.*s.%.*s.%.16s.kizuna", length, output, MAX_NAME - 20, base, digest);
}

char *kz_journal_path(const kz_journal *j, const char *name)
{
    return kz_asprintf("%s/%s", j->folder, name);
}

char *kz_journal_segment_path(const kz_journal *j, int segment)
{
    return kz_asprintf("%s/%06d.segment", j->folder, segment);
}

char *kz_journal_spool_path(const kz_journal *j, int segment)
{
    return kz_asprintf("%s/%06d.frames", j->folder, segment);
}

/* ---- lines ---- */

static void hash_line(char hash[KZ_DIGEST_TEXT], const char *text, size_t length)
{
    kz_digest_of(text, length, hash);
    hash[HASH_TEXT] = '\0';
}

/* Values hold whatever a user types: what would break a line is written as %XX. */
static char *escape(const char *value)
{
    char *text = kz_alloc(3 * strlen(value) + 1, 1), *to = text;
    for (; text && *value; value++) {
        const unsigned char c = (unsigned char)*value;
        if (c < ' ' || c == '%' || c == 127)
            to += sprintf(to, "%%%02x", c);
        else
            *to++ = (char)c;
    }
    return text;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void unescape(char *text)
{
    char *to = text;
    for (; *text; text++) {
        if (text[0] == '%' && digit(text[1]) >= 0 && digit(text[2]) >= 0) {
            *to++ = (char)(digit(text[1]) * 16 + digit(text[2]));
            text += 2;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
}

/* Appends a line (with its \n) as one write, so that only the last can be torn. */
static int append_locked(kz_journal *j, const char *text, bool sync)
{
    char hash[KZ_DIGEST_TEXT];
    hash_line(hash, text, strlen(text));
    char *line = kz_asprintf("%s %s\n", hash, text);
    if (!line)
        return kz_fail_memory(j->log, j->folder);
    const size_t size = strlen(line);
    int error = kz_disk_write(j->fd, line, size);
    if (!error && sync && fdatasync(j->fd) != 0)
        error = errno;
    kz_free(line);
    if (!error) {
        j->good += (off_t)size;
        return 0;
    }
    /* Half a line would hide those that follow. */
    if (ftruncate(j->fd, j->good) != 0 && error == 0)
        error = errno;
    return error;
}

static int append_text(kz_journal *j, char *text, bool sync)
{
    if (!text)
        return kz_fail_memory(j->log, j->folder);
    const int error = append_locked(j, text, sync);
    kz_free(text);
    return error > 0 ? failed(j, "journal", error) : error;
}

/* ---- reading ---- */

static const char *fact_locked(const kz_journal *j, const char *name)
{
    for (int i = 0; i < j->n_facts; i++)
        if (strcmp(j->facts[i].name, name) == 0)
            return j->facts[i].value;
    return NULL;
}

/* false: it can't be kept. */
static bool keep_fact(kz_journal *j, const char *name, const char *value)
{
    if (j->n_facts == MAX_FACTS)
        return false;
    kz_fact fact = {kz_strdup(name), kz_strdup(value)};
    if (!fact.name || !fact.value) {
        kz_free(fact.name);
        kz_free(fact.value);
        return false;
    }
    j->facts[j->n_facts++] = fact;
    return true;
}

static bool take_fact(kz_journal *j, char *text)
{
    char *space = strchr(text, ' ');
    if (!space)
        return false;
    *space = '\0';
    unescape(space + 1);
    return keep_fact(j, text, space + 1);
}

static bool keep_segment(kz_journal *j, const kz_segment_info *info)
{
    if (j->n_segments == MAX_SEGMENTS || info->frames <= 0)
        return false;
    if ((j->n_segments & (j->n_segments - 1)) == 0) {
        const size_t room = j->n_segments ? 2 * (size_t)j->n_segments : 1;
        kz_segment_info *grown = kz_alloc(room, sizeof(*grown));
        if (!grown)
            return false;
        if (j->n_segments)
            memcpy(grown, j->segments, (size_t)j->n_segments * sizeof(*grown));
        kz_free(j->segments);
        j->segments = grown;
    }
    j->segments[j->n_segments++] = *info;
    j->frames += info->frames;
    return true;
}

/* The file is there at its size. Its content is compared when it is read. */
static bool is_there(const kz_journal *j, const kz_segment_info *info)
{
    struct stat st;
    char *path = kz_journal_segment_path(j, j->n_segments);
    const bool there = path && lstat(path, &st) == 0 && S_ISREG(st.st_mode);
    kz_free(path);
    return there && st.st_size == info->bytes;
}

static bool take_segment(kz_journal *j, const char *text)
{
    kz_segment_info info = {0};
    int index = -1;
    if (sscanf(text, "%d %" SCNd64 " %" SCNd64 " %64[0-9a-f]", &index, &info.frames, &info.bytes,
               info.digest) != 4)
        return false;
    return index == j->n_segments && is_there(j, &info) && keep_segment(j, &info);
}

static bool take_line(kz_journal *j, char *text)
{
    if (strncmp(text, "fact ", 5) == 0)
        return take_fact(j, text + 5);
    if (strncmp(text, "segment ", 8) == 0)
        return take_segment(j, text + 8);
    if (strncmp(text, "whole ", 6) == 0)
        return sscanf(text + 6, "%ju %ju", &j->device, &j->inode) == 2;
    if (strncmp(text, "reached ", 8) == 0)
        j->reached = strtoll(text + 8, NULL, 10);
    return strncmp(text, "reached ", 8) == 0;
}

/* The text of a whole line, NULL: it isn't one. */
static char *check_line(char *line, size_t length)
{
    char hash[KZ_DIGEST_TEXT];
    if (length <= HASH_TEXT + 1 || memchr(line, 0, length) || line[HASH_TEXT] != ' ')
        return NULL;
    hash_line(hash, line + HASH_TEXT + 1, length - HASH_TEXT - 1);
    return memcmp(hash, line, HASH_TEXT) == 0 ? line + HASH_TEXT + 1 : NULL;
}

/* The next line's text, which ends as a string; NULL: there is no whole one. */
static char *next_line(char **at, const char *end)
{
    char *next = memchr(*at, '\n', (size_t)(end - *at));
    char *text = next ? check_line(*at, (size_t)(next - *at)) : NULL;
    if (!text)
        return NULL;
    *next = '\0';
    *at = next + 1;
    return text;
}

/* What is behind a segment whose file is missing counts no more, but that the output is whole: the
 * segments of a finished run are removed before the journal is. */
static void take_lines(kz_journal *j, kz_bytes bytes)
{
    char *at = (char *)bytes.data, *end = at + bytes.size;
    bool good = true;
    for (char *text; at < end && (text = next_line(&at, end));) {
        if (good || strncmp(text, "whole ", 6) == 0)
            good = take_line(j, text) && good;
        if (good)
            j->good = at - (char *)bytes.data;
    }
    for (int i = 0; i < j->n_segments; i++)
        j->bytes_before += j->segments[i].bytes;
}

static int read_journal(kz_journal *j)
{
    kz_bytes bytes;
    char *path = kz_journal_path(j, "journal");
    if (!path)
        return kz_fail_memory(j->log, j->folder);
    int error = access(path, F_OK) == 0 ? kz_file_read(&bytes, path, JOURNAL_LIMIT, j->log) : 0;
    if (!error && access(path, F_OK) == 0) {
        take_lines(j, bytes);
        kz_free(bytes.data);
        j->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
        if (j->fd < 0 || (!kz_journal_is_finished(j) && ftruncate(j->fd, j->good) != 0))
            error = failed(j, "journal", errno);
    }
    kz_free(path);
    return error;
}

/* ---- life ---- */

/* 0 with j->lock -1 when there is no folder. */
static int lock_folder(kz_journal *j)
{
    j->lock = open(j->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (j->lock < 0)
        return errno == ENOENT ? 0 : failed(j, "can't be opened", errno);
    if (flock(j->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return kz_fail(j->log, KZ_ERROR_FAILED, "%s: another run is making it", j->output);
    /* Some network file systems have no locks. */
    return 0;
}

int kz_journal_open(kz_journal **journal, const char *path, kz_log *log)
{
    kz_journal *j = *journal = kz_alloc(1, sizeof(*j));
    if (!j)
        return kz_fail_memory(log, path);
    *j = (kz_journal){.log = log, .lock = -1, .fd = -1};
    pthread_mutex_init(&j->mutex, NULL);
    j->output = kz_strdup(path);
    j->folder = folder_of(path);
    int error = j->output && j->folder ? lock_folder(j) : kz_fail_memory(log, path);
    if (!error && j->lock >= 0)
        error = read_journal(j);
    if (error) {
        /* Whoever holds the lock owns what lies there. */
        if (j->lock >= 0)
            close(j->lock);
        j->lock = -1;
        kz_journal_close(journal);
    }
    return error;
}

/* Frames of some segment are kept. */
static bool has_spool(const kz_journal *j)
{
    bool found = false;
    DIR *folder = opendir(j->folder);
    for (struct dirent *e; folder && !found && (e = readdir(folder));) {
        const size_t length = strlen(e->d_name);
        found = length > 7 && strcmp(e->d_name + length - 7, ".frames") == 0;
    }
    if (folder)
        closedir(folder);
    return found;
}

bool kz_journal_is_empty(const kz_journal *j)
{
    return j->lock < 0 || (j->n_segments == 0 && !has_spool(j));
}

static void forget(kz_journal *j)
{
    for (int i = 0; i < j->n_facts; i++) {
        kz_free(j->facts[i].name);
        kz_free(j->facts[i].value);
    }
    kz_free(j->segments);
    j->segments = NULL;
    j->n_facts = j->n_segments = 0;
    j->frames = j->reached = j->bytes_before = 0;
    j->device = j->inode = 0;
    j->good = 0;
    if (j->fd >= 0)
        close(j->fd);
    j->fd = -1;
}

void kz_journal_close(kz_journal **journal)
{
    kz_journal *j = *journal;
    if (!j)
        return;
    if (j->lock >= 0 && kz_journal_is_empty(j))
        (void)kz_disk_remove_folder(j->folder, "journal");
    forget(j);
    if (j->lock >= 0)
        close(j->lock);
    pthread_mutex_destroy(&j->mutex);
    kz_free(j->output);
    kz_free(j->folder);
    kz_free(j);
    *journal = NULL;
}

void kz_journal_finish(kz_journal *j)
{
    forget(j);
    const int error = kz_disk_remove_folder(j->folder, "journal");
    if (error)
        kz_log_line(j->log, KZ_LOG_WARNING, "%s: can't be removed: %s", j->folder, strerror(error));
    if (j->lock >= 0)
        close(j->lock);
    j->lock = -1;
}

/* ---- what is in it ---- */

const char *kz_journal_fact(const kz_journal *j, const char *name)
{
    return fact_locked(j, name);
}

int kz_journal_segments(const kz_journal *j)
{
    return j->n_segments;
}

int64_t kz_journal_frames(const kz_journal *j)
{
    return j->frames;
}

int64_t kz_journal_bytes(const kz_journal *j)
{
    return j->bytes_before;
}

int64_t kz_journal_reached(const kz_journal *j)
{
    return j->reached > j->frames ? j->reached : j->frames;
}

const char *kz_journal_digest(const kz_journal *j, int segment)
{
    return j->segments[segment].digest;
}

/* ---- writing ---- */

static char *fact_text(const char *name, const char *value)
{
    char *escaped = escape(value);
    char *text = escaped ? kz_asprintf("fact %s %s", name, escaped) : NULL;
    kz_free(escaped);
    return text;
}

/* All facts as one file that is there as a whole or not at all. */
static int write_facts(kz_journal *j, const char *path, const kz_fact *facts, int n_facts)
{
    char *content = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&content, &size);
    int error = file ? 0 : ENOMEM;
    for (int i = 0; i < n_facts && !error; i++) {
        char hash[KZ_DIGEST_TEXT], *text = fact_text(facts[i].name, facts[i].value);
        if (!text || !keep_fact(j, facts[i].name, facts[i].value)) {
            error = ENOMEM;
        } else {
            hash_line(hash, text, strlen(text));
            fprintf(file, "%s %s\n", hash, text);
        }
        kz_free(text);
    }
    if (file && fclose(file) != 0)
        error = ENOMEM;
    if (!error)
        error = kz_disk_replace(path, content, size);
    free(content);
    j->good = (off_t)size;
    return error;
}

static int make_folder(kz_journal *j)
{
    if (j->lock < 0) {
        if (mkdir(j->folder, 0777) != 0 && errno != EEXIST)
            return errno == ENOENT || errno == ENOTDIR
                       ? kz_fail(j->log, KZ_ERROR_USAGE,
                                 "%s: can't create a file in its folder: %s", j->output,
                                 strerror(errno))
                       : failed(j, "can't be created", errno);
        /* The folder itself must be there after a power cut. */
        const int error = kz_disk_sync_folder_of(j->folder);
        return error ? failed(j, "its folder can't be synced", error) : lock_folder(j);
    }
    DIR *folder = opendir(j->folder);
    for (struct dirent *e; folder && (e = readdir(folder));)
        unlinkat(dirfd(folder), e->d_name, 0);
    if (folder)
        closedir(folder);
    return 0;
}

int kz_journal_begin(kz_journal *j, const kz_fact *facts, int n_facts)
{
    forget(j);
    int error = make_folder(j);
    if (error)
        return error;
    char *path = kz_journal_path(j, "journal");
    if (!path)
        return kz_fail_memory(j->log, j->folder);
    error = write_facts(j, path, facts, n_facts);
    if (!error && (j->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)) < 0)
        error = errno;
    kz_free(path);
    return error ? failed(j, "journal", error) : 0;
}

int kz_journal_add_fact(kz_journal *j, const char *name, const char *value)
{
    int error = 0;
    pthread_mutex_lock(&j->mutex);
    if (!fact_locked(j, name)) {
        error = append_text(j, fact_text(name, value), false);
        if (!error && !keep_fact(j, name, value))
            error = kz_fail_memory(j->log, j->folder);
    }
    pthread_mutex_unlock(&j->mutex);
    return error;
}

int kz_journal_add_segment(kz_journal *j, const kz_segment_info *info)
{
    /* The file's name must last before a line tells of it. */
    int error = kz_disk_sync_folder(j->folder);
    if (error)
        return failed(j, "can't be synced", error);
    pthread_mutex_lock(&j->mutex);
    const int index = j->n_segments;
    error = append_text(j,
                        kz_asprintf("segment %d %" PRId64 " %" PRId64 " %s", index, info->frames,
                                    info->bytes, info->digest),
                        true);
    if (!error && !keep_segment(j, info))
        error = kz_fail_memory(j->log, j->folder);
    pthread_mutex_unlock(&j->mutex);
    char *spool = error ? NULL : kz_journal_spool_path(j, index);
    if (spool)
        unlink(spool);
    kz_free(spool);
    return error;
}

void kz_journal_note_reached(kz_journal *j, int64_t frames)
{
    char text[40];
    snprintf(text, sizeof(text), "reached %" PRId64, frames);
    pthread_mutex_lock(&j->mutex);
    if (j->fd >= 0)
        (void)!append_locked(j, text, false);
    pthread_mutex_unlock(&j->mutex);
}

int kz_journal_note_output(kz_journal *j, const char *part)
{
    struct stat st;
    if (stat(part, &st) != 0)
        return failed(j, part, errno);
    pthread_mutex_lock(&j->mutex);
    const int error = append_text(
        j, kz_asprintf("whole %ju %ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino), true);
    pthread_mutex_unlock(&j->mutex);
    return error;
}

/* Renamed, a file keeps its number. */
bool kz_journal_is_finished(const kz_journal *j)
{
    struct stat st;
    char *part = kz_journal_path(j, "output");
    const bool renamed = part && access(part, F_OK) != 0;
    kz_free(part);
    return renamed && j->inode && stat(j->output, &st) == 0 && st.st_dev == j->device &&
           st.st_ino == j->inode;
}

int kz_journal_cut(kz_journal *j, int segments)
{
    char *path = kz_journal_segment_path(j, segments);
    /* A journal ends at the first segment whose file isn't as it says. */
    const int error = path && unlink(path) != 0 && errno != ENOENT ? errno : path ? 0 : ENOMEM;
    kz_free(path);
    return error ? failed(j, "can't remove a damaged segment", error) : 0;
}
