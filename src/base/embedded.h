/* Files of the data directory that are compiled into the program: what it needs to run alone. */
#ifndef KZ_BASE_EMBEDDED_H
#define KZ_BASE_EMBEDDED_H

#include <stddef.h>
#include <stdint.h>

typedef struct kz_embedded {
    const char *path;    /* from the data directory, as "models/NAME.json" */
    const uint8_t *data; /* as the program itself: never freed; one zero byte follows the last */
    size_t size;
} kz_embedded;

/* All of them, by path; made by embed.py when the program is built. */
extern const kz_embedded kz_embedded_files[];
extern const int kz_embedded_count;

/* The file of that path, or NULL. */
const kz_embedded *kz_embedded_find(const char *path);

#endif
