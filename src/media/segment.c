#include "media/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <libavutil/intreadwrite.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/disk.h"
#include "base/mem.h"
#include "media/check_internal.h"
#include "media/internal.h"

/* The file: the magic, then records. A record is its kind and a body, little-endian:
 *   'P' packet: time base (2 × 32 bit), pts, duration (64), flags, size, pieces of side data (32),
 *       of each piece type and size (32) and its bytes; then the packet's bytes
 *   'F' frame: time, fingerprint, hash (64)
 *   'C' decoded frame: time, fingerprint (64)
 *   'E' the end: nothing follows
 * Decoding times aren't kept: they follow from all segments together (join.h). */
static const char magic[8] = "KZSEG001";

enum { PACKET_HEAD = 36, FRAME_BODY = 24, CHECKED_BODY = 16, SIDE_HEAD = 8, MAX_SIDE = 64 };

#define MAX_PIECE ((int64_t)1 << 30)
#define BUFFER_BYTES ((size_t)256 << 10)

/* ---- writing ---- */

struct kz_segment_writer {
    int fd;
    char *path;
    uint8_t *buffer; /* BUFFER_BYTES, of which `held` wait to be written */
    size_t held;
    kz_digest *digest;
    int64_t bytes;
    kz_log *log;
};

static int failed(const char *path, kz_log *log, int error)
{
    return kz_fail(log, KZ_ERROR_FAILED, "%s: %s", path, strerror(error));
}

static int flush(kz_segment_writer *w)
{
    const int error = kz_disk_write(w->fd, w->buffer, w->held);
    w->held = 0;
    return error ? failed(w->path, w->log, error) : 0;
}

static int put(kz_segment_writer *w, const void *data, size_t size)
{
    int result = w->held + size > BUFFER_BYTES ? flush(w) : 0;
    kz_digest_add(w->digest, data, size);
    w->bytes += (int64_t)size;
    if (result == 0 && size > BUFFER_BYTES) {
        const int error = kz_disk_write(w->fd, data, size);
        result = error ? failed(w->path, w->log, error) : 0;
    } else if (result == 0 && size) {
        memcpy(w->buffer + w->held, data, size);
        w->held += size;
    }
    return result;
}

int kz_segment_create(kz_segment_writer **writer, const char *path, kz_log *log)
{
    kz_segment_writer *fresh = *writer = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, path);
    fresh->log = log;
    fresh->fd = -1;
    fresh->path = kz_strdup(path);
    fresh->buffer = kz_alloc_raw(BUFFER_BYTES, 1);
    int result = 0;
    if (!fresh->path || !fresh->buffer || kz_digest_open(&fresh->digest) != 0)
        result = kz_fail_memory(log, path);
    if (result == 0) {
        fresh->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
        result = fresh->fd < 0 ? failed(path, log, errno) : 0;
    }
    if (result == 0)
        result = put(fresh, magic, sizeof(magic));
    if (result != 0)
        kz_segment_abandon(writer);
    return result;
}

static void close_writer(kz_segment_writer **writer)
{
    kz_digest_close(&(*writer)->digest);
    kz_free((*writer)->buffer);
    kz_free((*writer)->path);
    kz_free(*writer);
    *writer = NULL;
}

void kz_segment_abandon(kz_segment_writer **writer)
{
    if (!*writer)
        return;
    if ((*writer)->fd >= 0) {
        close((*writer)->fd);
        unlink((*writer)->path);
    }
    close_writer(writer);
}

static int put_side(kz_segment_writer *w, const AVPacketSideData *side)
{
    uint8_t head[SIDE_HEAD];
    AV_WL32(head, (uint32_t)side->type);
    AV_WL32(head + 4, (uint32_t)side->size);
    const int result = put(w, head, sizeof(head));
    return result ? result : put(w, side->data, side->size);
}

