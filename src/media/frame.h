/* A decoded or upscaled picture with its timestamp and everything that travels with it (side data,
 * colour tags). A frame has one owner at a time. */
#ifndef KZ_MEDIA_FRAME_H
#define KZ_MEDIA_FRAME_H

#include <stddef.h>

#include "base/log.h"
#include "media/format.h"

typedef struct kz_frame kz_frame;

/* Frees the frame (its samples when nobody else refers to them), sets *frame to NULL. */
void kz_frame_close(kz_frame **frame);

/* A view of the samples, valid as long as the frame; `format` is that of the frame's stream. */
kz_picture kz_frame_picture(const kz_frame *frame);

/* What is known of a source frame; the frame made of it has the same. */
typedef struct kz_frame_mark {
    int64_t time;         /* timestamp, in its stream's units */
    uint64_t fingerprint; /* of its brightness; frames made of each other have like ones */
    uint64_t hash;        /* of samples, time and duration; equal frames have equal ones */
    bool begins;          /* a segment of the output */
} kz_frame_mark;

/* Looks at the samples; `begins` is false. 0 or KZ_ERROR_MEMORY (not reported). */
int kz_frame_examine(kz_frame *frame);
kz_frame_mark *kz_frame_get_mark(kz_frame *frame);

/* The samples' hash as text. 0 or KZ_ERROR_MEMORY (not reported). */
#define KZ_FRAME_HASH 33
int kz_frame_hash(const kz_frame *frame, char hash[KZ_FRAME_HASH]);

/* A frame with the shape, tags and side data of `frame`, without samples. 0 or KZ_ERROR_MEMORY (not
 * reported). */
int kz_frame_shell(kz_frame **shell, const kz_frame *frame);

/* Memory the samples take. */
size_t kz_frame_bytes(const kz_frame *frame);

/* Presentation time in seconds from the start of the output. */
double kz_frame_time(const kz_frame *frame);

/* Buffers of one format that are used again. */
typedef struct kz_frame_pool kz_frame_pool;

int kz_frame_pool_open(kz_frame_pool **pool, const kz_video_format *format, kz_log *log);

/* Who wants to know of the blocks that a pool's frames lie in: of each when it is made, and before
 * it is freed, which whoever closes the last frame does. */
typedef struct kz_block_watch {
    void (*made)(void *context, void *block, size_t bytes);
    void (*freed)(void *context, void *block);
    void *context; /* outlives the frames */
} kz_block_watch;

/* Before the pool's first frame. */
void kz_frame_pool_watch(kz_frame_pool *pool, const kz_block_watch *watch);

/* Frames that are out keep the memory alive; NULL is legal. */
void kz_frame_pool_close(kz_frame_pool **pool);

/* A frame of the pool's format with undefined samples and the timestamp, duration, picture type
 * left open, colour tags and side data of `like`. 0 or KZ_ERROR_MEMORY (reported). */
int kz_frame_pool_get(kz_frame_pool *pool, kz_frame **frame, const kz_frame *like);

#endif
