#include "cuda/kernels/small.cuh"

#include <algorithm>
#include <cmath>

using namespace small;

/* Narrower strips leave tensor cores idle (a warp makes 16 columns) and make too much twice. */
enum { LEAST_COLUMNS = 64 };

/* From here on strips that share the shared memory with another block, which works while this one
 * is at a barrier, are worth more than wider ones. */
enum { SHARING_COLUMNS = 96 };

/* What CUDA itself takes of a multiprocessor's shared memory for each block; one block may have all
 * but this. */
enum { RESERVED = 1 << 10 };

/* ---- shapes ---- */

static int widest(const kz_small_task *task, int bytes)
{
    kz_small_task t = *task;
    t.columns = MOST_COLUMNS;
    while (t.columns >= LEAST_COLUMNS && shared_bytes(t) > bytes)
        t.columns -= GROUP;
    return t.columns >= LEAST_COLUMNS && t.columns >= 4 * halo_of(t) ? t.columns : 0;
}

int kz_cuda_small_columns(const kz_small_task *t, int bytes)
{
    if (t->element == KZ_ELEMENT_FP32 || t->channels % 8 || t->channels < 8 || t->channels > 32)
        return 0;
    const int shared = widest(t, (bytes + RESERVED) / blocks_of(t->channels) - RESERVED);
    return shared >= SHARING_COLUMNS ? shared : widest(t, bytes);
}

static int strips_of(const kz_small_task *t, int width)
{
    const int own = t->columns - 2 * halo_of(*t);
    return (width + own - 1) / own;
}

/* As many strips of the widest tile, but as narrow as they may be. */
static void narrow(kz_small_task *t, int widest)
{
    const int strips = strips_of(t, widest);
    const int needed = (widest + strips - 1) / strips + 2 * halo_of(*t);
    t->columns = (needed + GROUP - 1) / GROUP * GROUP;
}

/* Numbers the segments of strips. */
static unsigned number_segments(kz_blocks *blocks, const kz_small_task *t, int rows)
{
    return kz_blocks_number(blocks, [=](int width, int height) {
        return strips_of(t, width) * ((height + rows - 1) / rows);
    });
}

/* Rows of a segment, such that the multiprocessor with the most work has the least: a segment costs
 * its rows and the halo's. */
static int segment_rows(const kz_gpu_info *info, const kz_small_task *t, kz_blocks *blocks,
                        int highest)
{
    enum { LEAST = 16 };
    const int most = blocks_of(t->channels);
    const int fit = (info->shared_bytes + RESERVED) / (shared_bytes(*t) + RESERVED);
    const int at_once = info->processors * (fit < most ? fit : most);
    int best = highest;
    double least = HUGE_VAL;
    for (int segments = 1; segments == 1 || highest / segments >= LEAST; segments++) {
        const int rows = ((highest + segments - 1) / segments + ROWS - 1) / ROWS * ROWS;
        const double rounds = ceil((double)number_segments(blocks, t, rows) / at_once);
        const double cost = rounds * (rows + 2 * halo_of(*t));
        best = cost < least ? rows : best;
        least = cost < least ? cost : least;
    }
    return best;
}

/* ---- constants ---- */

size_t kz_cuda_small_bytes(const kz_small_task *t)
{
    return (size_t)(fragments_at(*t) + t->hidden * fragment_count(*t, t->channels / 8) +
                    fragment_count(*t, 1)) *
           4;
}

static int outputs_of(const kz_small_task *t, int layer)
{
    return layer <= t->hidden ? t->channels : (int)OUTPUTS;
}

static void pack_first(const kz_small_task *t, const float *weights, float *to)
{
    for (int eight = 0; eight < t->channels / 8; eight++)
        for (int tap = 0; tap < 9; tap++)
            for (int i = 0; i < 8; i++)
                *to++ = weights[(eight * 8 + i) * 9 + tap];
}