int kz_segment_add(kz_segment_writer *w, const kz_packet *packet)
{
    const AVPacket *av = packet->av;
    uint8_t head[1 + PACKET_HEAD] = {'P'};
    AV_WL32(head + 1, (uint32_t)packet->time_base.num);
    AV_WL32(head + 5, (uint32_t)packet->time_base.den);
    AV_WL64(head + 9, (uint64_t)av->pts);
    AV_WL64(head + 17, (uint64_t)av->duration);
    AV_WL32(head + 25, (uint32_t)av->flags);
    AV_WL32(head + 29, (uint32_t)av->size);
    AV_WL32(head + 33, (uint32_t)av->side_data_elems);
    int result = put(w, head, sizeof(head));
    for (int i = 0; i < av->side_data_elems && result == 0; i++)
        result = put_side(w, &av->side_data[i]);
    return result ? result : put(w, av->data, (size_t)av->size);
}

static int put_frame(kz_segment_writer *w, const kz_frame_mark *mark)
{
    uint8_t record[1 + FRAME_BODY] = {'F'};
    AV_WL64(record + 1, (uint64_t)mark->time);
    AV_WL64(record + 9, mark->fingerprint);
    AV_WL64(record + 17, mark->hash);
    return put(w, record, sizeof(record));
}

static int put_checked(kz_segment_writer *w, const kz_stamp *stamp)
{
    uint8_t record[1 + CHECKED_BODY] = {'C'};
    AV_WL64(record + 1, (uint64_t)stamp->time);
    AV_WL64(record + 9, stamp->hash);
    return put(w, record, sizeof(record));
}

/* On disk, and closed whatever happens. */
static int settle(kz_segment_writer *w)
{
    int result = flush(w);
    if (result == 0 && fsync(w->fd) != 0)
        result = failed(w->path, w->log, errno);
    if (close(w->fd) != 0 && result == 0)
        result = failed(w->path, w->log, errno);
    w->fd = -1;
    if (result != 0)
        unlink(w->path);
    return result;
}

int kz_segment_finish(kz_segment_writer **writer, const kz_frame_mark *marks, size_t frames,
                      const kz_checker *checker, size_t checked, kz_segment_info *info)
{
    kz_segment_writer *w = *writer;
    int result = 0;
    for (size_t i = 0; i < frames && result == 0; i++)
        result = put_frame(w, &marks[i]);
    for (size_t i = checked; checker && i < checker->frames.count && result == 0; i++)
        result = put_checked(w, &checker->frames.stamps[i]);
    if (result == 0)
        result = put(w, "E", 1);
    if (result == 0)
        result = settle(w);
    if (result != 0)
        return result;
    *info = (kz_segment_info){.frames = (int64_t)frames, .bytes = w->bytes};
    kz_digest_text(w->digest, info->digest);
    close_writer(writer);
    return 0;
}

/* ---- reading ---- */

struct kz_segment {
    FILE *file;
    char *path;
    int64_t left;      /* bytes of the file behind the place of reading */
    kz_digest *digest; /* NULL: not wanted */
    AVPacket *packet;
    kz_log *log;
};

static int broken(const kz_segment *s)
{
    return kz_fail(s->log, KZ_ERROR_FAILED, "%s: isn't a whole segment", s->path);
}

static int get(kz_segment *s, void *data, int64_t size)
{
    if (size > s->left || fread(data, 1, (size_t)size, s->file) != (size_t)size)
        return broken(s);
    s->left -= size;
    if (s->digest)
        kz_digest_add(s->digest, data, (size_t)size);
    return 0;
}

static int open_file(kz_segment *s, const char *path)
{
    struct stat info;
    char head[sizeof(magic)];
    s->file = fopen(path, "rbe");
    if (!s->file || fstat(fileno(s->file), &info) != 0)
        return failed(path, s->log, errno);
    s->left = S_ISREG(info.st_mode) ? info.st_size : 0;
    const int result = get(s, head, sizeof(head));
    return result == 0 && memcmp(head, magic, sizeof(magic)) != 0 ? broken(s) : result;
}

