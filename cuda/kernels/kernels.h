/* What runs on the device, as C functions that put one kernel each on its stream. Pointers are into
 * device memory unless a name says otherwise; failures show in kz_gpu_wait(). */
#ifndef KZ_CUDA_KERNELS_KERNELS_H
#define KZ_CUDA_KERNELS_KERNELS_H

#include "cuda/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

#include "pixel/levels.h"
#include "pixel/tone.h"

enum kz_element { KZ_ELEMENT_FP32, KZ_ELEMENT_FP16, KZ_ELEMENT_BF16 };

static inline size_t kz_element_bytes(enum kz_element element)
{
    return element == KZ_ELEMENT_FP32 ? 4 : 2;
}

/* A value of the network, or a slice of a wider one's channels: [height][width][pixel], of which
 * `channels` are its own. */
typedef struct kz_view {
    void *data; /* its first channel of the first pixel */
    enum kz_element element;
    int channels, pixel; /* elements: its own, and from one pixel to the next */
    int width, height;
    int scale; /* in a batch: pixels for one of the batch's, in each direction */
} kz_view;

enum { KZ_BATCH_MOST = 32 };

/* Tiles that one kernel computes at once, each as if it were alone: there are zeros around it. In
 * every value one lies behind the other; pixels count where scale is 1. A task's views are those of
 * the first tile, which begins at 0. */
typedef struct kz_batch {
    int n;
    struct kz_batch_tile {
        size_t first; /* pixels of the value before it; in a larger one scale² times as many */
        int width, height;
    } tiles[KZ_BATCH_MOST];
} kz_batch;

/* A plane of samples on the device. */
typedef struct kz_surface {
    void *data;
    size_t pitch;      /* bytes from one row to the next */
    int width, height; /* samples */
    int bytes;         /* as kz_plane's */
    int step;          /* samples from one to the next: 1; 2: interleaved chroma */
    int depth, shift;  /* significant bits, and zero bits below them (P010: 10 and 6) */
    int x, y;          /* where its first sample lies in the picture: dither hangs on that */
} kz_surface;

/* A rectangle of it. */
static inline kz_surface kz_surface_part(const kz_surface *surface, kz_rect part)
{
    kz_surface s = *surface;
    s.data = (char *)s.data + (size_t)part.y0 * s.pitch +
             (size_t)part.x0 * (size_t)s.step * (size_t)s.bytes;
    s.width = part.x1 - part.x0;
    s.height = part.y1 - part.y0;
    s.x += part.x0;
    s.y += part.y0;
    return s;
}

/* Samples, and numbers that are the same: the first sample is the number at (x, y) of a view in
 * fp32 with one channel. */
typedef struct kz_patch {
    kz_surface samples;
    kz_view numbers;
    int x, y;
} kz_patch;

/* At most KZ_BATCH_MOST patches, of one kind of samples, at once. Code values to numbers: as
 * kz_levels_load(). */
void kz_cuda_load(kz_gpu *gpu, const kz_patch *patches, int n, kz_levels levels);

/* Numbers to code values with the dither of kz_levels_store(), through the curve (of device memory,
 * NULL: none). Where one is infinite or none, `strange`, of kz_gpu_alloc_host(), becomes 1; NULL:
 * nobody asks. */
void kz_cuda_store(kz_gpu *gpu, const kz_patch *patches, int n, const kz_tone *tone,
                   kz_levels levels, unsigned *strange);

/* ---- convolutions ---- */

enum { KZ_CONV_MOST_RESIDUALS = 4 };

/* out = act(conv(in) + bias) + Σ coef × residual, computed in fp32, stored as out's element. Stride
 * 1, zeros outside. With `phases`, it is nearest-neighbour ×2 and a 3×3 convolution: `out` is twice
 * as large, and kernel is 2, as KZ_OP_PHASE_CONV's. */
