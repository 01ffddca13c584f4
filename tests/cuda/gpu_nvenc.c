/* NVENC as a job has it where nothing is said of the encoder; where there is none, what libav says
 * then: the part nvenc. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gpu_media.h"
#include "media/gpu.h"

enum { QUALITY = 18, LEAST_PSNR = 30 };

#define ENCODER "hevc_nvenc"

/* ---- the film ---- */

struct pictures {
    AVFrame *frames[MOST_PACKETS];
    int n;
};

static void keep(void *context, AVFrame *host, AVFrame *there)
{
    struct pictures *p = context;
    (void)there;
    p->frames[p->n++] = av_frame_clone(host);
}

static void decode_film(struct pictures *p, const struct film *film, kz_log *log)
{
    struct decoder d = {0};
    if (kz_codec_open(&d.codec, film->input, 0, log) || decode(&d, film, 1, keep, p) < 0 ||
        p->n != film->n)
        stop("can't be decoded", film->name);
    kz_codec_close(&d.codec);
}

/* ---- opening ---- */

/* Libav's own answer: 0 or its error, with what it says of it. */
static int ask_libav(const kz_video_format *format, void *gpu, kz_av_note *note)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(ENCODER);
    AVCodecContext *context = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!context)
        stop("not in this libav", ENCODER);
    context->width = format->width;
    context->height = format->height;
    context->pix_fmt = AV_PIX_FMT_P010;
    context->time_base = (AVRational){1, 25};
    context->opaque = note;
    context->hw_device_ctx = kz_av_gpu(gpu);
    const int code = avcodec_open2(context, codec, NULL);
    avcodec_free_context(&context);
    return code;
}

static int say_none(const kz_video_format *format, void *gpu, char *why)
{
    kz_av_note note = {0};
    const int code = ask_libav(format, gpu, &note);
    printf("{\"kind\":\"nvenc\",\"opens\":false,\"code\":%d,\"means\":\"%s\",\"says\":\"%s\","
           "\"why\":\"%s\"}\n",
           code, code < 0 ? av_err2str(code) : "it opens", plain(note.text), plain(why));
    fprintf(stderr, "%s (libav: error %d, %s)\n", why, code,
            note.text[0] ? note.text : av_err2str(code));
    return NO_DEVICE;
}

/* ---- encoding ---- */

struct encoded {
    AVPacket **packets;
    int n, room;
    size_t bytes;
};

static int receive(kz_encoder *encoder, struct encoded *e)
{
    kz_packet *packet;
    int result;
    while ((result = kz_encoder_receive(encoder, &packet)) == 0) {
        if (e->n == e->room)
            stop("more packets than pictures", ENCODER);
        e->packets[e->n++] = av_packet_clone(packet->av);
        e->bytes += (size_t)packet->av->size;
        kz_packet_close(&packet);
    }
    return result;
}

static int send(kz_encoder *encoder, const AVFrame *picture, int64_t time)
{
    AVFrame *copy = av_frame_clone(picture);
    kz_frame *frame;
    if (!copy)
        stop("memory", "short");
    copy->pts = time;
    const int error = kz_frame_wrap(&frame, copy);
    av_frame_free(&copy);
    return error ? error : kz_encoder_send(encoder, frame);
}

/* Whether all went well. */
static bool encode(kz_encoder *encoder, const struct pictures *p, struct encoded *e, int64_t step)
{
    int result = KZ_AGAIN;
    for (int i = 0; i < e->room && result == KZ_AGAIN; i++)
        result =
            send(encoder, p->frames[i % p->n], i * step) ? KZ_ERROR_FAILED : receive(encoder, e);
    if (result == KZ_AGAIN)
        result = kz_encoder_send(encoder, NULL) ? KZ_ERROR_FAILED : receive(encoder, e);
    return result == KZ_END && e->n == e->room;
}

/* ---- what it is worth ---- */