static int open_segment(kz_segment **segment, const char *path, bool content, kz_log *log)
{
    kz_segment *fresh = *segment = kz_alloc(1, sizeof(*fresh));
    if (!fresh)
        return kz_fail_memory(log, path);
    fresh->log = log;
    fresh->path = kz_strdup(path);
    fresh->packet = av_packet_alloc();
    int result = fresh->path && fresh->packet ? 0 : kz_fail_memory(log, path);
    if (result == 0 && content && kz_digest_open(&fresh->digest) != 0)
        result = kz_fail_memory(log, path);
    if (result == 0)
        result = open_file(fresh, path);
    if (result != 0)
        kz_segment_close(segment);
    return result;
}

int kz_segment_open(kz_segment **segment, const char *path, kz_log *log)
{
    return open_segment(segment, path, true, log);
}

void kz_segment_close(kz_segment **segment)
{
    if (!*segment)
        return;
    if ((*segment)->file)
        fclose((*segment)->file);
    kz_digest_close(&(*segment)->digest);
    av_packet_free(&(*segment)->packet);
    kz_free((*segment)->path);
    kz_free(*segment);
    *segment = NULL;
}

void kz_segment_digest(kz_segment *segment, char digest[KZ_DIGEST_TEXT])
{
    kz_digest_text(segment->digest, digest);
}

static int get_side(kz_segment *s)
{
    uint8_t head[SIDE_HEAD];
    int result = get(s, head, sizeof(head));
    const int64_t size = AV_RL32(head + 4);
    if (result == 0 && (size > s->left || size > MAX_PIECE || AV_RL32(head) >= AV_PKT_DATA_NB))
        result = broken(s);
    if (result != 0)
        return result;
    uint8_t *data =
        av_packet_new_side_data(s->packet, (enum AVPacketSideDataType)AV_RL32(head), (size_t)size);
    return data ? get(s, data, size) : kz_fail_memory(s->log, "a packet");
}

/* The head of a packet, checked; its side data and bytes follow. */
struct packet_head {
    AVRational base;
    int64_t pts, duration, size;
    int flags, sides;
};

static int get_head(kz_segment *s, struct packet_head *head)
{
    uint8_t raw[PACKET_HEAD];
    const int result = get(s, raw, sizeof(raw));
    if (result != 0)
        return result;
    *head = (struct packet_head){.base = {(int)AV_RL32(raw), (int)AV_RL32(raw + 4)},
                                 .pts = (int64_t)AV_RL64(raw + 8),
                                 .duration = (int64_t)AV_RL64(raw + 16),
                                 .flags = (int)AV_RL32(raw + 24),
                                 .size = AV_RL32(raw + 28),
                                 .sides = (int)FFMIN(AV_RL32(raw + 32), MAX_SIDE + 1)};
    const bool sound = head->base.num > 0 && head->base.den > 0 && head->size <= s->left &&
                       head->size <= MAX_PIECE && head->sides <= MAX_SIDE;
    return sound ? 0 : broken(s);
}

static int get_packet(kz_segment *s, kz_packet **packet)
{
    AVPacket *av = s->packet;
    struct packet_head head;
    int result = get_head(s, &head);
    for (int i = 0; result == 0 && i < head.sides; i++)
        result = get_side(s);
    if (result == 0 && head.size > s->left)
        result = broken(s);
    /* What av_new_packet() allocates has the padding that readers rely on; it keeps the side data
     * only of a packet that it makes, so that theirs is moved over. */
    AVPacket *whole = result == 0 ? av_packet_alloc() : NULL;
    if (result == 0 && (!whole || av_new_packet(whole, (int)head.size) < 0))
        result = kz_fail_memory(s->log, "a packet");
    if (result == 0) {
        FFSWAP(AVPacketSideData *, whole->side_data, av->side_data);
        FFSWAP(int, whole->side_data_elems, av->side_data_elems);
        whole->pts = head.pts;
        whole->duration = head.duration;
        whole->flags = head.flags;
        result = get(s, whole->data, head.size);
    }
    if (result == 0 && kz_packet_wrap(packet, whole, head.base) != 0)
        result = kz_fail_memory(s->log, "a packet");
    if (result == 0)
        (*packet)->video = true;
    av_packet_unref(av);
    av_packet_free(&whole);
    return result;
}

