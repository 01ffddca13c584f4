/* A finished file, read from end to end. */
#ifndef KZ_MEDIA_FOUND_H
#define KZ_MEDIA_FOUND_H

#include "media/check_internal.h"
#include "media/manifest.h"

typedef struct kz_found {
    AVFormatContext *av;
    kz_track *tracks; /* per stream of av */
    int count;
    int video;           /* the stream upscaled, -1: none */
    kz_checker *checker; /* its frames; NULL: not decoded */
    kz_av_note note;
} kz_found;

/* Reads `path`; with `decode` its video's frames too. kz_found_close() in any case. 0,
 * KZ_ERROR_USAGE (no such file), KZ_ERROR_FAILED (unreadable), KZ_ERROR_CANCELLED or
 * KZ_ERROR_MEMORY; reported. `cancel` may be NULL. */
int kz_found_read(kz_found *found, const char *path, bool decode, const atomic_bool *cancel,
                  kz_log *log);
void kz_found_close(kz_found *found);

/* It is kept as an attachment, or as a cover picture, which some containers call one. */
bool kz_is_attached(const AVStream *stream);

#endif
