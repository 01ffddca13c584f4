#include "media/frame.h"

#include <libavutil/buffer.h>
#include <libavutil/hash.h>
#include <libavutil/intreadwrite.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>

#include "base/mem.h"
#include "media/block.h"
#include "media/fingerprint.h"
#include "media/internal.h"
#include "media/nvdec.h"

int kz_frame_wrap(kz_frame **frame, AVFrame *av)
{
    kz_frame *fresh = kz_alloc(1, sizeof(*fresh));
    if (fresh)
        fresh->av = av_frame_alloc();
    if (!fresh || !fresh->av) {
        av_frame_unref(av);
        kz_frame_close(&fresh);
        return KZ_ERROR_MEMORY;
    }
    av_frame_move_ref(fresh->av, av);
    *frame = fresh;
    return 0;
}

void kz_frame_close(kz_frame **frame)
{
    if (!*frame)
        return;
    av_frame_free(&(*frame)->av);
    av_frame_free(&(*frame)->there);
    kz_free(*frame);
    *frame = NULL;
}

int kz_frame_place(kz_frame *frame, AVFrame *there)
{
    frame->there = av_frame_alloc();
    if (!frame->there)
        return KZ_ERROR_MEMORY;
    av_frame_move_ref(frame->there, there);
    return 0;
}

int kz_frame_shell(kz_frame **shell, const kz_frame *frame)
{
    AVFrame *bare = av_frame_alloc();
    if (!bare || av_frame_copy_props(bare, frame->av) < 0) {
        av_frame_free(&bare);
        return KZ_ERROR_MEMORY;
    }
    bare->width = frame->av->width;
    bare->height = frame->av->height;
    bare->format = frame->av->format;
    const int result = kz_frame_wrap(shell, bare);
    av_frame_free(&bare);
    return result;
}

kz_frame_mark *kz_frame_get_mark(kz_frame *frame)
{
    return &frame->mark;
}

kz_picture kz_frame_picture(const kz_frame *frame)
{
    const AVFrame *av = frame->av;
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(av->format);
    kz_picture picture = {.planes = desc->nb_components,
                          .full_range = kz_format_is_full(av->format, av->color_range),
                          .site = kz_format_site(av->chroma_location)};
    for (int i = 0; i < picture.planes; i++) {
        const int x = i ? desc->log2_chroma_w : 0, y = i ? desc->log2_chroma_h : 0;
        picture.plane[i] = (kz_plane){.data = av->data[i],
                                      .stride = av->linesize[i],
                                      .width = AV_CEIL_RSHIFT(av->width, x),
                                      .height = AV_CEIL_RSHIFT(av->height, y),
                                      .bytes = desc->comp[i].step,
                                      .depth = desc->comp[i].depth};
        if (frame->there)
            picture.plane[i].there = kz_nvdec_place(frame->there, i);
    }
    return picture;
}

static void hash_plane(struct AVHashContext *hash, const kz_plane *plane)
{
    for (int y = 0; y < plane->height; y++)
        av_hash_update(hash, kz_plane_row(plane, y), (size_t)plane->width * (size_t)plane->bytes);
}

static int hash_frame(const kz_frame *frame, const void *more, size_t size,
                      uint8_t digest[AV_HASH_MAX_SIZE])
{
    const kz_picture picture = kz_frame_picture(frame);
    struct AVHashContext *hash = NULL;
    if (av_hash_alloc(&hash, "murmur3") < 0)
        return KZ_ERROR_MEMORY;
    av_hash_init(hash);
    av_hash_update(hash, more, size);
    for (int i = 0; i < picture.planes; i++)
        hash_plane(hash, &picture.plane[i]);
    av_hash_final(hash, digest);
    av_hash_freep(&hash);
    return 0;
}

int kz_frame_hash(const kz_frame *frame, char hash[KZ_FRAME_HASH])
{
    uint8_t digest[AV_HASH_MAX_SIZE];
    const int result = hash_frame(frame, "", 0, digest);
    for (int i = 0; i < (KZ_FRAME_HASH - 1) / 2 && result == 0; i++)
        snprintf(hash + 2 * i, 3, "%02x", digest[i]);
    return result;
}

int kz_frame_examine(kz_frame *frame)
{
    const int64_t times[2] = {frame->av->pts, kz_frame_duration(frame->av)};
    uint8_t digest[AV_HASH_MAX_SIZE];
    if (hash_frame(frame, times, sizeof(times), digest) != 0)
        return KZ_ERROR_MEMORY;
    frame->mark = (kz_frame_mark){
        .time = frame->av->pts, .fingerprint = kz_fingerprint(frame->av), .hash = AV_RN64(digest)};
    return 0;
}

size_t kz_frame_bytes(const kz_frame *frame)
{
    size_t bytes = 0;
    for (int i = 0; i < AV_NUM_DATA_POINTERS && frame->av->buf[i]; i++)
        bytes += frame->av->buf[i]->size;
    return bytes;
}

double kz_frame_time(const kz_frame *frame)
{
    return (double)frame->av->pts * av_q2d(frame->av->time_base);
}

