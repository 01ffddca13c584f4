/* Timed text (3GPP TS 26.245, MP4's subtitles) as ASS, which Matroska can hold: text, times and
 * styles stay. Not thread-safe. */
#ifndef KZ_MEDIA_TEXT_H
#define KZ_MEDIA_TEXT_H

#include "media/internal.h"

typedef struct kz_text kz_text;

/* For the packets of `stream`. 0, KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported. */
int kz_text_open(kz_text **text, const AVStream *stream, kz_log *log);
void kz_text_close(kz_text **text);

/* The ASS script's header; owned by `text`. */
const uint8_t *kz_text_header(const kz_text *text, size_t *size);

/* Replaces *packet by its ASS line, or by NULL where it only says that nothing is shown. The old
 * packet is freed in every case. Text that isn't UTF-8 is taken as UTF-16 where it begins with a
 * byte order mark, else as Latin-1, with a warning at the first such line. 0, KZ_ERROR_MEMORY or
 * KZ_ERROR_FAILED (a packet that isn't timed text; reported). */
int kz_text_convert(kz_text *text, kz_packet **packet);

#endif
