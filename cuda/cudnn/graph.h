/* What a convolution consists of, for this folder only. */
#ifndef KZ_CUDA_CUDNN_GRAPH_H
#define KZ_CUDA_CUDNN_GRAPH_H

#include "cuda/cudnn/conv.h"
#include "cuda/cudnn/descriptor.h"

/* What a plan's buffers are told apart by. */
enum {
    KZ_CUDNN_ID_IN = 1,
    KZ_CUDNN_ID_WEIGHTS,
    KZ_CUDNN_ID_BIAS,
    KZ_CUDNN_ID_SLOPES,
    KZ_CUDNN_ID_OUT,
    KZ_CUDNN_ID_ZERO,
    KZ_CUDNN_ID_RESIDUAL,                                         /* and following */
    KZ_CUDNN_ID_COEF = KZ_CUDNN_ID_RESIDUAL + KZ_CUDNN_RESIDUALS, /* and following */
    KZ_CUDNN_ID_VIRTUAL = 100                                     /* and following */
};

struct kz_cudnn_conv {
    kz_cudnn *cudnn;
    kz_log *log;
    kz_cudnn_conv_params params; /* strides filled in */
    int out_height, out_width;
    float zero;
    kz_cudnn_set set;
    cudnnBackendDescriptor_t graph;
};

/* Bytes: the multiple that the picture's address must be of. */
int kz_cudnn_alignment(const kz_cudnn_conv_params *params, const kz_cudnn_strides *strides);

/* Makes conv->graph of conv->params, which are in order. 0 or as kz_cudnn_fail(), reported. */
int kz_cudnn_graph_build(kz_cudnn_conv *conv);

/* Whether the engine computes as conv.h promises; false also where cuDNN doesn't say. */
bool kz_cudnn_engine_is_exact(kz_cudnn_set *set, cudnnBackendDescriptor_t engine,
                              const kz_cudnn_conv_params *params);

#endif
