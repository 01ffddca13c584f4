#include "cuda/cudnn/conv.h"

#include <math.h>

#include "base/mem.h"
#include "cuda/cudnn/graph.h"

enum {
    MAX_BATCH = 65536,
    MAX_SIDE = 1 << 20,
    MAX_CHANNELS = 65536,
    MAX_KERNEL = 64,
    MAX_PIXEL = 1 << 24,
};
#define MAX_STRIDE ((int64_t)1 << 46) /* times the largest batch fits in 63 bits */

static int element_size(enum kz_cudnn_type type)
{
    return type == KZ_CUDNN_FP32 ? 4 : 2;
}

int kz_cudnn_alignment(const kz_cudnn_conv_params *params, const kz_cudnn_strides *strides)
{
    int64_t all = strides->pixel | strides->row | strides->picture;
    int alignment = element_size(params->type);
    for (; alignment < 16 && !(all & 1); all >>= 1)
        alignment *= 2;
    return alignment;
}

static int check_sizes(const kz_cudnn_conv_params *p, kz_log *log)
{
    if (p->batch < 1 || p->batch > MAX_BATCH || p->height < 1 || p->height > MAX_SIDE ||
        p->width < 1 || p->width > MAX_SIDE)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: %d pictures of %d×%d can't be convolved",
                       p->batch, p->width, p->height);
    if (p->in_channels < 1 || p->in_channels > MAX_CHANNELS || p->out_channels < 1 ||
        p->out_channels > MAX_CHANNELS)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: %d to %d channels can't be convolved",
                       p->in_channels, p->out_channels);
    if (p->kernel_h < 1 || p->kernel_h > MAX_KERNEL || p->kernel_w < 1 || p->kernel_w > MAX_KERNEL)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: a kernel of %d×%d can't be used", p->kernel_w,
                       p->kernel_h);
    if (p->pad_top < 0 || p->pad_top >= p->kernel_h || p->pad_bottom < 0 ||
        p->pad_bottom >= p->kernel_h || p->pad_left < 0 || p->pad_left >= p->kernel_w ||
        p->pad_right < 0 || p->pad_right >= p->kernel_w)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: padding %d, %d, %d, %d for a kernel of %d×%d",
                       p->pad_top, p->pad_left, p->pad_bottom, p->pad_right, p->kernel_w,
                       p->kernel_h);
    return 0;
}

static int check_rest(const kz_cudnn_conv_params *p, kz_log *log)
{
    if (p->type != KZ_CUDNN_FP16 && p->type != KZ_CUDNN_BF16 && p->type != KZ_CUDNN_FP32)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: unknown element type %d", (int)p->type);
    if (p->act != KZ_ACT_NONE && p->act != KZ_ACT_LEAKY && p->act != KZ_ACT_PRELU)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: unknown activation %d", (int)p->act);
    if (p->act == KZ_ACT_LEAKY && !isfinite(p->slope))
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: the slope is no number");
    if (p->n_residuals < 0 || p->n_residuals > KZ_CUDNN_RESIDUALS)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: %d residuals, not 0 to %d", p->n_residuals,
                       KZ_CUDNN_RESIDUALS);
    for (int i = 0; i < p->n_residuals; i++)
        if (!isfinite(p->coefs[i]))
            return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: a residual's coefficient is no number");
    return 0;
}

static int fill_strides(kz_cudnn_strides *s, const kz_cudnn_conv_params *p, int channels,
                        int height, int width, const char *what, kz_log *log)
{
    if (!s->pixel)
        s->pixel = channels;
    if (s->pixel < channels || s->pixel > MAX_PIXEL)
        return kz_fail(log, KZ_ERROR_FAILED,
                       "cuDNN: %s has %d channels, but its pixels lie %d apart", what, channels,
                       s->pixel);
    int64_t row = (int64_t)s->pixel * width;
    if (!s->row)
        s->row = row;
    if (s->row < row || s->row > MAX_STRIDE / height)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: %s has rows that lie %lld apart, not %lld",
                       what, (long long)s->row, (long long)row);
    if (!s->picture)
        s->picture = s->row * height;
    if (s->picture < s->row * height || s->picture > MAX_STRIDE)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: %s has pictures that lie %lld apart, not %lld",
                       what, (long long)s->picture, (long long)(s->row * height));
    if (s->pixel > channels && channels > 1 && kz_cudnn_alignment(p, s) < 16)
        return kz_fail(log, KZ_ERROR_FAILED,
                       "cuDNN: %s is a slice whose pixels don't begin at multiples of 16 bytes",
                       what);
    return 0;
}

static int fill_pictures(kz_cudnn_conv *conv)
{
    kz_cudnn_conv_params *p = &conv->params;
    kz_log *log = conv->log;
    int height = p->height + p->pad_top + p->pad_bottom - p->kernel_h + 1;
    int width = p->width + p->pad_left + p->pad_right - p->kernel_w + 1;
    if (height < 1 || width < 1)
        return kz_fail(log, KZ_ERROR_FAILED, "cuDNN: %d×%d is too small for a kernel of %d×%d",
                       p->width, p->height, p->kernel_w, p->kernel_h);
    conv->out_height = height;
    conv->out_width = width;
    int ret = fill_strides(&p->in, p, p->in_channels, p->height, p->width, "the input", log);
    if (ret == 0)
        ret = fill_strides(&p->out, p, p->out_channels, height, width, "the output", log);
    for (int i = 0; ret == 0 && i < p->n_residuals; i++)
        ret = fill_strides(&p->residuals[i], p, p->out_channels, height, width, "a residual", log);
    return ret;
}

static int build(kz_cudnn_conv *conv)
{
    int ret = check_sizes(&conv->params, conv->log);
    if (ret == 0)
        ret = check_rest(&conv->params, conv->log);
    if (ret == 0)
        ret = fill_pictures(conv);
    if (ret == 0)
        ret = kz_cudnn_graph_build(conv);
    return ret;
}

int kz_cudnn_conv_open(kz_cudnn_conv **conv, kz_cudnn *cudnn, const kz_cudnn_conv_params *params,
                       kz_log *log)
{
    *conv = kz_alloc(1, sizeof(**conv));
    if (!*conv)
        return kz_fail_memory(log, "a convolution");
    (*conv)->cudnn = cudnn;
    (*conv)->set.cudnn = cudnn;
    (*conv)->log = log;
    (*conv)->params = *params;
    int ret = build(*conv);
    if (ret < 0)
        kz_cudnn_conv_close(conv);
    return ret;
}

void kz_cudnn_conv_close(kz_cudnn_conv **conv)
{
    if (!*conv)
        return;
    kz_cudnn_clear(&(*conv)->set);
    kz_free(*conv);
    *conv = NULL;
}
