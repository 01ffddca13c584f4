/* cuDNN without a GPU: convolutions are described to it, it lists engines for GPUs that are
 * described to it, and compiles them for a driver that only pretends. What they compute is not seen
 * here. */
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/cudnn/conv.h"
#include "model/registry.h"
#include "model/rewrite.h"

/* Without a GPU cuDNN forgets handles that cuBLASLt made for it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:cublasLtCreate\n";
}

enum { MOST_ENGINES = 256, MOST_LAYERS = 64 };

static kz_cudnn *open_cudnn(void)
{
    kz_cudnn *cudnn;
    CHECK(kz_cudnn_open(&cudnn, NULL) == 0);
    return cudnn;
}

/* ---- GPUs ---- */

typedef struct gpu {
    int sm; /* compute capability, times ten */
    int processors, shared, threads, blocks;
    long long l2, memory; /* MiB */
} gpu;

/* Turing last: cuDNN asks once per process whether TF32 may be used, of the first GPU it sees. */
static const gpu gpus[] = {
    {80, 108, 166912, 2048, 32, 40, 40960},    /* A100 */
    {86, 82, 101376, 1536, 16, 6, 24576},      /* RTX 3090 */
    {89, 128, 101376, 1536, 24, 72, 24576},    /* RTX 4090 */
    {90, 132, 232448, 2048, 32, 50, 81920},    /* H100 */
    {100, 148, 232448, 2048, 32, 126, 184320}, /* B200 */
    {120, 170, 101376, 1536, 24, 96, 32768},   /* RTX 5090 */
    {75, 40, 65536, 1024, 16, 4, 16384},       /* T4 */
};
enum { GPUS = sizeof(gpus) / sizeof(gpus[0]) };

/* The fields that libcudnn_graph reads; all of them must be there. */
static kz_cudnn_device *describe(kz_cudnn *cudnn, const gpu *g)
{
    char json[1024];
    int length = snprintf(
        json, sizeof(json),
        "{\"deviceVer\":%d,\"driverVer\":13000,\"cudaDeviceId\":0,\"deviceName\":\"sm_%d\","
        "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
        "\"regsPerBlock\":65536,\"multiProcessorCount\":%d,\"smClockRateKHz\":1700000,"
        "\"memClockRateKHz\":2000000,\"l2CacheSize\":%lld,\"warpSize\":32,"
        "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
        "\"reservedSharedMemoryPerBlock\":%d,\"maxRegistersPerSM\":65536,\"pciDeviceId\":0,"
        "\"maxCtasPerSM\":%d,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,"
        "\"isTccDriver\":0,\"supportCoopLaunch\":1,\"totalGlobalMem\":%lld}",
        g->sm * 10, g->sm, g->processors, g->l2 << 20, g->shared, g->sm < 80 ? 0 : 1024, g->blocks,
        g->threads, g->memory << 20);
    kz_cudnn_device *device;
    CHECK(kz_cudnn_device_describe(&device, cudnn, json, (size_t)length, NULL) == 0);
    return device;
}

/* ---- the text of an engine ---- */

static void expect_text(const kz_cudnn_engine *engine, const char *expected)
{
    char text[KZ_CUDNN_ENGINE_TEXT], again[KZ_CUDNN_ENGINE_TEXT];
    kz_cudnn_engine read;
    kz_cudnn_engine_write(engine, text);
    CHECK(strcmp(text, expected) == 0);
    CHECK(kz_cudnn_engine_read(&read, text, strlen(text)) == 0);
    CHECK(read.index == engine->index && read.n_knobs == engine->n_knobs);
    for (int i = 0; i < read.n_knobs; i++)
        CHECK(read.knobs[i].type == engine->knobs[i].type &&
              read.knobs[i].value == engine->knobs[i].value);
    kz_cudnn_engine_write(&read, again);
    CHECK(strcmp(text, again) == 0);
}

