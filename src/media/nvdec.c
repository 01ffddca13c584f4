#include "media/nvdec.h"

#include <libavutil/hwcontext.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "media/gpu.h"

struct kz_nvdec {
    AVCodecContext *context;
    AVFrame *staging; /* a whole surface on the host */
    kz_av_note note;
};

/* ---- open ---- */

/* AV1 isn't among them: film grain makes pictures that the standard doesn't define to the bit, and
 * libav decodes it by another decoder. */
static bool is_exact(enum AVCodecID id)
{
    return id == AV_CODEC_ID_H264 || id == AV_CODEC_ID_HEVC || id == AV_CODEC_ID_VP8 ||
           id == AV_CODEC_ID_VP9;
}

static bool has_cuda(const AVCodec *codec)
{
    const AVCodecHWConfig *config;
    for (int i = 0; (config = avcodec_get_hw_config(codec, i)); i++)
        if (config->device_type == AV_HWDEVICE_TYPE_CUDA &&
            config->methods & AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX)
            return true;
    return false;
}

static bool is_understood(const kz_video_format *format)
{
    return format->planes == 3 && format->shift_x == 1 && format->shift_y == 1 &&
           (format->depth == 8 || format->depth == 10);
}

/* libav only complains that the headers can't be decoded, unless the device has been asked. */
static void note_lack(AVCodecContext *context)
{
    kz_av_note *note = context->opaque;
    if (note->text[0])
        return;
    note->level = AV_LOG_PANIC;
    snprintf(note->text, sizeof(note->text), "libav has no NVDEC for %s with %s",
             context->codec->name, av_get_pix_fmt_name(context->sw_pix_fmt));
}

/* CUDA, or nothing: software is somebody else's. */
static enum AVPixelFormat choose_format(AVCodecContext *context, const enum AVPixelFormat *offered)
{
    while (*offered != AV_PIX_FMT_NONE && *offered != AV_PIX_FMT_CUDA)
        offered++;
    if (*offered == AV_PIX_FMT_NONE)
        note_lack(context);
    return *offered;
}

static int refuse(char *why, size_t size, const char *text)
{
    snprintf(why, size, "%s", text);
    return KZ_ERROR_FAILED;
}

static int open_codec(kz_nvdec *n, const AVCodec *codec, const kz_input *input, void *device,
                      char *why, size_t size)
{
    AVStream *stream = kz_input_video_stream(input);
    AVCodecContext *context = n->context;
    context->hw_device_ctx = kz_av_gpu(device);
    if (!context->hw_device_ctx)
        return refuse(why, size, "libav can't load the NVIDIA driver's libraries");
    if (avcodec_parameters_to_context(context, stream->codecpar) < 0)
        return KZ_ERROR_MEMORY;
    context->pkt_timebase = stream->time_base;
    context->framerate = av_guess_frame_rate(input->av, stream, NULL);
    context->thread_count = 1;
    context->get_format = choose_format;
    context->opaque = &n->note;
    const int code = avcodec_open2(context, codec, NULL);
    return code < 0 ? refuse(why, size, kz_av_reason_of(code, &n->note).text) : 0;
}

int kz_nvdec_open(kz_nvdec **nvdec, const kz_input *input, void *context, int held, char *why,
                  size_t size)
{
    const enum AVCodecID id = kz_input_video_stream(input)->codecpar->codec_id;
    const AVCodec *codec = avcodec_find_decoder(id);
    *nvdec = NULL;
    if (!codec || !is_exact(id) || !has_cuda(codec) || !is_understood(&input->format)) {
        snprintf(why, size, "not used for %s with %s", avcodec_get_name(id),
                 input->format.pixel_name);
        return KZ_ERROR_FAILED;
    }
    kz_nvdec *n = *nvdec = kz_alloc(1, sizeof(*n));
    if (!n)
        return KZ_ERROR_MEMORY;
    n->context = avcodec_alloc_context3(codec);
    n->staging = av_frame_alloc();
    int error = n->context && n->staging ? 0 : KZ_ERROR_MEMORY;
    if (!error) {
        n->context->extra_hw_frames = held;
        error = open_codec(n, codec, input, context, why, size);
    }
    if (error)
        kz_nvdec_close(nvdec);
    return error;
}

void kz_nvdec_close(kz_nvdec **nvdec)
{
    kz_nvdec *n = *nvdec;
    if (!n)
        return;
    avcodec_free_context(&n->context);
    av_frame_free(&n->staging);
    kz_free(n);
    *nvdec = NULL;
}

/* ---- pictures ---- */

static enum AVPixelFormat form_of(const AVFrame *there)
{
    return ((const AVHWFramesContext *)there->hw_frames_ctx->data)->sw_format;
}

/* Of the surfaces' size and form. */
static int open_staging(AVFrame *staging, const AVHWFramesContext *surfaces)
{
    if (staging->width == surfaces->width && staging->height == surfaces->height &&
        staging->format == (int)surfaces->sw_format)
        return 0;
    av_frame_unref(staging);
    staging->width = surfaces->width;
    staging->height = surfaces->height;
    staging->format = surfaces->sw_format;
    return av_frame_get_buffer(staging, 0);
}

