/* How layers are put to cuDNN, without a GPU: as test_cudnn.c, one layer above. */
#include "cuda/cudnn/rival.c" /* its library is opened with a GPU that is described */

#include <dlfcn.h>

#include "check.h"

/* Without a GPU cuDNN forgets handles that cuBLASLt made for it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:cublasLtCreate\n";
}

enum { MOST = 4 };

/* An A100. */
static const char description[] =
    "{\"deviceVer\":800,\"driverVer\":13000,\"cudaDeviceId\":0,\"deviceName\":\"sm_80\","
    "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
    "\"regsPerBlock\":65536,\"multiProcessorCount\":108,\"smClockRateKHz\":1700000,"
    "\"memClockRateKHz\":2000000,\"l2CacheSize\":41943040,\"warpSize\":32,"
    "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":166912,"
    "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"pciDeviceId\":0,"
    "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,"
    "\"isTccDriver\":0,\"supportCoopLaunch\":1,\"totalGlobalMem\":42949672960}";

static kz_rival_library *open_described(void)
{
    kz_rival_library *l = kz_alloc(1, sizeof(*l));
    CHECK(l && kz_cudnn_open(&l->cudnn, NULL) == 0);
    CHECK(kz_cudnn_device_describe(&l->device, l->cudnn, description, sizeof(description) - 1,
                                   NULL) == 0);
    return l;
}

static _Alignas(256) char block[512];

static kz_view view(enum kz_element element, int channels, int pixel, int scale)
{
    return (kz_view){block, element, channels, pixel, 320 * scale, 180 * scale, scale};
}

static kz_rival_layer layer_of(kz_view in, kz_view out)
{
    return (kz_rival_layer){.task = {.in = in,
                                     .out = out,
                                     .kernel = 3,
                                     .pad_top = 1,
                                     .pad_left = 1,
                                     .weights = block,
                                     .bias = (const float *)block,
                                     .slopes = (const float *)block},
                            .act = KZ_ACT_LEAKY,
                            .slope = 0.2f};
}

static void expect_engine(const kz_rival_layer *layer)
{
    kz_rival_library *l = open_described();
    kz_rival_engine *engine;
    char texts[MOST][KZ_CHOICE_ENGINE];
    CHECK(cudnn_fits(&layer->task));
    const int n = cudnn_list(l, layer, texts, MOST);
    CHECK(n > 0 && n <= MOST);
    CHECK(cudnn_open_engine(&engine, l, layer, texts[0], NULL) == 0);
    CHECK(engine->phases == (layer->task.phases ? 4 : 1) && engine->plans[engine->phases - 1]);
    CHECK(cudnn_run(engine, NULL, &layer->task) == KZ_ERROR_FAILED); /* it isn't here */
    cudnn_close_engine(&engine);
    CHECK(!engine);
    CHECK(cudnn_open_engine(&engine, l, layer, "own", NULL) == KZ_ERROR_FAILED && !engine);
    CHECK(cudnn_open_engine(&engine, l, layer, "9999", NULL) == KZ_ERROR_FAILED && !engine);
    cudnn_close(&l);
    CHECK(!l);
}

static void packed_layers_have_engines(void)
{
    for (int e = KZ_ELEMENT_FP32; e <= KZ_ELEMENT_BF16; e++) {
        const kz_view v = view((enum kz_element)e, 64, 64, 1);
        kz_rival_layer layer = layer_of(v, v);
        expect_engine(&layer);
        layer.act = KZ_ACT_PRELU;
        expect_engine(&layer);
    }
}

static void slices_have_engines(void)
{
    kz_rival_layer layer =
        layer_of(view(KZ_ELEMENT_FP16, 96, 192, 1), view(KZ_ELEMENT_FP16, 32, 192, 1));
    layer.task.n_residuals = 2;
    layer.task.coefs[0] = 0.2f;
    layer.task.coefs[1] = 1;
    layer.task.residuals[0] = view(KZ_ELEMENT_FP16, 32, 192, 1);
    layer.task.residuals[1] = view(KZ_ELEMENT_FP16, 32, 32, 1);
    layer.act = KZ_ACT_NONE;
    expect_engine(&layer);
}