static void engines_are_written_and_read(void)
{
    expect_text(&(kz_cudnn_engine){.index = 7}, "7");
    expect_text(&(kz_cudnn_engine){.index = 0, .n_knobs = 1, .knobs = {{24, 21}}}, "0:24=21");
    expect_text(
        &(kz_cudnn_engine){.index = 9999, .n_knobs = 2, .knobs = {{0, 0}, {9999, 999999999999}}},
        "9999:0=0,9999=999999999999");
    kz_cudnn_engine full = {.index = 1, .n_knobs = KZ_CUDNN_MAX_KNOBS};
    for (int i = 0; i < full.n_knobs; i++)
        full.knobs[i] = (kz_cudnn_knob){i, i};
    expect_text(&full,
                "1:0=0,1=1,2=2,3=3,4=4,5=5,6=6,7=7,8=8,9=9,10=10,11=11,12=12,13=13,14=14,15=15");
}

static void hostile_texts_are_refused(void)
{
    static const char *const texts[] = {
        "",
        " ",
        "x",
        "-1",
        "+1",
        " 7",
        "7 ",
        "07",
        "10000",
        "7:",
        "7:24",
        "7:24=",
        "7:24=-1",
        "7:=1",
        "7:24=1,",
        "7:24=1,24=1",
        "7:24=1,23=1",
        "7,24=1",
        "7:24=1:25=1",
        "7:24=01",
        "7:10000=1",
        "7:24=1000000000000",
        "7:24=99999999999999999999999999",
        "7:24==1",
        "7:24=1\n",
        "99999999999999999999",
        "7:0=0,1=0,2=0,3=0,4=0,5=0,6=0,7=0,8=0,9=0,10=0,11=0,12=0,13=0,14=0,15=0,16=0"};
    kz_cudnn_engine engine;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (kz_cudnn_engine_read(&engine, texts[i], strlen(texts[i])) != KZ_ERROR_FAILED)
            check_failed("\"%s\" was read", texts[i]);
    }
    CHECK(kz_cudnn_engine_read(&engine, "7:24=\0", 6) == KZ_ERROR_FAILED);
    /* Nothing behind the length is looked at: under ASan an exact block says so. */
    char *block = kz_alloc_raw(3, 1);
    CHECK(block);
    memcpy(block, "7:2", 3);
    CHECK(kz_cudnn_engine_read(&engine, block, 3) == KZ_ERROR_FAILED);
    CHECK(kz_cudnn_engine_read(&engine, block, 1) == 0 && engine.index == 7 && !engine.n_knobs);
    kz_free(block);
}

/* ---- parameters ---- */

static kz_cudnn_conv_params usual(void)
{
    return (kz_cudnn_conv_params){.batch = 1,
                                  .height = 360,
                                  .width = 640,
                                  .in_channels = 64,
                                  .out_channels = 64,
                                  .kernel_h = 3,
                                  .kernel_w = 3,
                                  .pad_top = 1,
                                  .pad_left = 1,
                                  .pad_bottom = 1,
                                  .pad_right = 1,
                                  .type = KZ_CUDNN_FP16,
                                  .bias = true,
                                  .act = KZ_ACT_LEAKY,
                                  .slope = 0.2f};
}

/* Opens and closes; returns the code, and the line that was logged. */
static int try_params(const kz_cudnn_conv_params *params, char line[256])
{
    kz_cudnn *cudnn = open_cudnn();
    kz_cudnn_conv *conv;
    kz_log *log;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream && kz_log_open(&log, stream, KZ_LOG_WARNING) == 0);
    int ret = kz_cudnn_conv_open(&conv, cudnn, params, log);
    CHECK((ret == 0) == (conv != NULL));
    kz_cudnn_conv_close(&conv);
    kz_cudnn_close(&cudnn);
    kz_log_close(&log);
    fclose(stream);
    snprintf(line, 256, "%s", text);
    free(text);
    return ret;
}

static void expect_refused(const kz_cudnn_conv_params *params, const char *part)
{
    char line[256];
    int ret = try_params(params, line);
    if (ret != KZ_ERROR_FAILED || !strstr(line, part))
        check_failed("%d and \"%s\", not \"…%s…\"", ret, line, part);
    CHECK(strchr(line, '\n') == line + strlen(line) - 1);
}

static void expect_accepted(const kz_cudnn_conv_params *params)
{
    char line[256];
    int ret = try_params(params, line);
    if (ret != 0 || *line)
        check_failed("%d and \"%s\"", ret, line);
}

