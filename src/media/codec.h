/* What decodes a stream: libav's software, or a GPU once it has shown that it gives the same. In
 * the beginning both decode, and the software's frames are given; when the GPU's first ones have
 * turned out to be equal, it goes on alone. Should it fail then, software begins at a key frame
 * that lies behind and goes on after the last frame given: none is lost, and none comes twice.
 * Frames are the same either way, so which of them decodes isn't part of what a run depends on. Not
 * thread-safe. */
#ifndef KZ_MEDIA_CODEC_H
#define KZ_MEDIA_CODEC_H

#include "media/internal.h"

typedef struct kz_codec kz_codec;

/* For the input's video, which must outlive it, with so many threads (0: libav's choice). 0,
 * KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported. */
int kz_codec_open(kz_codec **codec, const kz_input *input, int threads, kz_log *log);
void kz_codec_close(kz_codec **codec); /* NULL is legal */

/* libav's name of the decoder. */
const char *kz_codec_name(const kz_codec *codec);

/* Before the first packet: whoever `watch` names hears of the memory that software decodes into. 0,
 * KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported. */
int kz_codec_watch(kz_codec *codec, const kz_block_watch *watch);

/* Before the first packet: a GPU may decode. `context` and `held` are kz_nvdec_open()'s. Whether it
 * tries; where it can't, then or later, software does, and one line says why. */
bool kz_codec_accelerate(kz_codec *codec, void *context, int held);

/* As avcodec_send_packet() and avcodec_receive_frame(), whoever decodes; who sends has received all
 * there was. `there` is left blank, or
 * gets what kz_nvdec_receive() gives. */
int kz_codec_send(kz_codec *codec, const AVPacket *packet);
int kz_codec_receive(kz_codec *codec, AVFrame *frame, AVFrame *there);

/* The GPU failed and nothing could take over: frames would be lost (reported). */
bool kz_codec_is_lost(const kz_codec *codec);

/* As avcodec_flush_buffers(). */
void kz_codec_flush(kz_codec *codec);

#endif
