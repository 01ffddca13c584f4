#include "cuda/choices.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cache.h"
#include "base/digest.h"
#include "base/disk.h"
#include "base/mem.h"
#include "base/reader.h"

/* A network has some 20 different layers. */
enum { MOST_CHOICES = 1000, MOST_BYTES = MOST_CHOICES * (KZ_CHOICE_LAYER + KZ_CHOICE_ENGINE) };

#define BEGINNING "kizuna engines 1, "

struct choice {
    char *layer, *engine;
};

struct kz_choices {
    char *folder, *path; /* NULL: nothing is kept */
    char *header;        /* the file's first line */
    struct choice *choices;
    int count;
    bool changed;
};

static bool is_printable(char c)
{
    return c >= ' ' && c <= '~';
}

/* The first line, and by its digest the file's name. */
static int name_file(kz_choices *c, const char *folder, const char *machine)
{
    char digest[KZ_DIGEST_TEXT];
    c->header = kz_asprintf(BEGINNING "%s\n", machine);
    if (!c->header)
        return KZ_ERROR_MEMORY;
    for (char *at = c->header; at[1]; at++)
        if (!is_printable(*at))
            *at = '?';
    if (!folder)
        return 0;
    kz_digest_of(c->header, strlen(c->header), digest);
    c->folder = kz_strdup(folder);
    c->path = kz_asprintf("%s/engines-%.16s", folder, digest);
    return c->folder && c->path ? 0 : KZ_ERROR_MEMORY;
}

/* ---- read ---- */

/* A part of a line that ends with `end`, as a string in place; NULL: there is none. */
static char *take(char **at, char end, size_t most)
{
    char *const begin = *at;
    while (is_printable(**at))
        (*at)++;
    if (**at != end || *at == begin || (size_t)(*at - begin) >= most)
        return NULL;
    *(*at)++ = '\0';
    return begin;
}

/* The last line is the digest of all before it. */
static bool is_whole(const kz_choices *c, const char *text, size_t size)
{
    const size_t header = strlen(c->header);
    char digest[KZ_DIGEST_TEXT];
    if (size < header + KZ_DIGEST_TEXT || memcmp(text, c->header, header) != 0)
        return false;
    kz_digest_of(text, size - KZ_DIGEST_TEXT, digest);
    return memcmp(text + size - KZ_DIGEST_TEXT, digest, KZ_DIGEST_TEXT - 1) == 0 &&
           text[size - 1] == '\n';
}

static bool parse(kz_choices *c, char *text, size_t size)
{
    char *at = text + strlen(c->header), *const end = text + size - KZ_DIGEST_TEXT;
    *end = '\0';
    while (at < end) {
        const char *layer = take(&at, '\t', KZ_CHOICE_LAYER);
        const char *engine = layer ? take(&at, '\n', KZ_CHOICE_ENGINE) : NULL;
        if (!engine || c->count == MOST_CHOICES)
            return false;
        kz_choices_set(c, layer, engine);
    }
    return true;
}

static void forget(kz_choices *c)
{
    for (int i = 0; i < c->count; i++) {
        kz_free(c->choices[i].layer);
        kz_free(c->choices[i].engine);
    }
    c->count = 0;
}

static void read_file(kz_choices *c, kz_log *log)
{
    kz_bytes bytes;
    struct stat st;
    if (!c->path || (stat(c->path, &st) != 0 && errno == ENOENT))
        return;
    const bool read = kz_file_read(&bytes, c->path, MOST_BYTES, NULL) == 0;
    char *const text = (char *)bytes.data;
    if (!read || !is_whole(c, text, bytes.size) || !parse(c, text, bytes.size)) {
        kz_log_line(log, KZ_LOG_VERBOSE, "%s isn't what was written: engines are measured again",
                    c->path);
        forget(c);
    }
    c->changed = false;
    kz_free(bytes.data);
}

int kz_choices_open(kz_choices **choices, const char *folder, const char *machine, kz_log *log)
{
    kz_choices *c = *choices = kz_alloc(1, sizeof(*c));
    int error = c ? name_file(c, folder, machine) : KZ_ERROR_MEMORY;
    if (!error) {
        c->choices = kz_alloc(MOST_CHOICES, sizeof(*c->choices));
        error = c->choices ? 0 : KZ_ERROR_MEMORY;
    }
    if (!error) {
        read_file(c, log);
        return 0;
    }
    kz_choices_close(choices);
    return error;
}

void kz_choices_close(kz_choices **choices)
{
    kz_choices *c = *choices;
    if (!c)
        return;
    forget(c);
    kz_free(c->choices);
    kz_free(c->header);
    kz_free(c->folder);
    kz_free(c->path);
    kz_free(c);
    *choices = NULL;
}

/* ---- use ---- */

static struct choice *find(const kz_choices *c, const char *layer)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->choices[i].layer, layer) == 0)
            return &c->choices[i];
    return NULL;
}

const char *kz_choices_get(const kz_choices *c, const char *layer)
{
    const struct choice *found = find(c, layer);
    return found ? found->engine : NULL;
}

void kz_choices_set(kz_choices *c, const char *layer, const char *engine)
{
    struct choice *known = find(c, layer);
    struct choice fresh = {known ? NULL : kz_strdup(layer), kz_strdup(engine)};
    if (!fresh.engine || (!known && (!fresh.layer || c->count == MOST_CHOICES))) {
        kz_free(fresh.layer);
        kz_free(fresh.engine);
        return;
    }
    c->changed = true;
    if (known) {
        kz_free(known->engine);
        known->engine = fresh.engine;
    } else {
        c->choices[c->count++] = fresh;
    }
}

/* ---- write ---- */

static char *text_of(const kz_choices *c)
{
    char digest[KZ_DIGEST_TEXT] = "", *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return NULL;
    fputs(c->header, file);
    for (int i = 0; i < c->count; i++)
        fprintf(file, "%s\t%s\n", c->choices[i].layer, c->choices[i].engine);
    fflush(file);
    if (text)
        kz_digest_of(text, size, digest);
    fprintf(file, "%s\n", digest);
    const bool failed = ferror(file);
    if (fclose(file) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}

void kz_choices_save(kz_choices *c, kz_log *log)
{
    if (!c->changed || !c->path)
        return;
    c->changed = false;
    kz_cache_make(c->folder);
    char *text = text_of(c);
    const int error = text ? kz_disk_replace(c->path, text, strlen(text)) : ENOMEM;
    if (error)
        kz_log_line(log, KZ_LOG_VERBOSE, "%s can't be written: %s; engines are measured each time",
                    c->path, strerror(error));
    free(text);
}
