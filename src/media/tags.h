/* Tags of files and streams: what of them a container can hold, as this libavformat writes it. */
#ifndef KZ_MEDIA_TAGS_H
#define KZ_MEDIA_TAGS_H

#include "media/internal.h"

/* True if a file of `format` can hold the tag of `stream` (NULL: of the whole file), of which there
 * are others in `from`. A container that kizuna knows nothing of is taken to hold all. */
bool kz_tag_is_kept(const AVOutputFormat *format, const AVFormatContext *from,
                    const AVStream *stream, const AVDictionaryEntry *tag);

/* True if what the tag says is nowhere in the file: a stream's time of creation that is the file's
 * isn't lost. */
bool kz_tag_is_lost(const AVOutputFormat *format, const AVFormatContext *from,
                    const AVStream *stream, const AVDictionaryEntry *tag);

/* The first key of `want` that `got`, read from a file of `format`, lacks, or has with another
 * value; NULL: none, or the container is one that kizuna knows nothing of. */
const char *kz_tag_missing(const AVOutputFormat *format, const AVDictionary *want,
                           const AVDictionary *got);

#endif
