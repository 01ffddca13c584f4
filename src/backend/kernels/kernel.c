#include "backend/kernels/kernel.h"

#include <stdint.h>
#include <string.h>

#include "backend/kernels/near.h"
#include "backend/kernels/pack.h"
#include "backend/kernels/round.h"
#include "backend/kernels/table.h"
#include "base/mem.h"

/* Channels whose weights are rounded together, at most. */
enum { MOST_ROUNDED = 1024 };

/* ---- channels ---- */

static int blocks_of(int channels, bool bf16)
{
    int block = kz_block_channels(bf16);
    return (channels + block - 1) / block;
}

/* The channel of the weights that lane `lane` of the concatenated, padded inputs holds, or -1. */
static int channel_of(const kz_kernel_params *p, int lane)
{
    int block = kz_block_channels(p->bf16), first = 0;
    for (int i = 0; i < p->n_inputs; i++) {
        int lanes = blocks_of(p->in_channels[i], p->bf16) * block;
        if (lane < lanes)
            return lane < p->in_channels[i] ? first + lane : -1;
        lane -= lanes;
        first += p->in_channels[i];
    }
    return -1;
}

static int in_channels(const kz_kernel_params *p)
{
    int sum = 0;
    for (int i = 0; i < p->n_inputs; i++)
        sum += p->in_channels[i];
    return sum;
}

/* ---- weights ---- */

/* Weights of one filter in all positions, and that of the flat one, which is the filter's sum. */
struct transformed {
    double at[6][6], flat;
};

/* G of a 3×3 filter's transform, positions × 3. */
static void find_filters(double G[6][3], const kz_kernel_ops *ops)
{
    static const double f2[4][3] = {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
    static const double f4[6][3] = {{1. / 4, 0, 0},
                                    {-1. / 6, -1. / 6, -1. / 6},
                                    {-1. / 6, 1. / 6, -1. / 6},
                                    {1. / 24, 1. / 12, 1. / 6},
                                    {1. / 24, -1. / 12, 1. / 6},
                                    {0, 0, 1}};
    if (ops->flat)
        kz_near_filters(G);
    else
        memcpy(G, ops->positions == 4 ? f2 : f4, (size_t)ops->positions * sizeof(G[0]));
}

/* G g Gᵀ. */
static void transform_filter(struct transformed *u, const float *g, double G[6][3], int positions)
{
    for (int i = 0; i < positions; i++)
        for (int j = 0; j < positions; j++) {
            u->at[i][j] = 0;
            for (int y = 0; y < 3; y++)
                for (int x = 0; x < 3; x++)
                    u->at[i][j] += G[i][y] * G[j][x] * (double)g[y * 3 + x];
        }
    u->flat = 0;
    for (int tap = 0; tap < 9; tap++)
        u->flat += (double)g[tap];
}

/* The same for upsampling, from the four phases' 2×2 filters: rows and columns w0, w0 + w1 + w2,
 * w2. Phase 0's taps are w0 and w1 + w2, phase 1's w0 + w1 and w2. */
static void transform_phases(struct transformed *u, const float *g, size_t phase_stride)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            const float *phase = g + phase_stride * (size_t)((i == 2) * 2 + (j == 2));
            u->at[i][j] = 0;
            for (int y = i == 2; y <= (i != 0); y++)
                for (int x = j == 2; x <= (j != 0); x++)
                    u->at[i][j] += (double)phase[y * 2 + x];
        }
}

/* Where lane `lane` stands among the transformed values: bf16 pixels are split into even and odd
 * channels on the way. */
static int transformed_lane(int lane, bool bf16)
{
    return bf16 ? lane / 32 * 32 + (lane % 2) * 16 + lane % 32 / 2 : lane;
}

/* All positions of output n's filter for a channel. */
static void transform(struct transformed *u, const kz_kernel *k, const kz_kernel_params *p,
                      double G[6][3], int n, int channel)
{
    const size_t inputs = (size_t)in_channels(p);
    const size_t filter = (size_t)n * inputs + (size_t)channel;
    if (p->kind == KZ_KERNEL_PHASE)
        transform_phases(u, p->weights + filter * 4, inputs * (size_t)p->out_channels * 4);
    else
        transform_filter(u, p->weights + filter * 9, G, k->ops->positions);
}

