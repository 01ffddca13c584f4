/* The engines that a device's back end keeps, in a folder of the running case's own, and others put
 * in their place. */
#ifndef KZ_TESTS_KEPT_H
#define KZ_TESTS_KEPT_H

#include <unistd.h>

#include "base/digest.h"
#include "base/mem.h"
#include "base/reader.h"
#include "check.h"

static char kept_folder[100]; /* $XDG_CACHE_HOME */

static inline void kept_open(void)
{
    snprintf(kept_folder, sizeof(kept_folder), "/tmp/test_engines.XXXXXX");
    CHECK(mkdtemp(kept_folder));
    CHECK(setenv("XDG_CACHE_HOME", kept_folder, 1) == 0);
}

static inline void kept_close(void)
{
    char command[200];
    snprintf(command, sizeof(command), "rm -rf '%s'", kept_folder);
    CHECK(system(command) == 0);
}

static inline void kept_find(char path[300])
{
    char command[200];
    snprintf(command, sizeof(command), "ls '%s'/kizuna/engines-*", kept_folder);
    FILE *list = popen(command, "r");
    CHECK(list && fgets(path, 300, list));
    path[strcspn(path, "\n")] = '\0';
    pclose(list);
}

static inline void kept_write(const char *path, const char *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

/* Of each layer but tails one engine, and of these another. */
static inline void kept_replace(const char *layers, const char *tails)
{
    char path[300], digest[KZ_DIGEST_TEXT], *text = NULL;
    size_t size = 0;
    kz_bytes kept;
    kept_find(path);
    CHECK(kz_file_read(&kept, path, 1 << 20, NULL) == 0);
    kept.data[kept.size - KZ_DIGEST_TEXT] = '\0';
    FILE *file = open_memstream(&text, &size);
    CHECK(file);
    for (char *line = strtok((char *)kept.data, "\n"); line; line = strtok(NULL, "\n")) {
        const size_t layer = strcspn(line, "\t");
        const char *engine = strstr(line, " behind ") ? tails : layers;
        fprintf(file, "%.*s%s%s\n", (int)layer, line, line[layer] ? "\t" : "",
                line[layer] ? engine : "");
    }
    fflush(file);
    kz_digest_of(text, size, digest);
    fprintf(file, "%s\n", digest);
    fclose(file);
    kept_write(path, text, size);
    free(text);
    kz_free(kept.data);
}

#endif
