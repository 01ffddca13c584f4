#include "media/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <libavutil/imgutils.h>
#include <libavutil/intreadwrite.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/disk.h"
#include "base/mem.h"
#include "media/internal.h"

/* The file: the magic, the codec (32 bit, little-endian as all), its header's size (32) and header;
 * then of each frame the hash of its source (64), size (32), digest (64 characters), packet. Each
 * frame stands alone: the codecs keep nothing from one to the next. */
static const char magic[8] = "KZSPOOL1";

enum { FRAME_HEAD = 12 + KZ_DIGEST_TEXT - 1, MAX_HEADER = 1 << 20 };

struct kz_spool {
    char *path;
    kz_log *log;
    kz_video_format format;
    FILE *file; /* what an earlier run left; NULL: nothing, or all is given */
    int fd;     /* to append, -1: not yet */
    bool given_all, failed;
    int64_t end; /* of the last frame given or put */
    AVCodecContext *encoder, *decoder;
    AVPacket *packet;
    AVFrame *frame;
};

int kz_spool_open(kz_spool **spool, const char *path, const kz_video_format *format, kz_log *log)
{
    kz_spool *fresh = *spool = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, path);
    fresh->log = log;
    fresh->fd = -1;
    fresh->format = *format;
    fresh->path = kz_strdup(path);
    fresh->packet = av_packet_alloc();
    fresh->frame = av_frame_alloc();
    if (fresh->path && fresh->packet && fresh->frame)
        return 0;
    kz_spool_close(spool);
    return kz_fail_memory(log, path);
}

void kz_spool_close(kz_spool **spool)
{
    if (!*spool)
        return;
    if ((*spool)->file)
        fclose((*spool)->file);
    if ((*spool)->fd >= 0)
        close((*spool)->fd);
    avcodec_free_context(&(*spool)->encoder);
    avcodec_free_context(&(*spool)->decoder);
    av_packet_free(&(*spool)->packet);
    av_frame_free(&(*spool)->frame);
    kz_free((*spool)->path);
    kz_free(*spool);
    *spool = NULL;
}

/* ---- reading ---- */

static bool get(kz_spool *s, void *data, size_t size)
{
    return fread(data, 1, size, s->file) == size;
}

static AVCodecContext *open_decoder(const kz_spool *s, enum AVCodecID id, const uint8_t *header,
                                    size_t size)
{
    const AVCodec *codec = avcodec_find_decoder(id);
    AVCodecContext *context = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!context)
        return NULL;
    context->width = s->format.width;
    context->height = s->format.height;
    context->pix_fmt = s->format.pixel_format;
    context->thread_count = 1;
    context->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (context->extradata) {
        memcpy(context->extradata, header, size);
        context->extradata_size = (int)size;
    }
    if (!context->extradata || avcodec_open2(context, codec, NULL) < 0)
        avcodec_free_context(&context);
    return context;
}

/* Opens what an earlier run has left. */
static bool open_left(kz_spool *s)
{
    uint8_t head[sizeof(magic) + 8];
    s->file = fopen(s->path, "rbe");
    if (!s->file || !get(s, head, sizeof(head)) || memcmp(head, magic, sizeof(magic)) != 0)
        return false;
    const size_t size = AV_RL32(head + sizeof(magic) + 4);
    uint8_t *header = size <= MAX_HEADER ? kz_alloc(size, 1) : NULL;
    if (header && get(s, header, size)) {
        s->decoder = open_decoder(s, (enum AVCodecID)AV_RL32(head + sizeof(magic)), header, size);
        s->end = (int64_t)(sizeof(head) + size);
    }
    kz_free(header);
    return s->decoder != NULL;
}

/* The next record's packet, if it is whole and of the source frame `hash`. */
static bool get_packet(kz_spool *s, uint64_t hash)
{
    uint8_t head[FRAME_HEAD];
    char digest[KZ_DIGEST_TEXT];
    if (!get(s, head, sizeof(head)) || AV_RL64(head) != hash)
        return false;
    const uint32_t size = AV_RL32(head + 8);
    /* No codec here makes a frame larger than twice its samples. */
    const int raw =
        av_image_get_buffer_size(s->format.pixel_format, s->format.width, s->format.height, 1);
    if (raw < 0 || size > 2 * (uint32_t)raw + 65536 || av_new_packet(s->packet, (int)size) < 0)
        return false;
    if (!get(s, s->packet->data, size))
        return false;
    kz_digest_of(s->packet->data, size, digest);
    s->end += FRAME_HEAD + (int64_t)size;
    return memcmp(digest, head + 12, KZ_DIGEST_TEXT - 1) == 0;
}

static bool decode(kz_spool *s)
{
    return avcodec_send_packet(s->decoder, s->packet) >= 0 &&
           avcodec_receive_frame(s->decoder, s->frame) >= 0 && s->frame->width == s->format.width &&
           s->frame->height == s->format.height && s->frame->format == s->format.pixel_format;
}

/* Whether the next record is of another frame: one that comes later, since quick ones weren't put.
 */
