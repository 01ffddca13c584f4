#include "cuda/kernels/conv_plain.cuh"

using conv_plain::OUTPUTS;

static int width_of(const kz_conv_task *t)
{
    return (t->out.channels + OUTPUTS - 1) / OUTPUTS * OUTPUTS;
}

size_t kz_cuda_conv_plain_count(const kz_conv_task *t)
{
    return (size_t)(t->phases ? 4 : 1) * (size_t)(t->kernel * t->kernel) * (size_t)t->in.channels *
           (size_t)width_of(t);
}

void kz_cuda_conv_plain_pack(const kz_conv_task *t, const float *weights, float *packed)
{
    const size_t outputs = (size_t)t->out.channels, inputs = (size_t)t->in.channels;
    const size_t taps = (size_t)(t->kernel * t->kernel);
    for (size_t phase = 0; phase < (t->phases ? 4 : 1); phase++)
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t in = 0; in < inputs; in++)
                for (size_t out = 0; out < (size_t)width_of(t); out++)
                    *packed++ = out < outputs
                                    ? weights[((phase * outputs + out) * inputs + in) * taps + tap]
                                    : 0;
}

void kz_cuda_conv_plain(kz_gpu *gpu, const kz_conv_task *t)
{
    const size_t groups = (size_t)(width_of(t) / OUTPUTS);
    kz_blocks blocks = kz_blocks_of(t->batch, &t->in);
    const unsigned count = kz_blocks_number(&blocks, [=](int width, int height) {
        return (groups * (size_t)width * (size_t)height + conv_plain::THREADS - 1) /
               conv_plain::THREADS;
    });
    kz_launch(gpu, conv_plain::run, dim3(count, 1, t->phases ? 4 : 1), dim3(conv_plain::THREADS), 0,
              *t, blocks);
}

bool kz_cuda_conv_last_fits(const kz_conv_task *t)
{
    const int piece = 16 / (int)kz_element_bytes(t->in.element);
    return t->in.channels % piece == 0 && (size_t)t->in.data % 16 == 0 &&
           t->in.pixel % piece == 0 && t->out.channels == 1 && t->kernel == 3 && t->pad_top == 1 &&
           t->pad_left == 1 && !t->phases;
}

template <class T> static void launch_last(kz_gpu *gpu, const kz_conv_task *t)
{
    using namespace conv_last;
    kz_blocks blocks = kz_blocks_of(t->batch, &t->in);
    const dim3 grid(kz_blocks_number(&blocks, COLUMNS, ROWS));
    const size_t shared =
        ACROSS * DOWN * sizeof(uint4) + piece<T>::weights * sizeof(float) + sizeof(place);
    kz_launch(gpu, run<T>, grid, dim3(COLUMNS, THREAD_ROWS), shared, *t, blocks);
}

void kz_cuda_conv_last(kz_gpu *gpu, const kz_conv_task *t)
{
    switch (t->in.element) {
    case KZ_ELEMENT_FP16:
        return launch_last<kz_fp16>(gpu, t);
    case KZ_ELEMENT_BF16:
        return launch_last<kz_bf16>(gpu, t);
    default:
        return launch_last<float>(gpu, t);
    }
}
