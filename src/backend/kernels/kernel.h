/* The convolutions of our own engine, a few rows at a time, with everything around them fused.
 *
 * A wide value is cut into blocks of channels; a block's pixel is 64 bytes: 32 channels in bf16 or
 * 16 in fp32. A thin value (one channel) is planar fp32. A kernel is given a pointer for each row
 * of each block, so that rows may lie in a ring, above or below the picture (a row of zeros), and a
 * concatenation is no more than a longer list of pointers. What lies left and right of the picture
 * is zero in memory; kernels have no borders of their own.
 *
 * Pixels are computed in groups (`grain`) that hang on the picture's corner: as long as a caller
 * starts at a multiple of the grain, a pixel's bits don't depend on how the picture was cut. */
#ifndef KZ_BACKEND_KERNELS_KERNEL_H
#define KZ_BACKEND_KERNELS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cpu.h"
#include "base/log.h"
#include "pixel/tone.h"

#define KZ_PIXEL_BYTES 64 /* of one block */
#define KZ_KERNEL_INPUTS 8
#define KZ_KERNEL_RESIDUALS 4

enum kz_kernel_kind {
    KZ_KERNEL_CONV,    /* 3×3, zero padding 1, blocks to blocks */
    KZ_KERNEL_PHASE,   /* nearest ×2 upsampling and that, blocks to blocks */
    KZ_KERNEL_FIRST,   /* 3×3, planar to blocks */
    KZ_KERNEL_LAST,    /* 3×3, blocks to planar */
    KZ_KERNEL_SHUFFLE, /* fp32 blocks to planar, factor times as large, plus an enlarged planar */
    KZ_KERNEL_KINDS,
    KZ_KERNEL_END = KZ_KERNEL_KINDS /* a CONV of fp32 blocks to 4 channels, and the SHUFFLE by 2;
                                     * of small networks, see kz_small_kernels */
};

typedef struct kz_kernel_params {
    enum kz_kernel_kind kind;
    bool bf16;    /* the blocks read (FIRST: written), else fp32 */
    bool wide;    /* CONV: the blocks written are fp32 whatever those read are */
    bool exact;   /* CONV and PHASE in bf16, by Winograd: position (1, 1) is computed in fp32 */
    int n_inputs; /* concatenated values; planar ones have one channel. END: 2 where an enlarged
                   * planar value is added, which then is the second */
    int in_channels[KZ_KERNEL_INPUTS];
    int out_channels;
    const float *weights; /* as in kz_node; SHUFFLE: none */
    const float *bias;    /* [out_channels] or NULL */
    const float *flat;    /* [n_flat][channels read]: what they are on flat pictures, for which
                           * rounded weights are to be right; n_flat may be 0, 16 is the most */
    int n_flat;
    const float *slopes; /* [out_channels]: x < 0 ? slope x : x; NULL: no activation */
    int n_residuals;     /* added after the activation, CONV only; they lie as the output does */
    float coefs[KZ_KERNEL_RESIDUALS]; /* SHUFFLE, END: coefs[0] of the enlarged planar value;
                                         SHUFFLE 0: none */
    int factor;                       /* SHUFFLE */
} kz_kernel_params;

typedef struct kz_kernel_ops kz_kernel_ops;

/* A convolution packed for one kernel; read-only from then on, so that threads share it. */
typedef struct kz_kernel {
    const kz_kernel_ops *ops;
    int in_blocks, out_blocks; /* pointers for each row; 1 where planar */
    int in_lanes, out_lanes;   /* channels including the padding of the last block */
    int out_channels;          /* without it; what lies in the padding is finite, and no more */
    bool wide;                 /* bf16 in, fp32 out */
    bool exact;                /* position (1, 1) in fp32 */
    bool activated;
    int n_residuals;
    float coefs[KZ_KERNEL_RESIDUALS];
    int factor;
    void *weights;
    float *bias, *slopes; /* [out_lanes] */
    float *exact_weights; /* of position (1, 1), or NULL */
    size_t bytes;         /* of the four, a multiple of KZ_ALIGNMENT */
} kz_kernel;

