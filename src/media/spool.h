/* Upscaled frames of a segment that isn't finished, kept without loss, so that those that took long
 * aren't computed twice. A damaged or foreign file only means that there are fewer. Not
 * thread-safe. */
#ifndef KZ_MEDIA_SPOOL_H
#define KZ_MEDIA_SPOOL_H

#include "media/frame.h"

typedef struct kz_spool kz_spool;

/* For frames of one format; the file is made with the first frame put. 0 or KZ_ERROR_MEMORY
 * (reported). */
int kz_spool_open(kz_spool **spool, const char *path, const kz_video_format *format, kz_log *log);
void kz_spool_close(kz_spool **spool); /* the file stays */

/* Fills the samples of `frame` from the next frame of the file, if that was made from the source
 * frame whose mark `frame` has. KZ_END when it isn't there; it may be that of a later frame, which
 * is given when its time comes. */
int kz_spool_get(kz_spool *spool, kz_frame *frame);

/* Appends behind the frames that were given, and puts it on disk; as long as there are more to give
 * it does nothing. 0 or KZ_ERROR_FAILED (reported):
 * the run can go on without. */
int kz_spool_put(kz_spool *spool, const kz_frame *frame);

#endif
