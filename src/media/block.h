/* Blocks of memory that samples lie in, which somebody may watch (kz_block_watch). Thread-safe. */
#ifndef KZ_MEDIA_BLOCK_H
#define KZ_MEDIA_BLOCK_H

#include "media/internal.h"

/* A block of zeros, aligned for vectors; the watcher hears of it now and when its last reference
 * goes. NULL: memory is short. */
AVBufferRef *kz_block_alloc(const kz_block_watch *watch, size_t bytes);

/* Where a decoder puts its pictures, in place of libav's own memory. */
typedef struct kz_blocks kz_blocks;

/* 0 or KZ_ERROR_MEMORY (not reported). */
int kz_blocks_open(kz_blocks **blocks, const kz_block_watch *watch);
/* After the decoder that uses them; pictures may stay. NULL is legal. */
void kz_blocks_close(kz_blocks **blocks);

/* Before the decoder is opened; it must end before `blocks`. */
void kz_blocks_use(kz_blocks *blocks, AVCodecContext *context);

#endif