/* The position that alone of all sees what is flat: the flat one or (1, 1). */
static double *sum_of(struct transformed *u, const kz_kernel_ops *ops)
{
    return ops->flat ? &u->flat : &u->at[1][1];
}

/* Its weights, which are the filters' sums, rounded together; false: there are too many. */
static bool round_sums(double sums[MOST_ROUNDED], const kz_kernel *k, const kz_kernel_params *p,
                       double G[6][3], int n)
{
    const int inputs = in_channels(p);
    bool swapped[MOST_ROUNDED];
    struct transformed u;
    if (!k->ops->bf16 || k->exact || !p->n_flat || inputs > MOST_ROUNDED)
        return false;
    for (int c = 0; c < inputs; c++) {
        transform(&u, k, p, G, n, c);
        sums[c] = *sum_of(&u, k->ops);
    }
    kz_round_weights(sums, inputs, p->flat, p->n_flat, swapped);
    return true;
}

/* [position][panel of outputs][channels / step][outputs of the panel][step]; exact ones
 * [panel][channels][outputs of the panel]. */
static void pack_winograd(kz_kernel *k, const kz_kernel_params *p)
{
    const kz_kernel_ops *ops = k->ops;
    size_t position = (size_t)k->in_lanes * (size_t)k->out_lanes;
    double G[6][3];
    find_filters(G, ops);
    for (int n = 0; n < p->out_channels; n++) {
        double sums[MOST_ROUNDED];
        const bool rounded = round_sums(sums, k, p, G, n);
        for (int lane = 0; lane < k->in_lanes; lane++) {
            int channel = channel_of(p, lane), c = transformed_lane(lane, ops->bf16);
            if (channel < 0)
                continue;
            struct transformed u;
            transform(&u, k, p, G, n, channel);
            if (rounded)
                *sum_of(&u, ops) = sums[channel];
            const int panel = kz_panel_of(k, n);
            if (k->exact)
                k->exact_weights[panel * k->in_lanes + c * kz_panel_width(k, panel) + n - panel] =
                    (float)u.at[1][1];
            const size_t at = kz_panel_place(k, n, c);
            const int all = ops->positions * ops->positions;
            for (int i = 0; i < all; i++)
                kz_put_weight(k->weights, ops->bf16, at + (size_t)i * position,
                              u.at[i / ops->positions][i % ops->positions]);
            if (ops->flat)
                kz_put_weight(k->weights, ops->bf16, at + (size_t)all * position, u.flat);
        }
    }
}

/* Tiles of 32 channels × 16 outputs, [channel / 2][output][2], in the order in which they are read:
 * [outputs / 16][phase][block of channels][column of taps][row of taps]. */
static void pack_tiles(kz_kernel *k, const kz_kernel_params *p)
{
    int inputs = in_channels(p), outputs = p->out_channels;
    int phases = p->kind == KZ_KERNEL_PHASE ? 4 : 1, side = phases > 1 ? 2 : 3;
    for (int n = 0; n < outputs; n++)
        for (int lane = 0; lane < k->in_lanes; lane++) {
            int channel = channel_of(p, lane), c = lane % 32;
            for (int i = 0; i < phases * side * side && channel >= 0; i++) {
                int phase = i / (side * side), x = i % side, y = i / side % side;
                size_t filter = (size_t)(phase * outputs + n) * (size_t)inputs + (size_t)channel;
                size_t tile = (size_t)(n / 16 * phases + phase) * (size_t)(k->in_lanes / 32);
                tile = ((tile + (size_t)(lane / 32)) * (size_t)side + (size_t)x) * (size_t)side +
                       (size_t)y;
                kz_put_weight(
                    k->weights, true, tile * 512 + (size_t)((c / 2 * 16 + n % 16) * 2 + c % 2),
                    (double)p->weights[filter * (size_t)(side * side) + (size_t)(y * side + x)]);
            }
        }
}

/* FIRST: [tap][output] in fp32; LAST: [tap][channel] as the blocks lie. */
static void pack_thin(kz_kernel *k, const kz_kernel_params *p)
{
    int inputs = in_channels(p);
    bool first = p->kind == KZ_KERNEL_FIRST;
    for (int tap = 0; tap < 9; tap++)
        for (int n = 0; first && n < p->out_channels; n++)
            kz_put_weight(k->weights, false, (size_t)(tap * k->out_lanes + n),
                          (double)p->weights[n * 9 + tap]);
    for (int tap = 0; tap < 9; tap++)
        for (int lane = 0; !first && lane < k->in_lanes; lane++) {
            int channel = channel_of(p, lane);
            if (channel >= 0 && channel < inputs)
                kz_put_weight(k->weights, p->bf16, (size_t)(tap * k->in_lanes + lane),
                              (double)p->weights[channel * 9 + tap]);
        }
}