static void phases_have_engines(void)
{
    kz_rival_layer layer =
        layer_of(view(KZ_ELEMENT_FP16, 64, 64, 1), view(KZ_ELEMENT_FP16, 64, 64, 2));
    layer.task.phases = true;
    layer.task.kernel = 2;
    expect_engine(&layer);
    /* Phase 2 a + b reads rows y - 1 + a and y + a. */
    const kz_cudnn_conv_params p = params_of(&layer, 2);
    CHECK(p.pad_top == 0 && p.pad_bottom == 1 && p.pad_left == 1 && p.pad_right == 0);
    CHECK(p.out.pixel == 128 && p.out.row == (int64_t)2 * 640 * 64);
    CHECK((uintptr_t)part_of(&layer.task.out, 3) - (uintptr_t)block == (640 + 1) * 64 * 2);
}

static void fp32_has_engines_of_any_shape(void)
{
    const kz_rival_layer layer =
        layer_of(view(KZ_ELEMENT_FP32, 1, 1, 1), view(KZ_ELEMENT_FP32, 64, 64, 1));
    expect_engine(&layer);
}

static int count_engines(bool tf32)
{
    enum { MANY = 16 };
    kz_rival_library *l = open_described();
    char texts[MANY][KZ_CHOICE_ENGINE];
    const kz_view v = view(KZ_ELEMENT_FP32, 64, 64, 1);
    kz_rival_layer layer = layer_of(v, v);
    layer.task.tf32 = tf32;
    const int n = cudnn_list(l, &layer, texts, MANY);
    cudnn_close(&l);
    return n;
}

/* Which fp32 doesn't have. */
static void tf32_has_engines_of_tensor_cores(void)
{
    const kz_view v = view(KZ_ELEMENT_FP32, 96, 192, 1);
    kz_rival_layer layer = layer_of(v, v);
    layer.task.tf32 = true;
    expect_engine(&layer);
    CHECK(count_engines(false) > 0 && count_engines(true) > count_engines(false));
}

static bool fit(kz_view in, kz_view out)
{
    const kz_rival_layer layer = layer_of(in, out);
    return cudnn_fits(&layer.task);
}

static void what_does_not_fit_is_left(void)
{
    const kz_view wide = view(KZ_ELEMENT_FP16, 64, 64, 1), thin = view(KZ_ELEMENT_FP32, 1, 1, 1);
    const kz_view odd = view(KZ_ELEMENT_FP16, 20, 20, 1);
    kz_view off = wide;
    off.data = block + 8;
    CHECK(fit(wide, wide));
    CHECK(!fit(thin, wide) && !fit(wide, thin));
    CHECK(!fit(odd, wide) && !fit(wide, odd));
    CHECK(!fit(off, wide) && !fit(wide, off));
    kz_rival_layer layer = layer_of(wide, wide);
    layer.task.n_residuals = 3;
    CHECK(!cudnn_fits(&layer.task));
    layer.task.n_residuals = 1;
    layer.task.residuals[0] = thin;
    CHECK(!cudnn_fits(&layer.task));
}

static const struct check_case cases[] = {
    {"packed layers have engines", packed_layers_have_engines},
    {"slices have engines", slices_have_engines},
    {"phases have engines", phases_have_engines},
    {"fp32 has engines of any shape", fp32_has_engines_of_any_shape},
    {"TF32 has engines of tensor cores", tf32_has_engines_of_tensor_cores},
    {"what doesn't fit is left", what_does_not_fit_is_left},
};

CHECK_CASES(cases)

int main(int argc, char **argv)
{
    if (!dlopen("libcudnn.so.9", RTLD_NOW)) {
        printf("1..0 # SKIP libcudnn.so.9 isn't installed\n");
        return 0;
    }
    if (!dlopen(PRETEND_DRIVER, RTLD_NOW | RTLD_GLOBAL)) {
        printf("Bail out! %s\n", dlerror());
        return 1;
    }
    return run_cases(argc, argv);
}
