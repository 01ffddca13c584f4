#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <libavutil/mem.h>

#include "media/internal.h"

#define BUFFER_BYTES (256 * 1024)

/* A read() that waits for a stalled producer can't be interrupted from another thread, so the wait
 * is cut into pieces. */
#define CANCEL_MS 100

static int read_some(void *opaque, uint8_t *buffer, int size)
{
    const atomic_bool *cancel = opaque;
    struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        if (cancel && atomic_load(cancel))
            return AVERROR_EXIT;
        const int ready = poll(&wait, 1, cancel ? CANCEL_MS : -1);
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        const ssize_t got = read(STDIN_FILENO, buffer, (size_t)size);
        if (got > 0)
            return (int)got;
        if (got == 0)
            return AVERROR_EOF;
        if (errno != EINTR && errno != EAGAIN)
            return AVERROR(errno);
    }
}

int kz_stdin_open(AVIOContext **io, const atomic_bool *cancel, kz_log *log)
{
    uint8_t *buffer = av_malloc(BUFFER_BYTES);
    if (buffer)
        *io = avio_alloc_context(buffer, BUFFER_BYTES, 0, (void *)(uintptr_t)cancel, read_some,
                                 NULL, NULL);
    if (!buffer || !*io) {
        av_free(buffer);
        return kz_fail_memory(log, "the input buffer");
    }
    (*io)->seekable = 0;
    return 0;
}

void kz_stdin_close(AVIOContext **io)
{
    if (*io)
        av_freep(&(*io)->buffer);
    avio_context_free(io);
}
