#include "media/block.h"

#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"

/* Decoders' vector code reads and writes past a plane's last sample. */
enum { PADDING = 64 + 16 };

struct kz_blocks {
    kz_block_watch watch;
    pthread_mutex_t lock;
    AVBufferPool *pool; /* of blocks of so many bytes; NULL: none yet */
    size_t bytes;
};

/* ---- one ---- */

/* Goes with the block, which may outlive its pool. */
static void free_block(void *opaque, uint8_t *data)
{
    kz_block_watch *watch = opaque;
    if (watch->freed)
        watch->freed(watch->context, data);
    kz_free(watch);
    kz_free(data);
}

/* From this size on blocks have pages of their own: what is page-locked mustn't share one, for no
 * page can be locked twice. */
enum { WHOLE_PAGES = 1 << 20 };

/* libav's own allocator aligns as its build thought fit. */
AVBufferRef *kz_block_alloc(const kz_block_watch *watch, size_t bytes)
{
    uint8_t *data = kz_alloc(1, watch->made && bytes < WHOLE_PAGES ? WHOLE_PAGES : bytes);
    kz_block_watch *own = kz_alloc(1, sizeof(*own));
    AVBufferRef *buffer = data && own ? av_buffer_create(data, bytes, free_block, own, 0) : NULL;
    if (!buffer) {
        kz_free(data);
        kz_free(own);
        return NULL;
    }
    *own = *watch;
    if (own->made)
        own->made(own->context, data, bytes);
    return buffer;
}

/* ---- a decoder's ---- */

int kz_blocks_open(kz_blocks **blocks, const kz_block_watch *watch)
{
    kz_blocks *fresh = *blocks = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return KZ_ERROR_MEMORY;
    fresh->watch = *watch;
    pthread_mutex_init(&fresh->lock, NULL);
    return 0;
}

void kz_blocks_close(kz_blocks **blocks)
{
    kz_blocks *old = *blocks;
    if (!old)
        return;
    av_buffer_pool_uninit(&old->pool);
    pthread_mutex_destroy(&old->lock);
    kz_free(old);
    *blocks = NULL;
}

static AVBufferRef *alloc_block(void *opaque, size_t bytes)
{
    const kz_blocks *blocks = opaque;
    return kz_block_alloc(&blocks->watch, bytes);
}

/* Pictures of another size than before get a pool of their own. */
static AVBufferRef *take(kz_blocks *blocks, size_t bytes)
{
    pthread_mutex_lock(&blocks->lock);
    if (blocks->bytes != bytes) {
        av_buffer_pool_uninit(&blocks->pool);
        blocks->pool = av_buffer_pool_init2(bytes, blocks, alloc_block, NULL);
        blocks->bytes = blocks->pool ? bytes : 0;
    }
    AVBufferRef *block = blocks->pool ? av_buffer_pool_get(blocks->pool) : NULL;
    pthread_mutex_unlock(&blocks->lock);
    return block;
}

/* Rows as the decoder wants them, as avcodec_default_get_buffer2() makes them. */
static int fill_rows(AVCodecContext *context, AVFrame *frame, size_t bytes[4])
{
    int width = frame->width, height = frame->height, aligned[AV_NUM_DATA_POINTERS], uneven;
    ptrdiff_t rows[4];
    avcodec_align_dimensions2(context, &width, &height, aligned);
    do {
        const int code = av_image_fill_linesizes(frame->linesize, frame->format, width);
        if (code < 0)
            return code;
        uneven = 0;
        for (int i = 0; i < 4; i++) {
            rows[i] = frame->linesize[i];
            uneven |= frame->linesize[i] % aligned[i];
        }
        width += width & -width;
    } while (uneven);
    return av_image_fill_plane_sizes(bytes, frame->format, height, rows);
}

static int fill_planes(AVCodecContext *context, AVFrame *frame)
{
    size_t bytes[4], begin[4], all = 0;
    const int code = fill_rows(context, frame, bytes);
    if (code < 0)
        return code;
    for (int i = 0; i < 4; i++) {
        begin[i] = all;
        all += bytes[i] ? FFALIGN(bytes[i] + PADDING, KZ_ALIGNMENT) : 0;
    }
    frame->buf[0] = take(context->opaque, all);
    if (!frame->buf[0])
        return AVERROR(ENOMEM);
    for (int i = 0; i < 4 && bytes[i]; i++)
        frame->data[i] = frame->buf[0]->data + begin[i];
    frame->extended_data = frame->data;
    return 0;
}

/* As AVCodecContext.get_buffer2; on libav's threads. */
static int get_picture(AVCodecContext *context, AVFrame *frame, int flags)
{
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);
    const uint64_t other = AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_HWACCEL;
    if (!(context->codec->capabilities & AV_CODEC_CAP_DR1) || !format || format->flags & other)
        return avcodec_default_get_buffer2(context, frame, flags);
    return fill_planes(context, frame);
}

void kz_blocks_use(kz_blocks *blocks, AVCodecContext *context)
{
    context->opaque = blocks;
    context->get_buffer2 = get_picture;
#if LIBAVCODEC_VERSION_MAJOR < 60
    AV_NOWARN_DEPRECATED(context->thread_safe_callbacks = 1;)
#endif
}