/* Libav 5 says nothing of copies that fail: what hasn't been written to still has its marks. */
static const char mark[] = {2, 95, -7, 31, -100, 64, 3, -128, 77, -5, 12, 111, -61, 40, -33, 9};

static char *mark_of(const AVFrame *staging, bool last)
{
    return (char *)staging->data[last] +
           (last ? (staging->height / 2 - 1) * (ptrdiff_t)staging->linesize[1] : 0);
}

static bool has_mark(const AVFrame *staging, bool last)
{
    return memcmp(mark_of(staging, last), mark, sizeof(mark)) == 0;
}

/* Its whole surface to the host: libav would cut the last row of chroma off an odd height. */
static int download(AVFrame *staging, const AVFrame *there)
{
    const AVHWFramesContext *surfaces = (const AVHWFramesContext *)there->hw_frames_ctx->data;
    AVFrame *whole = av_frame_clone(there);
    int code = whole ? open_staging(staging, surfaces) : AVERROR(ENOMEM);
    if (code >= 0) {
        whole->width = surfaces->width;
        whole->height = surfaces->height;
        memcpy(mark_of(staging, false), mark, sizeof(mark));
        memcpy(mark_of(staging, true), mark, sizeof(mark));
        code = av_hwframe_transfer_data(staging, whole, 0);
    }
    av_frame_free(&whole);
    if (code >= 0 && (has_mark(staging, false) || has_mark(staging, true)))
        code = AVERROR_EXTERNAL;
    return code;
}

/* Samples that lie `step` apart, above `shift` zeros, to ones that lie side by side. */
static void unpack_row(void *to, const void *from, int width, int bytes, int step, int shift)
{
    if (bytes == 1)
        for (int x = 0; x < width; x++)
            ((uint8_t *)to)[x] = ((const uint8_t *)from)[x * step];
    else
        for (int x = 0; x < width; x++)
            ((uint16_t *)to)[x] = (uint16_t)(((const uint16_t *)from)[x * step] >> shift);
}

static void unpack(const AVFrame *from, AVFrame *to)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(from->format);
    for (int i = 0; i < 3; i++) {
        const AVComponentDescriptor *c = &desc->comp[i];
        const int bytes = c->depth > 8 ? 2 : 1;
        const int width = AV_CEIL_RSHIFT(to->width, i ? 1 : 0);
        const int height = AV_CEIL_RSHIFT(to->height, i ? 1 : 0);
        for (int y = 0; y < height; y++)
            unpack_row(to->data[i] + (ptrdiff_t)y * to->linesize[i],
                       from->data[c->plane] + (ptrdiff_t)y * from->linesize[c->plane] + c->offset,
                       width, bytes, c->step / bytes, c->shift);
    }
}

static int complain(kz_nvdec *n, const char *text)
{
    snprintf(n->note.text, sizeof(n->note.text), "%s", text);
    return AVERROR(ENOSYS);
}

/* Libav leaves what is cut off at the left and the top to the caller: such streams are few. */
static int copy_down(kz_nvdec *n, const AVFrame *there, AVFrame *host)
{
    const AVPixFmtDescriptor *soft = av_pix_fmt_desc_get(n->context->sw_pix_fmt);
    if (there->format != AV_PIX_FMT_CUDA)
        return complain(n, "it gave a picture in host memory");
    if (there->crop_left || there->crop_top)
        return complain(n, "the picture is cut at its left or top");
    if (!soft || soft->comp[0].depth > 10 ||
        form_of(there) != (soft->comp[0].depth > 8 ? AV_PIX_FMT_P010 : AV_PIX_FMT_NV12))
        return complain(n, "the picture is neither NV12 nor P010");
    host->format = n->context->sw_pix_fmt;
    host->width = there->width;
    host->height = there->height;
    int code = av_frame_get_buffer(host, 0);
    if (code >= 0)
        code = av_frame_copy_props(host, there);
    if (code >= 0)
        code = download(n->staging, there);
    if (code >= 0)
        unpack(n->staging, host);
    return code;
}

int kz_nvdec_send(kz_nvdec *n, const AVPacket *packet)
{
    return avcodec_send_packet(n->context, packet);
}

int kz_nvdec_receive(kz_nvdec *n, AVFrame *host, AVFrame *there)
{
    int code = avcodec_receive_frame(n->context, there);
    if (code >= 0)
        code = copy_down(n, there, host);
    if (code < 0) {
        av_frame_unref(host);
        av_frame_unref(there);
    }
    return code;
}

void kz_nvdec_flush(kz_nvdec *n)
{
    avcodec_flush_buffers(n->context);
}

const kz_av_note *kz_nvdec_note(const kz_nvdec *n)
{
    return &n->note;
}

kz_plane_there kz_nvdec_place(const AVFrame *there, int plane)
{
    const AVComponentDescriptor *c = &av_pix_fmt_desc_get(form_of(there))->comp[plane];
    return (kz_plane_there){.data = there->data[c->plane] + c->offset,
                            .pitch = (size_t)there->linesize[c->plane],
                            .step = c->step / (c->depth > 8 ? 2 : 1),
                            .shift = c->shift};
}