/* One call: ops->out_rows rows of the output. */
typedef struct kz_kernel_run {
    const void *const *src; /* [in_rows][in_blocks], at the column left of the first one's; for
                             * SHUFFLE at the first one's, and [1] the planar value */
    void *const *dst;       /* [out_rows][out_blocks], at the first column */
    const void *const *residuals; /* [n_residuals][out_rows][out_blocks], at the first column */
    int columns;                  /* of the output, at least 1 */
    int rows;                     /* to write, at most out_rows; src has in_rows all the same */
    void *scratch;                /* kz_kernel_scratch() bytes, aligned */
} kz_kernel_run;

struct kz_kernel_ops {
    const char *name;
    int in_rows; /* rows that a call reads, from the one above the first, SHUFFLE: from the first */
    int in_step; /* rows of the input from one call to the next */
    int out_rows; /* rows of the output from one call to the next */
    int grain;    /* output columns that are computed together; out_rows is the rows' */
    int overread; /* input columns that may be read beyond those needed, finite values all */
    void (*run)(const kz_kernel *kernel, const kz_kernel_run *run);
    size_t (*scratch)(const kz_kernel *kernel);
    /* For packing: */
    int positions; /* Winograd: of the transformed tile, a side; 0: direct */
    bool flat;     /* Winograd with near points: what is flat has a position more, the last */
    int panel;     /* Winograd: outputs that one pass of the product makes */
    bool bf16;
    size_t (*weight_bytes)(const kz_kernel *kernel); /* this and pack NULL: as kernel.c does it */
    void (*pack)(kz_kernel *kernel, const kz_kernel_params *params);
};

/* The kernels of one level and one type of element. */
typedef const kz_kernel_ops *const kz_kernel_table[KZ_KERNEL_KINDS];

/* The table for this level, or NULL: this CPU has no kernels of ours. */
const kz_kernel_ops *const *kz_kernel_table_for(enum kz_cpu_level level, bool bf16);

/* CONV with larger tiles: fewer products, and more noise, which a network that isn't deep can bear.
 * NULL: this level and type have none, or better ones. */
const kz_kernel_ops *kz_kernel_large_for(enum kz_cpu_level level, bool bf16);

/* Kernels for convolutions of at most KZ_SMALL_CHANNELS channels, one value in: values are fp32
 * blocks, products of `conv` and `end` are in bf16 or fp32. */
enum { KZ_SMALL_CHANNELS = 32 };

typedef struct kz_small_kernels {
    const kz_kernel_ops *first, *conv, *end;
} kz_small_kernels;

/* NULL: this level has none, or better ones. */
const kz_small_kernels *kz_kernel_small_for(enum kz_cpu_level level, bool bf16);

/* Multiply-accumulates per second of the calling thread at that level and type, from registers
 * alone, measured in `seconds`; NULL where there are no kernels of ours. */
typedef double kz_kernel_peak(double seconds);
kz_kernel_peak *kz_kernel_peak_for(enum kz_cpu_level level, bool bf16);

/* kz_tone_apply(), with the same bits, as fast as the level can. */
typedef void kz_kernel_tone(const kz_tone *tone, float *values, int count);
kz_kernel_tone *kz_kernel_tone_for(enum kz_cpu_level level);

/* A kernel without its weights: for sizes. */
void kz_kernel_measure(kz_kernel *kernel, const kz_kernel_ops *ops, const kz_kernel_params *params);

/* Packs weights into `memory`, aligned, of as many bytes as kz_kernel_measure() says, which must
 * outlive the kernel. Nothing to close. */
void kz_kernel_pack(kz_kernel *kernel, const kz_kernel_ops *ops, const kz_kernel_params *params,
                    void *memory);

/* Winograd: of the transformed tile, all of them; 0: direct. */
static inline int kz_kernel_positions(const kz_kernel_ops *ops)
{
    return ops->positions * ops->positions + ops->flat;
}

static inline size_t kz_kernel_scratch(const kz_kernel *kernel)
{
    return kernel->ops->scratch ? kernel->ops->scratch(kernel) : 0;
}

/* Channels of a block. */
static inline int kz_block_channels(bool bf16)
{
    return bf16 ? KZ_PIXEL_BYTES / 2 : KZ_PIXEL_BYTES / 4;
}

#endif
