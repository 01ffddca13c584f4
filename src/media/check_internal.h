/* A checker's inside, for the files of this folder that use its findings. */
#ifndef KZ_MEDIA_CHECK_INTERNAL_H
#define KZ_MEDIA_CHECK_INTERNAL_H

#include "media/check.h"
#include "media/manifest.h"

struct kz_checker {
    AVCodecContext *context;
    AVFrame *frame;
    AVFrame *first;  /* the first one's tags and side data; blank before it */
    kz_track frames; /* as they came out */
    int64_t errors;  /* packets and frames that weren't whole */
    kz_log *log;
};

/* For a stream whose packets' times are in units of `base`. */
int kz_checker_open_stream(kz_checker **checker, const AVCodecParameters *par, AVRational base,
                           int threads, kz_log *log);
int kz_checker_av_packet(kz_checker *checker, const AVPacket *packet);

#endif
