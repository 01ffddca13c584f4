/* What a video stream's frames are like. Only media sees libav; other layers carry this. */
#ifndef KZ_MEDIA_FORMAT_H
#define KZ_MEDIA_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "pixel/plane.h"

typedef struct kz_ratio {
    int num, den;
} kz_ratio;

typedef struct kz_video_format {
    int width, height;
    int pixel_format;       /* libav's number */
    const char *pixel_name; /* libav's name, static */
    int depth;              /* bits per sample */
    int planes;             /* 1 or 3 */
    int shift_x, shift_y;   /* log2 of the chroma subsampling */
    bool full_range;
    enum kz_chroma_site site;
    kz_luma_weights luma;   /* from the matrix tag; untagged: 709 from 720 lines up, else 601 */
    kz_ratio sample_aspect; /* 0/1 when unknown */
    kz_ratio frame_rate;    /* average or guessed; 0/1 when unknown */
    kz_ratio time_base;     /* seconds per timestamp unit */
} kz_video_format;

/* Fills name, depth, planes and shifts of `format` from a libav pixel format by its name. Returns
 * 0, or KZ_ERROR_USAGE (not reported) when there is no such format or kizuna can't carry it:
 * planar YUV or grey, 8 to 16 bit in host order, chroma shifts up to 2. */
int kz_format_by_name(kz_video_format *format, const char *pixel_name);

/* "25", "24000/1001" or one of libav's names, and more than none. */
bool kz_format_is_rate(const char *text);

/* Writes "libavformat 59.27.100, libavcodec 59.37.100, x265 3.5" into `buffer`, cut to `size`, and
 * returns it. */
const char *kz_media_versions(char *buffer, size_t size);

#endif
