/* SHA-256 (FIPS 180-4), to tell files apart and damage from wholeness. Not thread-safe. */
#ifndef KZ_BASE_DIGEST_H
#define KZ_BASE_DIGEST_H

#include <stddef.h>

#define KZ_DIGEST_TEXT 65 /* hexadecimal, with its zero byte */

typedef struct kz_digest kz_digest;

int kz_digest_open(kz_digest **digest); /* 0 or KZ_ERROR_MEMORY (not reported) */
void kz_digest_close(kz_digest **digest);

void kz_digest_add(kz_digest *digest, const void *data, size_t size);

/* Writes the digest of everything added and begins anew. */
void kz_digest_text(kz_digest *digest, char text[KZ_DIGEST_TEXT]);

/* Of one piece of memory. */
void kz_digest_of(const void *data, size_t size, char text[KZ_DIGEST_TEXT]);

#endif
