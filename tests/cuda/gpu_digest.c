/* In the place of base/digest.c for the check on a GPU, which does without its library: enough to
 * see that a file is as it was written, and no more (FNV-1a). */
#include "base/digest.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"

struct kz_digest {
    uint64_t hash;
};

static const uint64_t begin = 14695981039346656037u;

int kz_digest_open(kz_digest **digest)
{
    *digest = kz_alloc(1, sizeof(**digest));
    if (!*digest)
        return KZ_ERROR_MEMORY;
    (*digest)->hash = begin;
    return 0;
}

void kz_digest_close(kz_digest **digest)
{
    kz_free(*digest);
    *digest = NULL;
}

void kz_digest_add(kz_digest *digest, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        digest->hash = (digest->hash ^ ((const unsigned char *)data)[i]) * 1099511628211u;
}

void kz_digest_text(kz_digest *digest, char text[KZ_DIGEST_TEXT])
{
    const uint64_t h = digest->hash;
    snprintf(text, KZ_DIGEST_TEXT, "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64, h, h, h,
             h);
    digest->hash = begin;
}

void kz_digest_of(const void *data, size_t size, char text[KZ_DIGEST_TEXT])
{
    kz_digest digest = {begin};
    kz_digest_add(&digest, data, size);
    kz_digest_text(&digest, text);
}