static bool is_of_later(kz_spool *s, uint64_t hash)
{
    uint8_t head[8];
    const bool later = get(s, head, sizeof(head)) && AV_RL64(head) != hash;
    return fseeko(s->file, s->end, SEEK_SET) == 0 && later;
}

static bool get_frame(kz_spool *s, kz_frame *frame)
{
    const int64_t before = s->end;
    const bool got =
        get_packet(s, frame->mark.hash) && decode(s) && av_frame_copy(frame->av, s->frame) >= 0;
    av_packet_unref(s->packet);
    av_frame_unref(s->frame);
    if (!got)
        s->end = before;
    return got;
}

int kz_spool_get(kz_spool *s, kz_frame *frame)
{
    if (!s->given_all && !s->file && !open_left(s)) {
        if (s->file)
            fclose(s->file);
        s->file = NULL;
        s->given_all = true;
    }
    if (s->given_all || is_of_later(s, frame->mark.hash))
        return KZ_END;
    s->given_all = !get_frame(s, frame);
    return s->given_all ? KZ_END : 0;
}

/* ---- writing ---- */

/* FFV1 is smaller but would cost as much as many networks; Huffman's code is nearly free. */
static AVCodecContext *open_encoder(const kz_spool *s, enum AVCodecID id)
{
    const AVCodec *codec = avcodec_find_encoder(id);
    AVCodecContext *context = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!context)
        return NULL;
    context->width = s->format.width;
    context->height = s->format.height;
    context->pix_fmt = s->format.pixel_format;
    context->time_base = (AVRational){1, 25};
    context->thread_count = 1;
    context->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    if (avcodec_open2(context, codec, NULL) < 0)
        avcodec_free_context(&context);
    return context;
}

static int put_header(kz_spool *s)
{
    uint8_t head[sizeof(magic) + 8];
    memcpy(head, magic, sizeof(magic));
    AV_WL32(head + sizeof(magic), (uint32_t)s->encoder->codec_id);
    AV_WL32(head + sizeof(magic) + 4, (uint32_t)s->encoder->extradata_size);
    const int error = kz_disk_write(s->fd, head, sizeof(head));
    return error ? error
                 : kz_disk_write(s->fd, s->encoder->extradata, (size_t)s->encoder->extradata_size);
}

/* Behind the frames that were given; a file that gave none begins anew. */
static int open_to_write(kz_spool *s)
{
    const enum AVCodecID left = s->decoder ? s->decoder->codec_id : AV_CODEC_ID_NONE;
    s->given_all = true;
    s->encoder = open_encoder(s, left != AV_CODEC_ID_NONE ? left : AV_CODEC_ID_FFVHUFF);
    if (!s->encoder)
        s->encoder = open_encoder(s, AV_CODEC_ID_RAWVIDEO);
    if (!s->encoder)
        return ENOTSUP;
    const bool goes_on = s->decoder && s->decoder->codec_id == s->encoder->codec_id;
    s->fd = open(s->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (s->fd < 0 || ftruncate(s->fd, goes_on ? s->end : 0) != 0)
        return errno;
    if (goes_on)
        return lseek(s->fd, s->end, SEEK_SET) < 0 ? errno : 0;
    return put_header(s);
}

static int encode(kz_spool *s, const kz_frame *frame)
{
    if (av_frame_ref(s->frame, frame->av) < 0)
        return ENOMEM;
    s->frame->pts = 0;
    const int code = avcodec_send_frame(s->encoder, s->frame);
    av_frame_unref(s->frame);
    return code >= 0 && avcodec_receive_packet(s->encoder, s->packet) >= 0 ? 0 : ENOTSUP;
}

static int put_frame(kz_spool *s, const kz_frame *frame)
{
    uint8_t head[FRAME_HEAD];
    char digest[KZ_DIGEST_TEXT];
    int error = encode(s, frame);
    if (error)
        return error;
    AV_WL64(head, frame->mark.hash);
    AV_WL32(head + 8, (uint32_t)s->packet->size);
    kz_digest_of(s->packet->data, (size_t)s->packet->size, digest);
    memcpy(head + 12, digest, KZ_DIGEST_TEXT - 1);
    error = kz_disk_write(s->fd, head, sizeof(head));
    if (!error)
        error = kz_disk_write(s->fd, s->packet->data, (size_t)s->packet->size);
    av_packet_unref(s->packet);
    if (!error && fdatasync(s->fd) != 0)
        error = errno;
    return error;
}

int kz_spool_put(kz_spool *s, const kz_frame *frame)
{
    if (s->failed)
        return KZ_ERROR_FAILED;
    if (s->file && !s->given_all)
        return 0; /* it would lie on frames that are still to be given */
    int error = s->encoder ? 0 : open_to_write(s);
    if (!error)
        error = put_frame(s, frame);
    if (!error)
        return 0;
    s->failed = true;
    kz_log_line(s->log, KZ_LOG_WARNING, "%s: %s: frames that are ready aren't kept", s->path,
                strerror(error));
    return KZ_ERROR_FAILED;
}
