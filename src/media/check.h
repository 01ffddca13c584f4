/* Decodes what an encoder made, to see that every frame comes back: on a thread of its own while
 * the run goes on, or from a finished file. Not thread-safe. */
#ifndef KZ_MEDIA_CHECK_H
#define KZ_MEDIA_CHECK_H

#include "media/form.h"
#include "media/packet.h"

typedef struct kz_checker kz_checker;

/* For the packets of an encoder like `form`. NULL in *checker where they aren't something to decode
 * (raw video). `threads` 0: libav's choice. 0, KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported. */
int kz_checker_open(kz_checker **checker, const kz_form *form, int threads, kz_log *log);
void kz_checker_close(kz_checker **checker);

/* Packets and frames so far that weren't whole. */
int64_t kz_checker_errors(const kz_checker *checker);

/* Decodes a packet, which stays the caller's; NULL: no more come. What can't be decoded is counted.
 * 0 or KZ_ERROR_MEMORY (reported). */
int kz_checker_packet(kz_checker *checker, const kz_packet *packet);

/* Gives everything back that it holds; the next packet is a key frame that nothing before matters
 * to. 0 or KZ_ERROR_MEMORY (reported). */
int kz_checker_flush(kz_checker *checker);

/* Frames that were decoded before (times and fingerprints) take the place of those that it has. 0
 * or KZ_ERROR_MEMORY (reported). */
int kz_checker_replace(kz_checker *checker, const kz_frame_mark *frames, size_t count);

/* Frames decoded so far. */
size_t kz_checker_frames(const kz_checker *checker);

#endif