#define REFUSED(part, ...)                     \
    do {                                       \
        kz_cudnn_conv_params params = usual(); \
        kz_cudnn_conv_params *p = &params;     \
        __VA_ARGS__;                           \
        expect_refused(p, part);               \
    } while (0)

static void wrong_parameters_are_refused(void)
{
    REFUSED("channels", p->in_channels = 0);
    REFUSED("channels", p->out_channels = 0);
    REFUSED("channels", p->in_channels = -64);
    REFUSED("channels", p->out_channels = 1 << 30);
    REFUSED("pictures", p->batch = 0);
    REFUSED("pictures", p->height = 0);
    REFUSED("pictures", p->width = 1 << 30);
    REFUSED("kernel", p->kernel_h = 0);
    REFUSED("kernel", p->kernel_w = 1000);
    REFUSED("padding", p->pad_top = 3);
    REFUSED("padding", p->pad_right = -1);
    REFUSED("too small", p->height = 2, p->pad_top = 0, p->pad_bottom = 0);
    REFUSED("too small", p->width = 1, p->pad_left = 0, p->pad_right = 0);
    REFUSED("type", p->type = (enum kz_cudnn_type)3);
    REFUSED("activation", p->act = (enum kz_act)7);
    REFUSED("slope", p->slope = NAN);
    REFUSED("residuals", p->n_residuals = 3);
    REFUSED("residuals", p->n_residuals = -1);
    REFUSED("coefficient", p->n_residuals = 1, p->coefs[0] = INFINITY);
}

static void wrong_strides_are_refused(void)
{
    REFUSED("the input has 64 channels", p->in.pixel = 63);
    REFUSED("the output has 64 channels", p->out.pixel = -192);
    REFUSED("the input is a slice", p->in.pixel = 196);
    REFUSED("the output is a slice", p->out.pixel = 65);
    REFUSED("the input is a slice", p->in = (kz_cudnn_strides){192, 192 * 640 + 1, 0});
    REFUSED("a residual has", p->n_residuals = 1, p->coefs[0] = 1, p->residuals[0].pixel = 32);
    REFUSED("rows", p->in.row = 64 * 639);
    REFUSED("rows", p->in.row = INT64_MAX);
    REFUSED("pictures", p->out.picture = 64 * 640);
    REFUSED("pictures", p->out.picture = INT64_MAX);
    REFUSED("pixels lie", p->out.pixel = INT32_MAX);
}

static void slices_are_accepted(void)
{
    kz_cudnn_conv_params p = usual();
    p.in_channels = 96;
    p.out_channels = 32;
    p.in.pixel = p.out.pixel = 192;
    expect_accepted(&p);
    p.in.row = 192 * 648; /* rows that are longer than the picture */
    p.in.picture = 192 * 648 * 400;
    expect_accepted(&p);
    p.type = KZ_CUDNN_FP32;
    p.in = (kz_cudnn_strides){.pixel = 100};
    expect_accepted(&p);
    p = usual();
    p.in_channels = 1;
    p.in.pixel = 3;
    expect_accepted(&p);
}

static void closing_nothing_is_legal(void)
{
    kz_cudnn *cudnn = NULL;
    kz_cudnn_device *device = NULL;
    kz_cudnn_conv *conv = NULL;
    kz_cudnn_plan *plan = NULL;
    kz_cudnn_plan_close(&plan);
    kz_cudnn_conv_close(&conv);
    kz_cudnn_device_close(&device);
    kz_cudnn_close(&cudnn);
}

/* ---- engines ---- */

static int list_engines(kz_cudnn *cudnn, const kz_cudnn_conv_params *params, const gpu *g,
                        kz_cudnn_engine engines[MOST_ENGINES])
{
    kz_cudnn_conv *conv;
    CHECK(kz_cudnn_conv_open(&conv, cudnn, params, NULL) == 0);
    kz_cudnn_device *device = describe(cudnn, g);
    int n = kz_cudnn_conv_engines(conv, device, engines, MOST_ENGINES);
    kz_cudnn_device_close(&device);
    kz_cudnn_conv_close(&conv);
    CHECK(n >= 0 && n < MOST_ENGINES);
    return n;
}

