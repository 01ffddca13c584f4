/* What a container can hold, as this libavformat writes it. */
#ifndef KZ_MEDIA_CONTAINER_H
#define KZ_MEDIA_CONTAINER_H

#include "media/internal.h"

/* The container that `name` ("mkv", "matroska", "ts", NULL) or else the ending of `path` (NULL:
 * none) means, or NULL. */
const AVOutputFormat *kz_container_find(const char *name, const char *path);

/* The ending of the format's files with its dot: that of `path` (may be NULL) where it fits.
 * Written to `buffer`, or static. */
const char *kz_container_ending(const AVOutputFormat *format, const char *path, char *buffer,
                                size_t size);

bool kz_container_is_matroska(const AVOutputFormat *format);

/* MP4 and QuickTime. */
bool kz_container_is_mov(const AVOutputFormat *format);

/* A stream of pictures and nothing else, such as y4m. */
bool kz_container_is_video_only(const AVOutputFormat *format);

bool kz_container_holds(const AVOutputFormat *format, enum AVMediaType type, enum AVCodecID codec);
bool kz_container_holds_cover(const AVOutputFormat *format, enum AVCodecID codec);
bool kz_container_keeps_chapters(const AVOutputFormat *format);
bool kz_container_keeps_rotation(const AVOutputFormat *format);

/* The AV_DISPOSITION_ bits that survive. */
int kz_container_marks(const AVOutputFormat *format);

#endif