typedef struct kz_conv_task {
    kz_view in, out;
    kz_view residuals[KZ_CONV_MOST_RESIDUALS]; /* of out's size and channels */
    float coefs[KZ_CONV_MOST_RESIDUALS];
    int n_residuals;
    int kernel, pad_top, pad_left;
    bool phases;
    bool tf32;             /* products may be rounded to it; all views are fp32 */
    int group;             /* of kz_cuda_conv_tensor_group() */
    const void *weights;   /* packed for the kernel that runs */
    const float *bias;     /* [out channels, rounded up to 64] */
    const float *slopes;   /* the same: x < 0 ? slope x : x; NULL: no activation */
    const kz_batch *batch; /* in host memory; NULL: one tile, as large as the views */
    /* The layer that makes `in`, where kz_cuda_conv_tail() is to compute both; of the same batch.
     */
    const struct kz_conv_task *first;
} kz_conv_task;

/* Tensor cores: in has fp16 or bf16 elements, its channels are a multiple of 16 and begin at a
 * multiple of 8, as out's and the residuals' do where those have 16 bits, kernel is 3 with pads of
 * 1, or phases. With `tf32` in's channels are a multiple of 8 and begin at one of 4. */
bool kz_cuda_conv_tensor_fits(const kz_conv_task *task);
/* Output channels that one block makes, on a device with so much shared memory for a block. */
int kz_cuda_conv_tensor_group(int channels, int shared_bytes);
/* Bytes that the weights take, and writes them there, in host memory; `weights` as in kz_node. */
size_t kz_cuda_conv_tensor_bytes(const kz_conv_task *task);
void kz_cuda_conv_tensor_pack(const kz_conv_task *task, const float *weights, void *packed);
void kz_cuda_conv_tensor(kz_gpu *gpu, const kz_conv_task *task);

/* The same on Hopper's own products, where the device has them: what fits tensor cores with a group
 * of 32 or 64; phases have one of 64. Weights, in and out are the same; sums are in another order.
 * One tile: a batch isn't looked at. Two ways: one tap at a time, or pairs of rows for most taps.
 */
bool kz_cuda_conv_wgmma_there(const kz_gpu_info *info);
bool kz_cuda_conv_wgmma_fits(const kz_conv_task *task);
void kz_cuda_conv_wgmma(kz_gpu *gpu, const kz_conv_task *task);
void kz_cuda_conv_wgmma_pairs(kz_gpu *gpu, const kz_conv_task *task);

/* The same with products of one shape, where all weights have room in shared memory: 3×3, one group
 * of outputs; 32 of at most 160 inputs, or 64 of at most 112. */
bool kz_cuda_conv_march_fits(const kz_conv_task *task);
void kz_cuda_conv_march(kz_gpu *gpu, const kz_conv_task *task);

/* One channel out of many: in's channels are a multiple of 8, in fp32 of 4, and begin at one;
 * kernel 3, pads 1. */
bool kz_cuda_conv_last_fits(const kz_conv_task *task);
/* Plain: anything. Weights of both are fp32; so many floats. */
size_t kz_cuda_conv_plain_count(const kz_conv_task *task);
void kz_cuda_conv_plain_pack(const kz_conv_task *task, const float *weights, float *packed);
void kz_cuda_conv_last(kz_gpu *gpu, const kz_conv_task *task);
void kz_cuda_conv_plain(kz_gpu *gpu, const kz_conv_task *task);

/* A last layer and its `first`, which fits tensor cores with one group of 32 or 64 outputs and adds
 * no residuals, at once: the bits of kz_cuda_conv_tensor() and kz_cuda_conv_last(), with their
 * weights. What lies between isn't written, and `out` must not overlap what `first` reads. */
bool kz_cuda_conv_tail_fits(const kz_conv_task *task, int shared_bytes);
void kz_cuda_conv_tail(kz_gpu *gpu, const kz_conv_task *task);

/* ---- a whole small network ---- */