static int count_engines(const kz_cudnn_conv_params *params, const gpu *g)
{
    kz_cudnn_engine engines[MOST_ENGINES];
    kz_cudnn *cudnn = open_cudnn();
    int n = list_engines(cudnn, params, g, engines);
    kz_cudnn_close(&cudnn);
    return n;
}

static void engines_are_listed_once(void)
{
    kz_cudnn_engine engines[MOST_ENGINES], first;
    kz_cudnn_conv_params params = usual();
    kz_cudnn *cudnn = open_cudnn();
    int n = list_engines(cudnn, &params, &gpus[0], engines);
    CHECK(n > 1);
    char texts[MOST_ENGINES][KZ_CUDNN_ENGINE_TEXT];
    for (int i = 0; i < n; i++) {
        kz_cudnn_engine_write(&engines[i], texts[i]);
        expect_text(&engines[i], texts[i]);
        for (int j = 0; j < i; j++)
            CHECK(strcmp(texts[i], texts[j]) != 0);
    }
    /* A short array is filled with the best. */
    kz_cudnn_conv *conv;
    kz_cudnn_device *device = describe(cudnn, &gpus[0]);
    CHECK(kz_cudnn_conv_open(&conv, cudnn, &params, NULL) == 0);
    CHECK(kz_cudnn_conv_engines(conv, device, &first, 1) == 1);
    char text[KZ_CUDNN_ENGINE_TEXT];
    kz_cudnn_engine_write(&first, text);
    CHECK(strcmp(text, texts[0]) == 0);
    kz_cudnn_device_close(&device);
    kz_cudnn_conv_close(&conv);
    kz_cudnn_close(&cudnn);
}

/* fp32 stays fp32 unless TF32 is allowed, also with an engine from a cache. */
static void tf32_is_asked_for(void)
{
    kz_cudnn_engine engines[MOST_ENGINES];
    kz_cudnn_conv_params params = usual();
    kz_cudnn *cudnn = open_cudnn();
    kz_cudnn_device *device = describe(cudnn, &gpus[0]);
    kz_cudnn_conv *conv;
    kz_cudnn_plan *plan;
    params.type = KZ_CUDNN_FP32;
    params.tf32 = true;
    int with = list_engines(cudnn, &params, &gpus[0], engines);
    params.tf32 = false;
    CHECK(kz_cudnn_conv_open(&conv, cudnn, &params, NULL) == 0);
    CHECK(kz_cudnn_plan_open(&plan, conv, device, &engines[0]) == KZ_ERROR_FAILED && !plan);
    int without = kz_cudnn_conv_engines(conv, device, engines, MOST_ENGINES);
    printf("# sm_80, fp32: %d engines, with TF32 %d\n", without, with);
    CHECK(without > 0 && with > without);
    CHECK(kz_cudnn_plan_open(&plan, conv, device, &engines[0]) == 0);
    kz_cudnn_plan_close(&plan);
    kz_cudnn_conv_close(&conv);
    kz_cudnn_device_close(&device);
    kz_cudnn_close(&cudnn);
}

/* One phase of nearest ×2 with 3×3: writes every second pixel of every second row. */
static void phases_interleave(void)
{
    for (int type = KZ_CUDNN_FP16; type <= KZ_CUDNN_FP32; type++)
        for (int phase = 0; phase < 4; phase++) {
            kz_cudnn_conv_params p = usual();
            p.type = (enum kz_cudnn_type)type;
            p.tf32 = true;
            p.kernel_h = p.kernel_w = 2;
            p.pad_top = 1 - phase / 2;
            p.pad_bottom = phase / 2;
            p.pad_left = 1 - phase % 2;
            p.pad_right = phase % 2;
            p.out = (kz_cudnn_strides){2 * 64, 4 * 64 * 640, 0};
            CHECK(count_engines(&p, &gpus[0]) > 0);
        }
}

