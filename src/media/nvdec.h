/* A decoder of NVIDIA's GPUs (NVDEC), through libav: pictures that stay in the device's memory, and
 * a copy of each on the host in the form that software gives. For codecs whose decoding is defined
 * to the bit, so that nobody sees who decoded. Not thread-safe; a picture may be freed on another
 * thread. */
#ifndef KZ_MEDIA_NVDEC_H
#define KZ_MEDIA_NVDEC_H

#include "media/internal.h"

typedef struct kz_nvdec kz_nvdec;

/* Opens one for the input's video. `context` is the CUcontext that pictures are to lie in, and
 * outlives decoder and pictures; `held` is how many pictures the caller keeps at a time at most. 0,
 * KZ_ERROR_MEMORY or KZ_ERROR_FAILED with why not in `why` (neither reported). */
int kz_nvdec_open(kz_nvdec **nvdec, const kz_input *input, void *context, int held, char *why,
                  size_t size);
void kz_nvdec_close(kz_nvdec **nvdec); /* its pictures may live on; NULL is legal */

/* As avcodec_send_packet(). */
int kz_nvdec_send(kz_nvdec *nvdec, const AVPacket *packet);

/* As avcodec_receive_frame(): `host` has the samples on the host, and everything that goes with
 * them, `there` has them on the device, complete. AVERROR(ENOSYS): the picture isn't of a form that
 * is understood here. */
int kz_nvdec_receive(kz_nvdec *nvdec, AVFrame *host, AVFrame *there);

/* As avcodec_flush_buffers(). */
void kz_nvdec_flush(kz_nvdec *nvdec);

/* Libav's complaint about a failure, if there was one. */
const kz_av_note *kz_nvdec_note(const kz_nvdec *nvdec);

/* Where sample planes of a picture lie that kz_nvdec_receive() gave. */
kz_plane_there kz_nvdec_place(const AVFrame *there, int plane);

#endif
