/* One convolution with what follows it, in one cuDNN graph:
 *     out = act(conv(in) + bias) + sum coefs[i] * residuals[i]
 * computed in fp32, read and stored in `type`. Stride 1, zeros outside the picture.
 *
 * Pictures are NHWC: the channels of a pixel lie together. A picture may be a slice of a wider
 * buffer, or every second pixel of every second row (one phase of a ×2 output), so each has its own
 * strides. Weights are KRSC: [out_channels][kernel_h][kernel_w][in_channels] of `type`, packed.
 * Bias and slopes are fp32, [out_channels].
 *
 * A convolution is opened without a GPU, then its engines are listed for one, then plans are opened
 * with some of them and measured, and the best is kept; see kz_cudnn_engine for keeping it longer.
 * One caller at a time uses a convolution and its plans. */
#ifndef KZ_CUDA_CUDNN_CONV_H
#define KZ_CUDA_CUDNN_CONV_H

#include <stdbool.h>
#include <stdint.h>

#include "cuda/cudnn/engine.h"
#include "cuda/cudnn/library.h"
#include "model/graph.h"

enum kz_cudnn_type { KZ_CUDNN_FP16, KZ_CUDNN_BF16, KZ_CUDNN_FP32 };

#define KZ_CUDNN_RESIDUALS 2

/* Elements from a pixel to the next, from a row to the next, from a picture of the batch to the
 * next. 0 stands for what is packed: channels, width * pixel, height * row. */
typedef struct kz_cudnn_strides {
    int pixel;
    int64_t row, picture;
} kz_cudnn_strides;

typedef struct kz_cudnn_conv_params {
    int batch, height, width; /* of the input, pixels; the output has height + pad_top + pad_bottom
                               * - kernel_h + 1 rows, columns likewise */
    int in_channels, out_channels;
    int kernel_h, kernel_w;
    int pad_top, pad_left, pad_bottom, pad_right; /* below the kernel's size */
    enum kz_cudnn_type type;
    bool tf32; /* FP32: multiplications may be rounded to TF32 */
    bool bias;
    enum kz_act act;
    float slope; /* KZ_ACT_LEAKY */
    int n_residuals;
    float coefs[KZ_CUDNN_RESIDUALS];
    kz_cudnn_strides in, out, residuals[KZ_CUDNN_RESIDUALS];
} kz_cudnn_conv_params;

typedef struct kz_cudnn_conv kz_cudnn_conv;

/* Describes the convolution to cuDNN; no GPU is needed. A picture whose pixels lie apart (pixel >
 * channels > 1) has strides of whole 16 bytes: cuDNN takes others, too, and says nothing of what it
 * then reads. Returns 0, KZ_ERROR_MEMORY, or KZ_ERROR_FAILED with a line that says which parameter
 * is wrong or what cuDNN refuses. `cudnn` and `log` stay until it is closed. */
int kz_cudnn_conv_open(kz_cudnn_conv **conv, kz_cudnn *cudnn, const kz_cudnn_conv_params *params,
                       kz_log *log);

/* Sets *conv to NULL; NULL is legal. After its plans. */
void kz_cudnn_conv_close(kz_cudnn_conv **conv);

/* Fills at most `most` engines, those that cuDNN believes faster first, none twice. Only such as
 * compute as promised here: always with the same result, sums in fp32, no FFT or Winograd, TF32
 * only where it is allowed. Returns how many, which may be 0, or KZ_ERROR_MEMORY. */
int kz_cudnn_conv_engines(kz_cudnn_conv *conv, kz_cudnn_device *device, kz_cudnn_engine *engines,
                          int most);

typedef struct kz_cudnn_plan kz_cudnn_plan;

/* Compiles or loads the engine's kernels, which may take a second. Returns 0, KZ_ERROR_MEMORY (of
 * the GPU, too), or KZ_ERROR_FAILED where cuDNN doesn't have that engine for this convolution and
 * this GPU, or it doesn't compute as promised above; reported as verbose only, for that is how
 * engines are tried. `device` must be one that is here. */
int kz_cudnn_plan_open(kz_cudnn_plan **plan, kz_cudnn_conv *conv, kz_cudnn_device *device,
                       const kz_cudnn_engine *engine);

/* Sets *plan to NULL; NULL is legal. A CUDA graph that was captured from its runs needs the plan's
 * kernels: it goes first. */
void kz_cudnn_plan_close(kz_cudnn_plan **plan);

/* Bytes of device memory that a run needs beside its pictures; often 0. */
int64_t kz_cudnn_plan_workspace(const kz_cudnn_plan *plan);

/* Device memory. A picture's address is a multiple of the largest power of two up to 16 that
 * divides all its strides in bytes; weights, bias and slopes of 16, workspace of 256. The output
 * overlaps nothing that is read. */
typedef struct kz_cudnn_buffers {
    const void *in, *weights;
    const void *bias;   /* where the parameters have one, else ignored */
    const void *slopes; /* KZ_ACT_PRELU, else ignored */
    const void *residuals[KZ_CUDNN_RESIDUALS];
    void *out;
    void *workspace; /* NULL where none is needed */
} kz_cudnn_buffers;

/* Puts the convolution on `stream` (a cudaStream_t) and doesn't wait; may be captured into a CUDA
 * graph. Returns 0, or KZ_ERROR_FAILED (an address that is missing or badly aligned, or cuDNN's
 * words; reported). */
int kz_cudnn_plan_run(kz_cudnn_plan *plan, void *stream, const kz_cudnn_buffers *buffers);

#endif