static void gpus_are_described_wrongly(void)
{
    static const char *const texts[] = {
        "", "{}", "[]", "null", "{\"deviceVer\":900}", "{", "\"", "{\"deviceVer\":\"nine\"}"};
    kz_cudnn *cudnn = open_cudnn();
    kz_cudnn_device *device;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int ret = kz_cudnn_device_describe(&device, cudnn, texts[i], strlen(texts[i]), NULL);
        if (ret != KZ_ERROR_FAILED || device)
            check_failed("%s: %d", texts[i], ret);
    }
    kz_cudnn_close(&cudnn);
}

static void a_gpu_is_needed_to_run(void)
{
    kz_cudnn *cudnn = open_cudnn();
    kz_cudnn_device *device;
    int ret = kz_cudnn_device_open(&device, cudnn, NULL);
    CHECK(ret == 0 ? device != NULL : ret == KZ_ERROR_FAILED && !device);
    kz_cudnn_device_close(&device);
    kz_cudnn_close(&cudnn);
}

/* A cache may hold anything that can be read. */
static void unknown_engines_make_no_plan(void)
{
    static const char *const texts[] = {
        "9999", "7:24=999999999999", "7:24=9999", "7:9999=1", "7:0=1", "0", "7:1=1,2=1,3=1"};
    kz_cudnn_conv_params params = usual();
    kz_cudnn *cudnn = open_cudnn();
    kz_cudnn_device *device = describe(cudnn, &gpus[0]);
    kz_cudnn_conv *conv;
    CHECK(kz_cudnn_conv_open(&conv, cudnn, &params, NULL) == 0);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        kz_cudnn_engine engine;
        kz_cudnn_plan *plan;
        CHECK(kz_cudnn_engine_read(&engine, texts[i], strlen(texts[i])) == 0);
        int ret = kz_cudnn_plan_open(&plan, conv, device, &engine);
        if (ret != KZ_ERROR_FAILED || plan)
            check_failed("%s: %d", texts[i], ret);
    }
    kz_cudnn_conv_close(&conv);
    kz_cudnn_device_close(&device);
    kz_cudnn_close(&cudnn);
}

/* Opens plans with the first configuration of each engine, from its text. */
static void expect_plans(const kz_cudnn_conv_params *params)
{
    kz_cudnn_engine engines[MOST_ENGINES];
    kz_cudnn *cudnn = open_cudnn();
    kz_cudnn_device *device = describe(cudnn, &gpus[0]);
    kz_cudnn_conv *conv;
    int n = list_engines(cudnn, params, &gpus[0], engines), last = -1, plans = 0;
    CHECK(kz_cudnn_conv_open(&conv, cudnn, params, NULL) == 0);
    for (int i = 0; i < n && engines[i].index < 64; i++) {
        char text[KZ_CUDNN_ENGINE_TEXT];
        kz_cudnn_engine read;
        kz_cudnn_plan *plan;
        if (engines[i].index == last)
            continue;
        last = engines[i].index;
        kz_cudnn_engine_write(&engines[i], text);
        CHECK(kz_cudnn_engine_read(&read, text, strlen(text)) == 0);
        if (kz_cudnn_plan_open(&plan, conv, device, &read) != 0)
            check_failed("engine %s", text);
        CHECK(kz_cudnn_plan_workspace(plan) >= 0);
        kz_cudnn_plan_close(&plan);
        plans++;
    }
    printf("# %d plans\n", plans);
    CHECK(plans > 1);
    kz_cudnn_conv_close(&conv);
    kz_cudnn_device_close(&device);
    kz_cudnn_close(&cudnn);
}

static void engines_make_plans(void)
{
    kz_cudnn_conv_params params = usual();
    expect_plans(&params);
    params.act = KZ_ACT_PRELU;
    params.n_residuals = 2;
    params.coefs[0] = 0.2f;
    params.coefs[1] = 1;
    params.in.pixel = 192;
    expect_plans(&params);
}

static void expect_run_refused(kz_cudnn_plan *plan, const kz_cudnn_buffers *buffers, FILE *stream,
                               char **text, const char *part)
{
    rewind(stream);
    CHECK(kz_cudnn_plan_run(plan, NULL, buffers) == KZ_ERROR_FAILED);
    fflush(stream);
    if (!strstr(*text, part))
        check_failed("\"%s\", not \"…%s…\"", *text, part);
}

