#include "cuda/kernels/conv_tensor.cuh"

#include <cstring>

using namespace conv_tensor;

static int kernel_of(const kz_conv_task *t)
{
    return t->phases ? 2 : t->kernel;
}

int kz_cuda_conv_tensor_group(int channels, int shared_bytes)
{
    if (channels <= 16)
        return 16;
    return channels <= 32 || room<3, 64>::bytes > shared_bytes ? 32 : 64;
}

static int groups_of(const kz_conv_task *t)
{
    return (t->out.channels + t->group - 1) / t->group;
}

static bool is_wide(const kz_view *v)
{
    return v->element != KZ_ELEMENT_FP32;
}

/* Channels in 16 bytes of the input. */
static int piece_of(const kz_conv_task *t)
{
    return 16 / (int)kz_element_bytes(t->in.element);
}

static bool is_readable(const kz_conv_task *t)
{
    const int piece = piece_of(t);
    return is_wide(&t->in) != t->tf32 && (size_t)t->in.data % 16 == 0 && t->in.pixel % piece == 0 &&
           t->in.channels % (2 * piece) == 0;
}

/* What has 16 bits is read and written 16 bytes at a time, and begins at a multiple of them. */
static bool is_aligned(const kz_conv_task *t, const kz_view *v)
{
    return !is_wide(v) ||
           (!t->tf32 && (size_t)v->data % 16 == 0 && v->pixel % 8 == 0 && v->channels % 8 == 0);
}

bool kz_cuda_conv_tensor_fits(const kz_conv_task *t)
{
    bool fits = is_readable(t) && is_aligned(t, &t->out) && t->kernel == (t->phases ? 2 : 3) &&
                t->pad_top == 1 && t->pad_left == 1;
    for (int i = 0; i < t->n_residuals; i++)
        fits = fits && is_aligned(t, &t->residuals[i]) && !t->phases;
    return fits;
}

size_t kz_cuda_conv_tensor_bytes(const kz_conv_task *t)
{
    const int kernel = kernel_of(t);
    return (size_t)(t->phases ? 4 : 1) * (size_t)(groups_of(t) * t->group) *
           (size_t)t->in.channels * (size_t)(kernel * kernel) * kz_element_bytes(t->in.element);
}

static void set_element(enum kz_element element, char *to, float value)
{
    switch (element) {
    case KZ_ELEMENT_FP16:
        return kz_set((kz_fp16 *)to, value);
    case KZ_ELEMENT_BF16:
        return kz_set((kz_bf16 *)to, value);
    default:
        return kz_set((float *)to, kz_float_of_bits(kz_to_tf32(kz_float_bits(value))));
    }
}

/* [phase][group][chunk][tap][half of the chunk][output channel][channels in 16 bytes] */
void kz_cuda_conv_tensor_pack(const kz_conv_task *t, const float *weights, void *packed)
{
    const int kernel = kernel_of(t), taps = kernel * kernel, group = t->group;
    const int inputs = t->in.channels, outputs = t->out.channels, piece = piece_of(t);
    char *to = (char *)packed;
    for (int phase = 0; phase < (t->phases ? 4 : 1); phase++)
        for (int first = 0; first < groups_of(t) * group; first += group)
            for (int chunk = 0; chunk < inputs / (2 * piece); chunk++)
                for (int tap = 0; tap < taps; tap++)
                    for (int i = 0; i < 2 * group * piece; i++, to += 16 / piece) {
                        const int half = i / (group * piece);
                        const int in = (2 * chunk + half) * piece + i % piece;
                        const int out = first + i / piece % group;
                        const size_t at =
                            (((size_t)phase * (size_t)outputs + (size_t)out) * (size_t)inputs +
                             (size_t)in) *
                                (size_t)taps +
                            (size_t)tap;
                        set_element(t->in.element, to, out < outputs ? weights[at] : 0);
                    }
}

template <class T, int KERNEL, int GROUP> static void launch(kz_gpu *gpu, const kz_conv_task *t)
{
    kz_blocks blocks = kz_blocks_of(t->batch, &t->in);
    const dim3 grid(kz_blocks_number(&blocks, TILE_COLUMNS, TILE_ROWS), 1,
                    (unsigned)(groups_of(t) * (t->phases ? 4 : 1)));
    kz_launch(gpu, run<T, KERNEL, GROUP>, grid, dim3(THREADS), room<KERNEL, GROUP>::bytes, *t,
              blocks);
}

template <class T, int KERNEL> static void launch_group(kz_gpu *gpu, const kz_conv_task *t)
{
    switch (t->group) {
    case 16:
        return launch<T, KERNEL, 16>(gpu, t);
    case 32:
        return launch<T, KERNEL, 32>(gpu, t);
    default:
        return launch<T, KERNEL, 64>(gpu, t);
    }
}

template <class T> static void launch_kernel(kz_gpu *gpu, const kz_conv_task *t)
{
    if (t->phases)
        launch_group<T, 2>(gpu, t);
    else
        launch_group<T, 3>(gpu, t);
}

void kz_cuda_conv_tensor(kz_gpu *gpu, const kz_conv_task *task)
{
    switch (task->in.element) {
    case KZ_ELEMENT_FP16:
        return launch_kernel<kz_fp16>(gpu, task);
    case KZ_ELEMENT_BF16:
        return launch_kernel<kz_bf16>(gpu, task);
    default:
        return launch_kernel<kz_tf32>(gpu, task);
    }
}
