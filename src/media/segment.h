/* A finished piece of the output's video, kept as a file until the whole is put together: the
 * encoder's packets, what is known of the source's frames, and what decoding the packets gave. A
 * reader takes the file for hostile. Not thread-safe. */
#ifndef KZ_MEDIA_SEGMENT_H
#define KZ_MEDIA_SEGMENT_H

#include "base/digest.h"
#include "media/check.h"
#include "media/frame.h"
#include "media/packet.h"

typedef struct kz_segment_writer kz_segment_writer;
typedef struct kz_segment kz_segment;

typedef struct kz_segment_info {
    int64_t frames;
    int64_t bytes;
    char digest[KZ_DIGEST_TEXT]; /* of the whole file */
} kz_segment_info;

/* Replaces what is at `path`. 0, KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported, as in the next two.
 */
int kz_segment_create(kz_segment_writer **writer, const char *path, kz_log *log);

/* Without kz_segment_finish() the file is removed. */
void kz_segment_abandon(kz_segment_writer **writer);

/* Packets in the order of the encoder; the packet stays the caller's. */
int kz_segment_add(kz_segment_writer *writer, const kz_packet *packet);

/* The frames' marks, and of `checker` (may be NULL) what it has decoded since the frame `checked`;
 * then everything is put on disk. Closes the writer if that succeeds. */
int kz_segment_finish(kz_segment_writer **writer, const kz_frame_mark *marks, size_t frames,
                      const kz_checker *checker, size_t checked, kz_segment_info *info);

/* What a segment holds besides the packets' content. */
typedef struct kz_segment_marks {
    kz_frame_mark *frames;
    size_t n_frames;
    int64_t *packets; /* presentation times in the order of the packets */
    size_t n_packets;
    kz_frame_mark *checked; /* time and fingerprint of decoded frames */
    size_t n_checked;
} kz_segment_marks;

/* Appends what the file holds; `marks` was zeroed before the first call. KZ_ERROR_FAILED (reported)
 * when it isn't a whole segment; `marks` may then hold a part of it. */
int kz_segment_marks_add(kz_segment_marks *marks, const char *path, kz_log *log);
void kz_segment_marks_close(kz_segment_marks *marks);

/* Opens one for its packets. 0, KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported, as below. */
int kz_segment_open(kz_segment **segment, const char *path, kz_log *log);
void kz_segment_close(kz_segment **segment);

/* The next packet, the caller's; KZ_END after the last, when `digest` of the file is known. */
int kz_segment_read(kz_segment *segment, kz_packet **packet);
void kz_segment_digest(kz_segment *segment, char digest[KZ_DIGEST_TEXT]);

#endif