/* Wrong addresses, and then a GPU that isn't there. */
static void runs_are_refused(void)
{
    static _Alignas(16) char block[64];
    kz_cudnn_conv_params params = usual();
    kz_cudnn *cudnn = open_cudnn();
    kz_cudnn_device *device = describe(cudnn, &gpus[0]);
    kz_cudnn_engine engine;
    kz_cudnn_conv *conv;
    kz_cudnn_plan *plan;
    kz_log *log;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    CHECK(stream && kz_log_open(&log, stream, KZ_LOG_WARNING) == 0);
    params.n_residuals = 1;
    params.coefs[0] = 0.2f;
    CHECK(kz_cudnn_conv_open(&conv, cudnn, &params, log) == 0);
    CHECK(kz_cudnn_conv_engines(conv, device, &engine, 1) == 1);
    CHECK(kz_cudnn_plan_open(&plan, conv, device, &engine) == 0);
    const kz_cudnn_buffers good = {
        .in = block, .weights = block, .bias = block, .residuals = {block}, .out = block};
    kz_cudnn_buffers wrong = good;
    wrong.in = block + 2;
    expect_run_refused(plan, &wrong, stream, &text, "input");
    wrong = good;
    wrong.weights = NULL;
    expect_run_refused(plan, &wrong, stream, &text, "weights");
    wrong = good;
    wrong.bias = block + 4;
    expect_run_refused(plan, &wrong, stream, &text, "bias");
    wrong = good;
    wrong.residuals[0] = NULL;
    expect_run_refused(plan, &wrong, stream, &text, "residual");
    wrong = good;
    wrong.out = NULL;
    expect_run_refused(plan, &wrong, stream, &text, "output");
    expect_run_refused(plan, &good, stream, &text, "only described");
    kz_cudnn_plan_close(&plan);
    kz_cudnn_conv_close(&conv);
    kz_cudnn_device_close(&device);
    kz_cudnn_close(&cudnn);
    kz_log_close(&log);
    fclose(stream);
    free(text);
}

/* ---- the networks' layers ---- */

typedef struct layer {
    char name[KZ_NAME_SIZE];
    kz_cudnn_conv_params params; /* sizes are those for a picture of 1×1 */
} layer;

/* Channels of the buffer that the value is written into: dense blocks concatenate by writing
 * slices, so it is as wide as the widest concatenation that begins with the same value. */
static int buffer_channels(const kz_graph *graph, int value)
{
    const kz_node *nodes = graph->nodes;
    int root = nodes[value].op == KZ_OP_CONCAT ? nodes[value].inputs[0] : -1;
    int channels = nodes[value].channels;
    for (int i = 0; i < graph->n_nodes; i++) {
        bool inside = nodes[i].op == KZ_OP_CONCAT && nodes[i].inputs[0] == root;
        for (int j = 0; nodes[i].op == KZ_OP_CONCAT && j < nodes[i].n_inputs; j++)
            inside = inside || nodes[i].inputs[j] == value;
        if (inside && nodes[i].channels > channels)
            channels = nodes[i].channels;
    }
    return channels;
}

static void set_kernel(kz_cudnn_conv_params *p, const kz_node *node, int phase)
{
    bool phases = node->op == KZ_OP_PHASE_CONV;
    p->kernel_h = p->kernel_w = phases ? 2 : node->kernel;
    p->pad_top = phases ? 1 - phase / 2 : node->pad_top;
    p->pad_bottom = phases ? phase / 2 : node->pad_bottom;
    p->pad_left = phases ? 1 - phase % 2 : node->pad_left;
    p->pad_right = phases ? phase % 2 : node->pad_right;
}