template <class T>
static void set_weight(const kz_small_task *t, const float *weights, int outputs, int out, int in,
                       int tap, T *to)
{
    const bool is = out < outputs && in < t->channels;
    kz_set(to, is ? weights[(out * t->channels + in) * 9 + tap] : 0);
}

/* Fragments of tensor.cuh: element `i` of a lane's four. Returns what is behind them. */
template <class T>
static T *pack_fragments(const kz_small_task *t, const float *weights, int outputs, T *to)
{
    for (int chunk = 0; chunk < (t->channels + 15) / 16; chunk++)
        for (int kx = 0; kx < 3; kx++)
            for (int ky = 0; ky < 3; ky++)
                for (int out = 0; out < outputs; out += 8)
                    for (int i = 0; i < 32 * 4; i++) {
                        const int lane = i / 4, row = i % 4 / 2 * 8 + lane % 4 * 2 + i % 2;
                        set_weight(t, weights, outputs, out + lane / 4, chunk * 16 + row,
                                   ky * 3 + kx, to++);
                    }
    return to;
}

static void pack_floats(const kz_small_task *t, const kz_small_layer *layers, float *to)
{
    pack_first(t, layers[0].weights, to);
    for (int l = 0; l <= t->hidden + 1; l++)
        for (int i = 0; i < outputs_of(t, l); i++) {
            const int at = l * t->channels + i;
            to[biases_at(*t) + at] = layers[l].bias ? layers[l].bias[i] : 0;
            if (l <= t->hidden)
                to[slopes_at(*t) + at] = layers[l].slopes ? layers[l].slopes[i] : layers[l].slope;
        }
}

template <class T>
static void pack_layers(const kz_small_task *t, const kz_small_layer *layers, T *to)
{
    for (int l = 1; l <= t->hidden + 1; l++)
        to = pack_fragments(t, layers[l].weights, outputs_of(t, l), to);
}

void kz_cuda_small_pack(const kz_small_task *t, const kz_small_layer *layers, void *packed)
{
    float *const floats = (float *)packed, *const fragments = floats + fragments_at(*t);
    memset(packed, 0, kz_cuda_small_bytes(t));
    pack_floats(t, layers, floats);
    if (t->element == KZ_ELEMENT_FP16)
        pack_layers(t, layers, (kz_fp16 *)fragments);
    else
        pack_layers(t, layers, (kz_bf16 *)fragments);
}

/* ---- run ---- */

template <class T, int C> static void launch(kz_gpu *gpu, const kz_small_task *task)
{
    kz_small_task t = *task;
    kz_blocks blocks = kz_blocks_of(t.batch, &t.in);
    int widest = 0, highest = 0;
    for (int i = 0; i < blocks.n; i++) {
        widest = std::max(widest, blocks.tiles[i].width);
        highest = std::max(highest, blocks.tiles[i].height);
    }
    narrow(&t, widest);
    const int rows = segment_rows(kz_gpu_get_info(gpu), &t, &blocks, highest);
    const dim3 grid(number_segments(&blocks, &t, rows));
    kz_launch(gpu, run<T, C>, grid, dim3((unsigned)(t.columns / GROUP * 32)),
              (size_t)shared_bytes(t), t, blocks, rows);
}

template <class T> static void launch_channels(kz_gpu *gpu, const kz_small_task *task)
{
    switch (task->channels) {
    case 8:
        return launch<T, 8>(gpu, task);
    case 16:
        return launch<T, 16>(gpu, task);
    case 24:
        return launch<T, 24>(gpu, task);
    default:
        return launch<T, 32>(gpu, task);
    }
}

void kz_cuda_small(kz_gpu *gpu, const kz_small_task *task)
{
    if (task->element == KZ_ELEMENT_FP16)
        launch_channels<kz_fp16>(gpu, task);
    else
        launch_channels<kz_bf16>(gpu, task);
}