/* Luma in, luma of twice the size out, as model/luma_net.h's networks: 1 to `channels`, `hidden`
 * times channels to channels, channels to 4, all 3×3 with zeros around the picture and all but the
 * last activated; shuffled, and the input's nearest pixel added. With `skip` the first one's result
 * is added before the last one. Values between layers are rounded to `element`, as are all weights
 * but the first layer's. */
typedef struct kz_small_task {
    kz_view in, out; /* fp32, one channel; out is twice as large */
    enum kz_element element;
    int channels, hidden;
    bool skip;
    int columns;           /* of a strip, halo included: of kz_cuda_small_columns() at most */
    const void *constants; /* packed */
    const kz_batch *batch; /* as kz_conv_task's */
} kz_small_task;

/* One of its layers, first to last; in host memory. */
typedef struct kz_small_layer {
    const float *weights, *bias; /* as kz_node's; bias NULL: zeros */
    const float *slopes;         /* but the last one's; NULL: all are `slope` */
    float slope;
} kz_small_layer;

/* As wide as strips should be on a device with so much shared memory for a block; 0: the network
 * doesn't fit (or isn't one of 8, 16, 24 or 32 channels with 16-bit elements). */
int kz_cuda_small_columns(const kz_small_task *task, int shared_bytes);
size_t kz_cuda_small_bytes(const kz_small_task *task);
void kz_cuda_small_pack(const kz_small_task *task, const kz_small_layer *layers, void *packed);
void kz_cuda_small(kz_gpu *gpu, const kz_small_task *task);

/* ---- the rest ---- */

enum { KZ_SUM_MOST = 8 };

/* What a sum adds up: `coef` × `view`, seen at its place. */
typedef struct kz_term {
    kz_view view;
    float coef;
    int factor;    /* out is so many times as large */
    bool shuffled; /* pixel shuffle by factor, else nearest-neighbour */
} kz_term;

/* out = act(Σ terms): also copies, enlarges, shuffles and activates. */
typedef struct kz_sum_task {
    kz_view out;
    kz_term terms[KZ_SUM_MOST];
    int n_terms;
    const float *slopes;   /* [out channels]; NULL: no activation */
    const kz_batch *batch; /* as kz_conv_task's */
} kz_sum_task;

void kz_cuda_sum(kz_gpu *gpu, const kz_sum_task *task);

/* One direction of a resampling: dst[i] = Σ weights[i × taps + t] × src[first[i] + t]. */
typedef struct kz_cuda_axis {
    const int *first;
    const float *weights;
    int taps;
} kz_cuda_axis;

/* All rows of `src`, scaled horizontally to the width of `dst`, fp32, of as many rows. */
void kz_cuda_scale_rows(kz_gpu *gpu, const kz_surface *src, kz_levels levels,
                        const kz_cuda_axis *axis, const kz_view *dst);
/* Scales these vertically, and stores as kz_cuda_store() does; the first of them is row `first` in
 * the axis' terms. */
void kz_cuda_scale_columns(kz_gpu *gpu, const kz_view *src, int first, const kz_cuda_axis *axis,
                           const kz_surface *dst, kz_levels levels);

enum { KZ_PEAK_THREADS = 256 };

/* Products on tensor cores from registers alone, to measure how many a second there are: `element`
 * is fp16, bf16, or fp32 for TF32. `sums` gets what proves that they were done, for each thread:
 * kz_cuda_peak_blocks() × KZ_PEAK_THREADS floats, proportional to `steps` up to 500.
 * Returns the multiply-accumulates. */
int kz_cuda_peak_blocks(kz_gpu *gpu);
double kz_cuda_peak(kz_gpu *gpu, enum kz_element element, int steps, float *sums);
/* The same for Hopper's own, of 32, 64, 96, 128 or 192 columns, in fp16. */
double kz_cuda_peak_wgmma(kz_gpu *gpu, int columns, int steps, float *sums);

#ifdef __cplusplus
}
#endif

#endif