/* ---- sizes ---- */

static void set_sizes(kz_kernel *k, const kz_kernel_params *p)
{
    int block = kz_block_channels(p->bf16);
    bool planar_in = p->kind == KZ_KERNEL_FIRST;
    bool planar_out = p->kind == KZ_KERNEL_LAST || p->kind == KZ_KERNEL_SHUFFLE;
    bool bf16_out = p->bf16 && !p->wide;
    for (int i = 0; i < p->n_inputs; i++)
        k->in_blocks += planar_in ? 1 : blocks_of(p->in_channels[i], p->bf16);
    k->in_lanes = planar_in ? 1 : k->in_blocks * block;
    k->out_blocks = planar_out ? 1 : blocks_of(p->out_channels, bf16_out);
    k->out_lanes = planar_out ? 1 : k->out_blocks * kz_block_channels(bf16_out);
    if (p->kind == KZ_KERNEL_END) { /* the picture is a pointer more; the bias fills a vector */
        k->in_blocks = blocks_of(p->in_channels[0], false) + p->n_inputs - 1;
        k->in_lanes = blocks_of(p->in_channels[0], false) * kz_block_channels(false);
        k->out_blocks = 1;
    }
}

static size_t aligned(size_t bytes)
{
    return (bytes + KZ_ALIGNMENT - 1) & -(size_t)KZ_ALIGNMENT;
}

static size_t weight_bytes(const kz_kernel *k, const kz_kernel_params *p)
{
    size_t taps = p->kind == KZ_KERNEL_PHASE ? 16 : 9;
    if (k->ops->weight_bytes)
        return aligned(k->ops->weight_bytes(k));
    if (k->ops->positions)
        taps = (size_t)kz_kernel_positions(k->ops);
    size_t element = p->bf16 && p->kind != KZ_KERNEL_FIRST ? sizeof(uint16_t) : sizeof(float);
    return p->weights ? aligned(taps * (size_t)k->in_lanes * (size_t)k->out_lanes * element) : 0;
}

static size_t lane_bytes(const kz_kernel *k)
{
    return aligned((size_t)k->out_lanes * sizeof(float));
}

static size_t exact_bytes(const kz_kernel *k)
{
    return k->exact ? (size_t)k->in_lanes * (size_t)k->out_lanes * sizeof(float) : 0;
}

void kz_kernel_measure(kz_kernel *k, const kz_kernel_ops *ops, const kz_kernel_params *p)
{
    *k = (kz_kernel){.ops = ops,
                     .out_channels = p->out_channels,
                     .wide = p->wide,
                     .exact = p->exact && ops->bf16 && ops->positions && !ops->flat,
                     .activated = p->slopes != NULL,
                     .n_residuals = p->n_residuals,
                     .factor = p->kind == KZ_KERNEL_SHUFFLE ? p->factor
                               : p->kind == KZ_KERNEL_END   ? 2
                                                            : 1};
    memcpy(k->coefs, p->coefs, sizeof(k->coefs));
    set_sizes(k, p);
    k->bytes = weight_bytes(k, p) + 2 * lane_bytes(k) + exact_bytes(k);
}

void kz_kernel_pack(kz_kernel *k, const kz_kernel_ops *ops, const kz_kernel_params *p, void *memory)
{
    char *at = memory;
    kz_kernel_measure(k, ops, p);
    memset(memory, 0, k->bytes);
    k->weights = at;
    k->bias = (float *)(void *)(at + weight_bytes(k, p));
    k->slopes = (float *)(void *)(at + weight_bytes(k, p) + lane_bytes(k));
    if (k->exact)
        k->exact_weights = (float *)(void *)(at + weight_bytes(k, p) + 2 * lane_bytes(k));
    for (int n = 0; n < p->out_channels && p->kind != KZ_KERNEL_SHUFFLE; n++) {
        k->bias[n] = p->bias ? p->bias[n] : 0;
        k->slopes[n] = p->slopes ? p->slopes[n] : 1;
    }
    if (ops->pack)
        ops->pack(k, p);
    else if (ops->positions)
        pack_winograd(k, p);
    else if (p->kind == KZ_KERNEL_CONV || p->kind == KZ_KERNEL_PHASE)
        pack_tiles(k, p);
    else if (p->weights)
        pack_thin(k, p);
}

