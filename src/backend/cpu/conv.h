/* One convolution by oneDNN, with bias, leaky ReLU and residuals fused. */
#ifndef KZ_BACKEND_CPU_CONV_H
#define KZ_BACKEND_CPU_CONV_H

#include "backend/cpu/layout.h"
#include "base/log.h"

#define KZ_CONV_RESIDUALS 4

typedef struct kz_conv kz_conv;

typedef struct kz_conv_params {
    const char *layer; /* for messages */
    int in_channels, out_channels, kernel;
    int pad_top, pad_left, pad_bottom, pad_right;
    const float *weights; /* [out][in][kernel][kernel] */
    const float *bias;    /* [out] or NULL */
    bool leaky;           /* x < 0 ? slope x : x, before the residuals */
    float slope;
    kz_layout src, dst; /* out_channels may be fewer than dst's: the rest is padding */
    int n_residuals;    /* in dst's layout */
    float coefs[KZ_CONV_RESIDUALS];
    int workers;
} kz_conv_params;

/* Packs the weights. KZ_ERROR_FAILED names the layer when oneDNN has only its naive code for it. */
int kz_conv_open(kz_conv **conv, const kz_conv_params *params, kz_log *log);
void kz_conv_close(kz_conv **conv);

size_t kz_conv_weight_bytes(const kz_conv *conv);
size_t kz_conv_scratch_bytes(const kz_conv *conv);

/* Fixes where a worker's operands lie; once per worker, before it runs. */
int kz_conv_bind(kz_conv *conv, int worker, void *src, void *dst, void *const *residuals,
                 void *scratch, kz_log *log);

/* Runs on the calling thread; workers may run at once. 0 or KZ_ERROR_FAILED. */
int kz_conv_run(const kz_conv *conv, int worker);

#endif