#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
int64_t kz_frame_duration(const AVFrame *av)
{
    return av->duration;
}

void kz_frame_set_duration(AVFrame *av, int64_t duration)
{
    av->duration = duration;
}
#else
int64_t kz_frame_duration(const AVFrame *av)
{
    return av->pkt_duration;
}

void kz_frame_set_duration(AVFrame *av, int64_t duration)
{
    av->pkt_duration = duration;
}
#endif

#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
bool kz_frame_is_interlaced(const AVFrame *av)
{
    return av->flags & AV_FRAME_FLAG_INTERLACED;
}

void kz_frame_set_progressive(AVFrame *av)
{
    av->flags &= ~AV_FRAME_FLAG_INTERLACED;
}
#else
bool kz_frame_is_interlaced(const AVFrame *av)
{
    return av->interlaced_frame;
}

void kz_frame_set_progressive(AVFrame *av)
{
    av->interlaced_frame = 0;
}
#endif

struct kz_frame_pool {
    AVBufferPool *buffers;
    kz_video_format format;
    size_t offset[3];
    int stride[3];
    kz_block_watch watch;
    kz_log *log;
};

static AVBufferRef *alloc_block(void *opaque, size_t size)
{
    const kz_frame_pool *pool = opaque;
    return kz_block_alloc(&pool->watch, size);
}

int kz_frame_pool_open(kz_frame_pool **pool, const kz_video_format *format, kz_log *log)
{
    kz_frame_pool *fresh = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, "a frame pool");
    fresh->format = *format;
    fresh->log = log;
    size_t size = 0;
    for (int i = 0; i < format->planes; i++) {
        const size_t width = (size_t)AV_CEIL_RSHIFT(format->width, i ? format->shift_x : 0);
        const size_t height = (size_t)AV_CEIL_RSHIFT(format->height, i ? format->shift_y : 0);
        const size_t row = FFALIGN(width * (format->depth > 8 ? 2 : 1), KZ_ALIGNMENT);
        fresh->stride[i] = (int)row;
        fresh->offset[i] = size;
        size += row * height;
    }
    /* Vector code of the encoders may read past the last sample. */
    fresh->buffers = av_buffer_pool_init2(size + KZ_ALIGNMENT, fresh, alloc_block, NULL);
    if (!fresh->buffers) {
        kz_frame_pool_close(&fresh);
        return kz_fail_memory(log, "a frame pool");
    }
    *pool = fresh;
    return 0;
}

void kz_frame_pool_watch(kz_frame_pool *pool, const kz_block_watch *watch)
{
    pool->watch = *watch;
}

void kz_frame_pool_close(kz_frame_pool **pool)
{
    if (!*pool)
        return;
    av_buffer_pool_uninit(&(*pool)->buffers);
    kz_free(*pool);
    *pool = NULL;
}

/* What describes positions or blocks of the smaller picture would lie about the larger one. */
static void drop_positions(AVFrame *av)
{
    static const enum AVFrameSideDataType types[] = {
        AV_FRAME_DATA_MOTION_VECTORS, AV_FRAME_DATA_REGIONS_OF_INTEREST,
        AV_FRAME_DATA_VIDEO_ENC_PARAMS, AV_FRAME_DATA_PANSCAN};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        av_frame_remove_side_data(av, types[i]);
    av->crop_left = av->crop_right = av->crop_top = av->crop_bottom = 0;
}

static int fill(const kz_frame_pool *pool, AVFrame *av, const AVFrame *like)
{
    const kz_video_format *format = &pool->format;
    if (like && av_frame_copy_props(av, like) < 0)
        return KZ_ERROR_MEMORY;
    drop_positions(av);
    av->buf[0] = av_buffer_pool_get(pool->buffers);
    if (!av->buf[0])
        return KZ_ERROR_MEMORY;
    for (int i = 0; i < format->planes; i++) {
        av->data[i] = av->buf[0]->data + pool->offset[i];
        av->linesize[i] = pool->stride[i];
    }
    av->format = format->pixel_format;
    av->width = format->width;
    av->height = format->height;
    av->pict_type = AV_PICTURE_TYPE_NONE;
    av->sample_aspect_ratio = (AVRational){format->sample_aspect.num, format->sample_aspect.den};
    if (format->full_range)
        av->color_range = AVCOL_RANGE_JPEG;
    if (!like)
        av->time_base = (AVRational){format->time_base.num, format->time_base.den};
    return 0;
}

int kz_frame_pool_get(kz_frame_pool *pool, kz_frame **frame, const kz_frame *like)
{
    AVFrame *av = av_frame_alloc();
    int result = av ? fill(pool, av, like ? like->av : NULL) : KZ_ERROR_MEMORY;
    if (result == 0)
        result = kz_frame_wrap(frame, av);
    if (result == 0 && like)
        (*frame)->mark = like->mark;
    av_frame_free(&av);
    return result == 0 ? 0 : kz_fail_memory(pool->log, "a frame");
}