/* ---- tables ---- */

#if defined(__x86_64__)

#define TABLE(level)                                                                 \
    {                                                                                \
        &kz_kernel_conv_##level, &kz_kernel_phase_##level, &kz_kernel_first_##level, \
            &kz_kernel_last_##level, &kz_kernel_shuffle_##level                      \
    }

static kz_kernel_table avx2 = TABLE(avx2);
static kz_kernel_table avx512 = TABLE(avx512);
static kz_kernel_table avx512_bf16 = TABLE(avx512_bf16);
static kz_kernel_table amx = {&kz_kernel_conv_amx, &kz_kernel_phase_amx,
                              &kz_kernel_first_avx512_bf16, &kz_kernel_last_avx512_bf16,
                              &kz_kernel_shuffle_avx512_bf16};

const kz_kernel_ops *const *kz_kernel_table_for(enum kz_cpu_level level, bool bf16)
{
    if (bf16 && level >= KZ_CPU_AMX)
        return amx;
    if (bf16)
        return level >= KZ_CPU_AVX512_BF16 ? avx512_bf16 : NULL;
    if (level >= KZ_CPU_AVX512)
        return avx512;
    return level >= KZ_CPU_AVX2 ? avx2 : NULL;
}

const kz_kernel_ops *kz_kernel_large_for(enum kz_cpu_level level, bool bf16)
{
    return bf16 && level == KZ_CPU_AVX512_BF16 ? &kz_kernel_large_avx512_bf16 : NULL;
}

#define SMALL(level)                                                                           \
    {                                                                                          \
        &kz_kernel_small_first_##level, &kz_kernel_small_##level, &kz_kernel_small_end_##level \
    }

static const kz_small_kernels small_avx2 = SMALL(avx2);
static const kz_small_kernels small_avx512 = SMALL(avx512);
static const kz_small_kernels small_avx512_bf16 = SMALL(avx512_bf16);

const kz_small_kernels *kz_kernel_small_for(enum kz_cpu_level level, bool bf16)
{
    if (bf16)
        return level == KZ_CPU_AVX512_BF16 ? &small_avx512_bf16 : NULL;
    if (level >= KZ_CPU_AVX512)
        return &small_avx512;
    return level >= KZ_CPU_AVX2 ? &small_avx2 : NULL;
}

kz_kernel_tone *kz_kernel_tone_for(enum kz_cpu_level level)
{
    if (level >= KZ_CPU_AVX512)
        return level > KZ_CPU_AVX512 ? kz_kernel_tone_avx512_bf16 : kz_kernel_tone_avx512;
    return level >= KZ_CPU_AVX2 ? kz_kernel_tone_avx2 : kz_tone_apply;
}

kz_kernel_peak *kz_kernel_peak_for(enum kz_cpu_level level, bool bf16)
{
    if (bf16 && level >= KZ_CPU_AMX)
        return kz_kernel_peak_amx;
    if (bf16)
        return level >= KZ_CPU_AVX512_BF16 ? kz_kernel_peak_avx512_bf16 : NULL;
    if (level >= KZ_CPU_AVX512)
        return kz_kernel_peak_avx512;
    return level >= KZ_CPU_AVX2 ? kz_kernel_peak_avx2 : NULL;
}

#else

const kz_kernel_ops *const *kz_kernel_table_for(enum kz_cpu_level level, bool bf16)
{
    (void)level;
    (void)bf16;
    return NULL;
}

const kz_kernel_ops *kz_kernel_large_for(enum kz_cpu_level level, bool bf16)
{
    (void)level;
    (void)bf16;
    return NULL;
}

const kz_small_kernels *kz_kernel_small_for(enum kz_cpu_level level, bool bf16)
{
    (void)level;
    (void)bf16;
    return NULL;
}

kz_kernel_tone *kz_kernel_tone_for(enum kz_cpu_level level)
{
    (void)level;
    return kz_tone_apply;
}

kz_kernel_peak *kz_kernel_peak_for(enum kz_cpu_level level, bool bf16)
{
    (void)level;
    (void)bf16;
    return NULL;
}

#endif
