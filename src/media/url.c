#include "media/url.h"

#include <libavformat/avformat.h>
#include <string.h>

#include "base/mem.h"
#include "media/internal.h"

struct kz_url {
    AVIOContext *io;
};

int kz_url_open(kz_url **url, const char *name, kz_log *log)
{
    kz_url *fresh = *url = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, name);
    kz_av_log_setup();
    const int code = avio_open(&fresh->io, name, AVIO_FLAG_WRITE);
    if (code >= 0)
        return 0;
    kz_free(fresh);
    *url = NULL;
    return kz_fail(log, KZ_ERROR_FAILED, "%s: %s", name, av_err2str(code));
}

void kz_url_close(kz_url **url)
{
    if (!*url)
        return;
    avio_closep(&(*url)->io);
    kz_free(*url);
    *url = NULL;
}

void kz_url_write(kz_url *url, const char *text)
{
    avio_write(url->io, (const unsigned char *)text, (int)strlen(text));
    avio_flush(url->io);
}
