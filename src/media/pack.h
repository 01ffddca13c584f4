/* The forms in which hardware's encoders take 10 bits: chroma interleaved, or all bits at the upper
 * end (P010; 4:4:4 in 16 bits). */
#ifndef KZ_MEDIA_PACK_H
#define KZ_MEDIA_PACK_H

#include <libavutil/frame.h>

/* The form among `taken`, which AV_PIX_FMT_NONE ends, that frames of `planar` are given in:
 * itself, else the one that kz_pack() makes of it; AV_PIX_FMT_NONE: there is none. NULL takes all.
 */
enum AVPixelFormat kz_pack_form(enum AVPixelFormat planar, const enum AVPixelFormat *taken);

/* Makes a frame of that form, with all that goes with `from`: `to` is blank. 0 or
 * AVERROR(ENOMEM). */
int kz_pack(AVFrame *to, enum AVPixelFormat form, const AVFrame *from);

#endif