/* Of luma, with 10 bits. */
static double distance(const AVFrame *a, const AVFrame *b)
{
    double sum = 0;
    for (int y = 0; y < a->height; y++) {
        const uint16_t *p = (const uint16_t *)(const void *)(a->data[0] + y * a->linesize[0]);
        const uint16_t *q = (const uint16_t *)(const void *)(b->data[0] + y * b->linesize[0]);
        for (int x = 0; x < a->width; x++)
            sum += (double)(p[x] - q[x]) * (p[x] - q[x]);
    }
    return sum / a->width / a->height;
}

/* Of all pictures, which come in the film's order; `frames` gets how many. */
static double psnr_of(const struct encoded *e, const struct pictures *p, int *frames)
{
    const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_HEVC);
    AVCodecContext *context = avcodec_alloc_context3(codec);
    AVFrame *frame = av_frame_alloc();
    double sum = 0;
    *frames = 0;
    if (!context || !frame || avcodec_open2(context, codec, NULL) < 0)
        stop("no decoder", "hevc");
    for (int i = 0; i <= e->n; i++) {
        avcodec_send_packet(context, i < e->n ? e->packets[i] : NULL);
        while (avcodec_receive_frame(context, frame) >= 0) {
            const AVFrame *picture = p->frames[(*frames)++ % p->n];
            if (frame->width != picture->width || frame->height != picture->height ||
                frame->format != picture->format)
                stop("it makes other pictures", ENCODER);
            sum += distance(frame, picture);
        }
    }
    av_frame_free(&frame);
    avcodec_free_context(&context);
    return fmin(100, 10 * log10(1023.0 * 1023 * *frames / (sum + 1e-9)));
}

static int say_worth(const kz_video_format *format, const struct encoded *e,
                     const struct pictures *p, bool done, double seconds)
{
    int frames;
    const double psnr = psnr_of(e, p, &frames);
    const bool ok = done && frames == e->room && psnr >= LEAST_PSNR;
    printf("{\"kind\":\"nvenc\",\"opens\":true,\"size\":\"%dx%d\",\"pixels\":\"%s\",\"quality\":"
           "%d,\"frames\":%d,\"decoded\":%d,\"bytes\":%zu,\"seconds\":%.6g,\"psnr\":%.2f,"
           "\"ok\":%s}\n",
           format->width, format->height, format->pixel_name, QUALITY, e->n, frames, e->bytes,
           seconds, psnr, ok ? "true" : "false");
    return ok ? 0 : 1;
}

static int encode_film(const struct film *film, int loops, const kz_encoder_params *params,
                       kz_log *log)
{
    const kz_video_format *format = kz_input_format(film->input);
    struct pictures pictures = {.n = 0};
    struct encoded e = {.room = film->n * loops};
    kz_encoder *encoder;
    e.packets = taken((size_t)e.room, sizeof(*e.packets));
    decode_film(&pictures, film, log);
    if (film->n < 2 || kz_encoder_open(&encoder, params, format, NULL, log))
        stop("it could be opened before, and can't now", ENCODER);
    const double began = kz_now();
    const bool done =
        encode(encoder, &pictures, &e, pictures.frames[1]->pts - pictures.frames[0]->pts);
    const int result = say_worth(format, &e, &pictures, done, kz_now() - began);
    kz_encoder_close(&encoder);
    while (e.n)
        av_packet_free(&e.packets[--e.n]);
    while (pictures.n)
        av_frame_free(&pictures.frames[--pictures.n]);
    kz_free(e.packets);
    return result;
}

/* STEM LOOPS: a film with 10 bits, so many times. */
int part_nvenc(char **arguments, kz_log *log)
{
    const int loops = atoi(arguments[1]);
    struct film film;
    char why[320];
    open_film(&film, arguments[0], log);
    const kz_video_format *format = kz_input_format(film.input);
    if (loops < 1 || format->depth != 10)
        stop("not a number of loops, or a film without 10 bits", arguments[1]);
    kz_device *device = open_device(&kz_backend_cuda, log);
    const kz_encoder_params params = {
        .codec = ENCODER, .crf = QUALITY, .context = kz_backend_cuda.context(device)};
    const int result = kz_encoder_try(&params, format, why, sizeof(why))
                           ? say_none(format, params.context, why)
                           : encode_film(&film, loops, &params, log);
    kz_backend_cuda.close(&device);
    close_film(&film);
    return result;
}