static int get_mark(kz_segment *s, kz_frame_mark *mark, int size)
{
    uint8_t raw[FRAME_BODY];
    const int result = get(s, raw, size);
    if (result != 0)
        return result;
    *mark = (kz_frame_mark){.time = (int64_t)AV_RL64(raw),
                            .fingerprint = AV_RL64(raw + 8),
                            .hash = size == FRAME_BODY ? AV_RL64(raw + 16) : 0};
    return 0;
}

/* KZ_END at the end, which must be the file's. */
static int get_kind(kz_segment *s, char *kind)
{
    int result = get(s, kind, 1);
    if (result == 0 && *kind == 'E')
        result = s->left == 0 ? KZ_END : broken(s);
    return result;
}

int kz_segment_read(kz_segment *s, kz_packet **packet)
{
    kz_frame_mark unused;
    char kind;
    int result;
    while ((result = get_kind(s, &kind)) == 0) {
        if (kind == 'P')
            return get_packet(s, packet);
        if (kind == 'F' || kind == 'C')
            result = get_mark(s, &unused, kind == 'F' ? FRAME_BODY : CHECKED_BODY);
        else
            result = broken(s);
        if (result != 0)
            break;
    }
    return result;
}

/* ---- marks ---- */

/* Room for one more item in an array that grows by doubling. */
static int grow(void *items, size_t count, size_t size)
{
    void **array = items;
    if (count & (count - 1))
        return 0;
    void *grown = kz_alloc_raw(count ? 2 * count : 1, size);
    if (!grown)
        return KZ_ERROR_MEMORY;
    if (count)
        memcpy(grown, *array, count * size);
    kz_free(*array);
    *array = grown;
    return 0;
}

static int skip(kz_segment *s, int64_t size)
{
    if (size > s->left || fseeko(s->file, size, SEEK_CUR) != 0)
        return broken(s);
    s->left -= size;
    return 0;
}

static int note_packet(kz_segment *s, kz_segment_marks *marks)
{
    struct packet_head head;
    uint8_t side[SIDE_HEAD];
    int result = get_head(s, &head);
    for (int i = 0; result == 0 && i < head.sides; i++) {
        result = get(s, side, sizeof(side));
        if (result == 0)
            result = skip(s, AV_RL32(side + 4));
    }
    if (result == 0)
        result = skip(s, head.size);
    if (result == 0 && grow(&marks->packets, marks->n_packets, sizeof(*marks->packets)) != 0)
        result = kz_fail_memory(s->log, s->path);
    if (result == 0)
        marks->packets[marks->n_packets++] = head.pts;
    return result;
}

static int note_mark(kz_segment *s, kz_frame_mark **marks, size_t *count, int size)
{
    if (grow(marks, *count, sizeof(**marks)) != 0)
        return kz_fail_memory(s->log, s->path);
    const int result = get_mark(s, &(*marks)[*count], size);
    *count += result == 0;
    return result;
}

static int note_all(kz_segment *s, kz_segment_marks *marks)
{
    char kind;
    int result;
    while ((result = get_kind(s, &kind)) == 0) {
        if (kind == 'P')
            result = note_packet(s, marks);
        else if (kind == 'F')
            result = note_mark(s, &marks->frames, &marks->n_frames, FRAME_BODY);
        else if (kind == 'C')
            result = note_mark(s, &marks->checked, &marks->n_checked, CHECKED_BODY);
        else
            result = broken(s);
        if (result != 0)
            return result;
    }
    return result == KZ_END ? 0 : result;
}

int kz_segment_marks_add(kz_segment_marks *marks, const char *path, kz_log *log)
{
    kz_segment *segment = NULL;
    int result = open_segment(&segment, path, false, log);
    if (result == 0)
        result = note_all(segment, marks);
    kz_segment_close(&segment);
    return result;
}

void kz_segment_marks_close(kz_segment_marks *marks)
{
    kz_free(marks->frames);
    kz_free(marks->packets);
    kz_free(marks->checked);
    *marks = (kz_segment_marks){0};
}