static layer make_layer(const kz_graph *graph, int index, int phase)
{
    const kz_node *node = &graph->nodes[index];
    int scale = graph->nodes[node->inputs[0]].scale;
    layer made = {.params = {.batch = 1,
                             .height = scale,
                             .width = scale,
                             .in_channels = kz_graph_in_channels(graph, node),
                             .out_channels = node->channels,
                             .bias = node->bias != NULL,
                             .act = node->act,
                             .slope = node->slope,
                             .n_residuals = node->n_inputs - 1}};
    memcpy(made.name, node->name, sizeof(made.name));
    kz_cudnn_conv_params *p = &made.params;
    CHECK(p->n_residuals <= KZ_CUDNN_RESIDUALS);
    set_kernel(p, node, phase);
    p->in.pixel = buffer_channels(graph, node->inputs[0]);
    p->out.pixel = buffer_channels(graph, index) * (node->op == KZ_OP_PHASE_CONV ? 2 : 1);
    for (int i = 0; i < p->n_residuals; i++) {
        p->residuals[i].pixel = buffer_channels(graph, node->inputs[i + 1]);
        p->coefs[i] = node->coefs[i + 1];
    }
    return made;
}

static int add_layer(layer *layers, int n, const layer *found)
{
    for (int i = 0; i < n; i++)
        if (memcmp(&layers[i].params, &found->params, sizeof(found->params)) == 0)
            return n;
    CHECK(n < MOST_LAYERS);
    layers[n] = *found;
    return n + 1;
}

/* All different convolutions of a model. */
static int collect_layers(const char *model_name, layer layers[MOST_LAYERS])
{
    char *dir = getenv("KIZUNA_DATA_DIR");
    kz_model *model;
    int n = 0;
    CHECK(kz_model_open(&model, model_name, &dir, 1, NULL) == 0);
    CHECK(kz_rewrite_all(model->graph, (kz_luma_weights){0.2126f, 0.7152f, 0.0722f}, NULL) == 0);
    for (int i = 0; i < model->graph->n_nodes; i++) {
        enum kz_op op = model->graph->nodes[i].op;
        int phases = op == KZ_OP_CONV ? 1 : op == KZ_OP_PHASE_CONV ? 4 : 0;
        for (int phase = 0; phase < phases; phase++) {
            layer found = make_layer(model->graph, i, phase);
            n = add_layer(layers, n, &found);
        }
    }
    kz_model_close(&model);
    return n;
}

typedef struct size {
    int width, height, batch;
} size;

static kz_cudnn_conv_params params_at(const layer *l, const size *s, enum kz_cudnn_type type)
{
    kz_cudnn_conv_params p = l->params;
    p.batch = s->batch;
    p.height *= s->height;
    p.width *= s->width;
    p.type = type;
    p.tf32 = true;
    if (p.kernel_h == 2) /* a phase: every second row */
        p.out.row = (int64_t)p.out.pixel * 2 * p.width;
    return p;
}

/* Lists engines for each layer; names those that have none and returns how many they are. */
static int layers_without_engines(kz_cudnn *cudnn, const layer *layers, int n, const size *s,
                                  enum kz_cudnn_type type, const gpu *g)
{
    static const char *const types[] = {"fp16", "bf16", "fp32"};
    kz_cudnn_engine engines[MOST_ENGINES];
    int without = 0;
    printf("# sm_%d %s %dx%dx%d:", g->sm, types[type], s->width, s->height, s->batch);
    for (int i = 0; i < n; i++) {
        kz_cudnn_conv_params p = params_at(&layers[i], s, type);
        int found = list_engines(cudnn, &p, g, engines);
        if (found)
            printf(" %d", found);
        else
            printf(" none for %s (%d to %d channels)", layers[i].name, p.in_channels,
                   p.out_channels);
        without += !found;
    }
    printf("\n");
    return without;
}

static bool no_models(void)
{
    if (getenv("KIZUNA_DATA_DIR"))
        return false;
    printf("# KIZUNA_DATA_DIR isn't set: the models are left out\n");
    return true;
}

