/* A video of its own beside the output, for looking at: H.264 in Matroska. Not thread-safe. */
#ifndef KZ_MEDIA_SKETCH_H
#define KZ_MEDIA_SKETCH_H

#include "media/frame.h"

typedef struct kz_sketch kz_sketch;

/* For frames of one format. Nothing is at `path` before kz_sketch_finish(), which replaces what is
 * there. 0, KZ_ERROR_USAGE (H.264 doesn't take the format), KZ_ERROR_FAILED or KZ_ERROR_MEMORY;
 * reported, as below. */
int kz_sketch_open(kz_sketch **sketch, const char *path, const kz_video_format *format,
                   kz_log *log);
/* Its name until it is finished; owned by the sketch. */
const char *kz_sketch_temporary(const kz_sketch *sketch);
void kz_sketch_close(kz_sketch **sketch); /* NULL is legal; what isn't finished is removed */

/* Copies the frame's samples and time: `picture` may be drawn on until the next call. */
int kz_sketch_begin(kz_sketch *sketch, const kz_frame *frame, kz_picture *picture);
/* Writes what was drawn. */
int kz_sketch_put(kz_sketch *sketch);

int kz_sketch_finish(kz_sketch *sketch);

#endif
