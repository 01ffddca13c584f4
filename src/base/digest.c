#include "base/digest.h"

#include <nettle/sha2.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

struct kz_digest {
    struct sha256_ctx context;
};

int kz_digest_open(kz_digest **digest)
{
    *digest = kz_alloc(1, sizeof(**digest));
    if (!*digest)
        return KZ_ERROR_MEMORY;
    sha256_init(&(*digest)->context);
    return 0;
}

void kz_digest_close(kz_digest **digest)
{
    kz_free(*digest);
    *digest = NULL;
}

void kz_digest_add(kz_digest *digest, const void *data, size_t size)
{
    sha256_update(&digest->context, size, data);
}

void kz_digest_text(kz_digest *digest, char text[KZ_DIGEST_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[SHA256_DIGEST_SIZE];
    sha256_digest(&digest->context, sizeof(hash), hash);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) {
        text[2 * i] = digits[hash[i] >> 4];
        text[2 * i + 1] = digits[hash[i] & 15];
    }
    text[KZ_DIGEST_TEXT - 1] = '\0';
}

void kz_digest_of(const void *data, size_t size, char text[KZ_DIGEST_TEXT])
{
    kz_digest digest;
    sha256_init(&digest.context);
    kz_digest_add(&digest, data, size);
    kz_digest_text(&digest, text);
}