static void check_graphs(const layer *layers, int n)
{
    static const size sizes[] = {{640, 360, 1}, {640, 360, 4},   {854, 480, 1},
                                 {854, 480, 4}, {1920, 1080, 1}, {1920, 1080, 4}};
    for (int type = KZ_CUDNN_FP16; type <= KZ_CUDNN_FP32; type++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            for (int j = 0; j < n; j++) {
                kz_cudnn_conv_params p = params_at(&layers[j], &sizes[i], (enum kz_cudnn_type)type);
                expect_accepted(&p);
            }
}

/* The large batch is only shown: engines drop out where a picture is too large for them. */
static void check_engines(kz_cudnn *cudnn, const layer *layers, int n, const gpu *g)
{
    static const size small = {640, 360, 1}, large = {1920, 1080, 4};
    for (int type = KZ_CUDNN_FP16; type <= KZ_CUDNN_FP32; type++) {
        bool none = g->sm == 75 && type == KZ_CUDNN_BF16; /* Turing has no bf16 */
        CHECK(layers_without_engines(cudnn, layers, n, &small, (enum kz_cudnn_type)type, g) ==
              (none ? n : 0));
    }
    layers_without_engines(cudnn, layers, n, &large, KZ_CUDNN_FP16, g);
}

/* Moves what an earlier call has seen, or another phase of the same layer, out of the way: listing
 * takes a tenth of a second. */
static int keep_new_layers(layer *layers, int n)
{
    static layer seen[2 * MOST_LAYERS];
    static int n_seen;
    int kept = 0;
    for (int i = 0; i < n; i++) {
        int before = n_seen;
        bool phase = layers[i].params.kernel_h == 2 &&
                     !(layers[i].params.pad_top && layers[i].params.pad_left);
        if (!phase)
            n_seen = add_layer(seen, n_seen, &layers[i]);
        if (n_seen > before)
            layers[kept++] = layers[i];
    }
    return kept;
}

/* Every layer, size and type makes a graph; the different ones have engines on every GPU. */
static void check_model(const char *name)
{
    static layer layers[MOST_LAYERS];
    if (no_models())
        return;
    int n = collect_layers(name, layers);
    CHECK(n > 0);
    check_graphs(layers, n);
    n = keep_new_layers(layers, n);
    for (int i = 0; i < n; i++)
        printf("# %s %d: %d to %d channels, %dx%d\n", layers[i].name, i,
               layers[i].params.in_channels, layers[i].params.out_channels,
               layers[i].params.kernel_w, layers[i].params.kernel_h);
    kz_cudnn *cudnn = open_cudnn();
    for (int g = 0; n > 0 && g < GPUS; g++)
        check_engines(cudnn, layers, n, &gpus[g]);
    kz_cudnn_close(&cudnn);
}

static void layers_of_animevideov3(void)
{
    check_model("animevideov3");
}

static void layers_of_anime_6b(void)
{
    check_model("anime-6b");
}

static void layers_of_x4plus(void)
{
    check_model("x4plus");
}

static const struct check_case cases[] = {
    {"engines are written and read", engines_are_written_and_read},
    {"hostile texts of engines are refused", hostile_texts_are_refused},
    {"wrong parameters are refused", wrong_parameters_are_refused},
    {"wrong strides are refused", wrong_strides_are_refused},
    {"slices are accepted", slices_are_accepted},
    {"closing nothing is legal", closing_nothing_is_legal},
    {"GPUs are described wrongly", gpus_are_described_wrongly},
    {"a GPU is needed to run", a_gpu_is_needed_to_run},
    {"unknown engines make no plan", unknown_engines_make_no_plan},
    {"engines make plans", engines_make_plans},
    {"runs are refused", runs_are_refused},
    {"engines are listed once", engines_are_listed_once},
    {"TF32 is asked for", tf32_is_asked_for},
    {"phases interleave", phases_interleave},
    {"animevideov3's layers", layers_of_animevideov3},
    {"anime-6b's layers", layers_of_anime_6b},
    {"x4plus's layers", layers_of_x4plus},
};

CHECK_CASES(cases)

int main(int argc, char **argv)
{
    kz_cudnn *cudnn;
    if (!dlopen("libcudnn.so.9", RTLD_NOW)) {
        printf("1..0 # SKIP libcudnn.so.9 isn't installed\n");
        return 0;
    }
    if (!dlopen(PRETEND_DRIVER, RTLD_NOW | RTLD_GLOBAL)) {
        printf("Bail out! %s\n", dlerror());
        return 1;
    }
    if (kz_cudnn_open(&cudnn, NULL) == 0) {
        printf("# cuDNN %zu\n", kz_cudnn_version(cudnn));
        kz_cudnn_close(&cudnn);
    }
    return run_cases(argc, argv);
}
