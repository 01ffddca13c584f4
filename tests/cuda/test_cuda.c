/* The whole CUDA back end on the host (cuda/twin) against the reference: random networks shaped
 * like the real ones, tiles, bands, canvases, what is refused. */
#include <math.h>
#include <string.h>

#include "backend/schedule.h"
#include "base/mem.h"
#include "check.h"
#include "cuda/device.h"
#include "cuda/net.h"
#include "cuda/selftest.h"
#include "cuda/twin.h"
#include "model/rewrite.h"
#include "random_graph.h"

struct picture {
    float *data;
    int width, height;
};

static struct picture random_picture(int width, int height, unsigned seed)
{
    struct picture p = {kz_alloc((size_t)width * (size_t)height, sizeof(float)), width, height};
    CHECK(p.data);
    for (int i = 0; i < width * height; i++)
        p.data[i] = random_unit(&seed) * 0.5f + 0.5f;
    return p;
}

static kz_plane plane_of(const struct picture *p)
{
    return (kz_plane){.data = p->data,
                      .stride = p->width * (int)sizeof(float),
                      .width = p->width,
                      .height = p->height,
                      .bytes = 4,
                      .depth = 8};
}

static kz_graph *folded(kz_graph *graph)
{
    static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};
    CHECK(kz_rewrite_all(graph, bt709, NULL) == 0);
    return graph;
}

struct opened {
    const kz_backend *backend;
    kz_device *device;
    kz_plan *plan;
};

static struct opened open_plan(const kz_backend *backend, const kz_graph *graph, int width,
                               int height, enum kz_precision precision)
{
    struct opened o = {.backend = backend};
    const kz_plan_params plan = {width, height, precision};
    CHECK(backend->open(&o.device, &(kz_device_params){.threads = 2}, NULL) == 0);
    CHECK((backend == &kz_backend_cuda ? kz_cuda_compile_own : backend->compile)(
              o.device, &o.plan, graph, &plan, NULL) == 0);
    return o;
}

static void close_plan(struct opened *o)
{
    o->backend->close_plan(&o->plan);
    o->backend->close(&o->device);
}

static struct picture run_tiles(const kz_backend *backend, const kz_graph *graph,
                                const struct picture *in, const kz_tiling *tiling,
                                enum kz_precision precision)
{
    const int scale = graph->nodes[graph->output].scale;
    struct opened o = open_plan(backend, graph, tiling->tile_width, tiling->tile_height, precision);
    struct picture out = random_picture(in->width * scale, in->height * scale, 9);
    const kz_plane src = plane_of(in), dst = plane_of(&out);
    kz_tile tiles[64];
    CHECK(kz_tiling_count(tiling) <= 64);
    for (int i = 0; i < kz_tiling_count(tiling); i++)
        tiles[i] = kz_tiling_get(tiling, i);
    const kz_run run = {.src = &src,
                        .src_levels = {0, 1},
                        .dst = &dst,
                        .dst_levels = {0, 1},
                        .tiles = tiles,
                        .n_tiles = kz_tiling_count(tiling)};
    CHECK(backend->run(o.plan, &run) == 0);
    close_plan(&o);
    return out;
}

static struct picture run_whole(const kz_backend *backend, const kz_graph *graph,
                                const struct picture *in, enum kz_precision precision)
{
    kz_tiling whole;
    CHECK(kz_tiling_split(&whole, in->width, in->height, 1, 1, 0));
    return run_tiles(backend, graph, in, &whole, precision);
}

static double worst(const struct picture *a, const struct picture *b)
{
    double most = 0;
    CHECK(a->width == b->width && a->height == b->height);
    for (int i = 0; i < a->width * a->height; i++)
        most = fmax(most, fabs((double)a->data[i] - (double)b->data[i]));
    return isnan(most) ? INFINITY : most;
}

static double psnr(const struct picture *a, const struct picture *b)
{
    double sum = 0;
    for (int i = 0; i < a->width * a->height; i++)
        sum += pow((double)a->data[i] - (double)b->data[i], 2);
    return -10 * log10(sum / (a->width * a->height) + 1e-20);
}

/* Random weights amplify rounding, which real ones don't. */
static void compare(kz_graph *graph, int width, int height, enum kz_precision precision,
                    double bound)
{
    struct picture in = random_picture(width, height, 5);
    struct picture a = run_whole(&kz_backend_reference, graph, &in, KZ_PRECISION_FP32);
    struct picture b = run_whole(&kz_backend_cuda, graph, &in, precision);
    if (precision == KZ_PRECISION_FP32)
        CHECK_NEAR(worst(&a, &b), 0, bound);
    else
        CHECK_NEAR(fmin(psnr(&a, &b), bound), bound, 0);
    kz_free(in.data);
    kz_free(a.data);
    kz_free(b.data);
    kz_graph_close(&graph);
}

static void fp32_equals_the_reference(void)
{
    compare(folded(random_rrdb(1, 64, 32, 11)), 21, 13, KZ_PRECISION_FP32, 5e-5);
    compare(folded(random_rrdb(1, 12, 7, 12)), 5, 31, KZ_PRECISION_FP32, 5e-5);
    compare(folded(random_srvgg(4, 64, 4, 13)), 19, 23, KZ_PRECISION_FP32, 5e-5);
    compare(folded(random_srvgg(2, 32, 2, 14)), 3, 2, KZ_PRECISION_FP32, 5e-5);
    compare(folded(random_luma_net(4, 16, true, 15)), 21, 13, KZ_PRECISION_FP32, 5e-5);
    compare(folded(random_luma_net_twice(3, 16, true, 16)), 21, 13, KZ_PRECISION_FP32, 5e-5);
}

static void fp16_is_near_the_reference(void)
{
    compare(folded(random_rrdb(1, 64, 32, 11)), 21, 13, KZ_PRECISION_FP16, 60);
    compare(folded(random_rrdb(1, 32, 16, 12)), 35, 17, KZ_PRECISION_AUTO, 60);
    compare(folded(random_rrdb(1, 24, 8, 15)), 1, 1, KZ_PRECISION_FP16, 60);
    compare(folded(random_srvgg(2, 64, 4, 13)), 33, 17, KZ_PRECISION_FP16, 60);
    compare(folded(random_srvgg(2, 20, 3, 14)), 7, 9, KZ_PRECISION_FP16, 60);
    compare(folded(random_luma_net_twice(3, 32, true, 16)), 19, 14, KZ_PRECISION_FP16, 60);
    compare(folded(random_luma_net(6, 24, true, 17)), 75, 20, KZ_PRECISION_FP16, 60);
    compare(folded(random_luma_net_twice(2, 8, false, 18)), 31, 35, KZ_PRECISION_FP16, 60);
}

static void bf16_is_near_the_reference(void)
{
    compare(folded(random_rrdb(1, 32, 16, 11)), 21, 13, KZ_PRECISION_BF16, 44);
    compare(folded(random_srvgg(4, 64, 4, 13)), 33, 5, KZ_PRECISION_BF16, 44);
    compare(folded(random_luma_net(6, 16, true, 17)), 33, 5, KZ_PRECISION_BF16, 44);
}

/* Tiles with a halo as wide as the network sees make the same picture, to the bit. */
static void tiles_make_the_whole_picture(void)
{
    kz_graph *graph = folded(random_srvgg(2, 16, 2, 3));
    struct picture in = random_picture(50, 41, 4);
    struct picture whole = run_whole(&kz_backend_cuda, graph, &in, KZ_PRECISION_FP16);
    kz_tiling tiling;
    CHECK(kz_tiling_split(&tiling, 50, 41, 3, 2, 5));
    struct picture tiled = run_tiles(&kz_backend_cuda, graph, &in, &tiling, KZ_PRECISION_FP16);
    CHECK(worst(&whole, &tiled) == 0);
    kz_free(in.data);
    kz_free(whole.data);
    kz_free(tiled.data);
    kz_graph_close(&graph);
}

/* A plan's tiles may be smaller than it: parts of a picture are what reuse asks for. */
static void smaller_tiles_run_too(void)
{
    kz_graph *graph = folded(random_rrdb(1, 16, 8, 3));
    struct picture in = random_picture(40, 30, 4);
    struct picture whole = run_whole(&kz_backend_cuda, graph, &in, KZ_PRECISION_FP16);
    struct picture part = random_picture(160, 120, 5);
    struct opened o = open_plan(&kz_backend_cuda, graph, 40, 30, KZ_PRECISION_FP16);
    const kz_plane src = plane_of(&in), dst = plane_of(&part);
    const kz_tile tile = {0, 0, 30, 30, 0, 3, 4, 9};
    const kz_run run = {.src = &src,
                        .src_levels = {0, 1},
                        .dst = &dst,
                        .dst_levels = {0, 1},
                        .tiles = &tile,
                        .n_tiles = 1};
    const float before = part.data[12 * 160 + 16];
    CHECK(kz_backend_cuda.run(o.plan, &run) == 0);
    for (int y = 12; y < 36; y++)
        for (int x = 0; x < 16; x++)
            CHECK(part.data[y * 160 + x] == whole.data[y * 160 + x]);
    CHECK(part.data[12 * 160 + 16] == before && part.data[11 * 160] != whole.data[11 * 160]);
    close_plan(&o);
    kz_free(in.data);
    kz_free(whole.data);
    kz_free(part.data);
    kz_graph_close(&graph);
}

/* Built with bands of at most 600 pixels: there are several, whose borders aren't to be seen. */
static void bands_make_the_whole_picture(void)
{
    kz_graph *graph = folded(random_rrdb(1, 16, 8, 3));
    struct picture in = random_picture(37, 60, 4);
    struct picture out = run_whole(&kz_backend_cuda, graph, &in, KZ_PRECISION_FP16);
    struct opened o = open_plan(&kz_backend_cuda, graph, 37, 60, KZ_PRECISION_FP16);
    kz_plan_info info;
    o.backend->info(o.plan, &info);
    CHECK(info.macs > kz_graph_macs(graph) * 37 * 60);
    close_plan(&o);
    struct picture whole = run_whole(&kz_backend_reference, graph, &in, KZ_PRECISION_FP32);
    CHECK(psnr(&out, &whole) > 60);
    kz_free(in.data);
    kz_free(out.data);
    kz_free(whole.data);
    kz_graph_close(&graph);
}

/* ---- small networks ---- */

enum { A_LOT = 99 << 10 };

/* What the network makes of the picture; without shared memory to plan with, layer by layer. */
static struct picture run_net(const kz_graph *graph, const struct picture *in,
                              enum kz_precision precision, bool shared)
{
    const int scale = graph->nodes[graph->output].scale;
    struct picture out = random_picture(in->width * scale, in->height * scale, 9);
    const size_t row = (size_t)in->width * sizeof(float), out_row = row * (size_t)scale;
    kz_gpu *gpu;
    kz_net *net;
    CHECK(kz_gpu_open(&gpu, 0, NULL) == 0);
    const kz_program_params params = {in->width, in->height, precision,
                                      shared ? kz_gpu_get_info(gpu)->shared_bytes : 0};
    CHECK(kz_net_open(&net, gpu, graph, &params, NULL) == 0);
    kz_view there = {NULL, KZ_ELEMENT_FP32, 1, 1, in->width, in->height, 1};
    there.data = kz_gpu_alloc(gpu, row * (size_t)in->height);
    CHECK(there.data);
    kz_gpu_copy_in(gpu, there.data, row, in->data, (ptrdiff_t)row, row, in->height);
    const kz_view result = kz_net_run(net, &there, NULL);
    kz_gpu_copy_out(gpu, out.data, (ptrdiff_t)out_row, result.data, out_row, out_row, out.height);
    CHECK(kz_gpu_wait(gpu) == 0);
    kz_gpu_free(gpu, there.data);
    kz_net_close(&net);
    kz_gpu_close(&gpu);
    return out;
}

static int small_steps(const kz_graph *graph, enum kz_precision precision, int shared_bytes)
{
    const kz_program_params params = {16, 16, precision, shared_bytes};
    kz_program program;
    int count = 0;
    CHECK(kz_program_open(&program, graph, &params, NULL) == 0);
    for (int i = 0; i < program.n_steps; i++)
        count += program.steps[i].kind == KZ_STEP_SMALL;
    CHECK(count == 0 || count == program.n_steps);
    kz_program_close(&program);
    return count;
}

static void check_bits(kz_graph *graph, int width, int height, enum kz_precision precision)
{
    struct picture in = random_picture(width, height, 5);
    CHECK(small_steps(graph, precision, A_LOT) > 0 && small_steps(graph, precision, 0) == 0);
    struct picture a = run_net(graph, &in, precision, true);
    struct picture b = run_net(graph, &in, precision, false);
    CHECK(worst(&a, &b) == 0);
    kz_free(in.data);
    kz_free(a.data);
    kz_free(b.data);
    kz_graph_close(&graph);
}

static void small_networks_have_the_layers_bits(void)
{
    check_bits(folded(random_luma_net(6, 16, true, 1)), 141, 37, KZ_PRECISION_FP16);
    check_bits(folded(random_luma_net(6, 32, true, 2)), 61, 23, KZ_PRECISION_FP16);
    check_bits(folded(random_luma_net(5, 32, true, 3)), 7, 70, KZ_PRECISION_BF16);
    check_bits(folded(random_luma_net(2, 16, true, 4)), 33, 9, KZ_PRECISION_BF16);
    check_bits(folded(random_luma_net(1, 16, false, 5)), 10, 11, KZ_PRECISION_FP16);
    check_bits(folded(random_luma_net_twice(3, 16, true, 6)), 35, 29, KZ_PRECISION_FP16);
    check_bits(folded(random_srvgg(4, 32, 2, 7)), 35, 29, KZ_PRECISION_FP16);
}

/* Only pictures are: the input's, which is the caller's, aside. */
static void values_between_are_nowhere_in_memory(void)
{
    kz_graph *graph = folded(random_luma_net_twice(6, 16, true, 1));
    const kz_program_params small = {640, 360, KZ_PRECISION_FP16, A_LOT};
    const kz_program_params layers = {640, 360, KZ_PRECISION_FP16, 0};
    const size_t pictures = (size_t)640 * 360 * (4 + 16) * sizeof(float);
    kz_program program;
    CHECK(kz_program_open(&program, graph, &small, NULL) == 0);
    CHECK(program.arena_bytes == pictures);
    CHECK(kz_net_need(graph, &small) == pictures + program.constant_bytes);
    CHECK(kz_net_need(graph, &layers) > 4 * pictures);
    kz_program_close(&program);
    kz_graph_close(&graph);
}

/* The index of the `count`-th node of a kind. */
static int find_node(const kz_graph *graph, enum kz_op op, int count)
{
    int i = 0;
    while (graph->nodes[i].op != op || count-- > 0)
        i++;
    return i;
}

static void other_networks_run_layer_by_layer(void)
{
    const struct {
        kz_graph *graph;
        enum kz_precision precision;
    } all[] = {{random_luma_net(4, 16, true, 1), KZ_PRECISION_FP32},
               {random_luma_net(4, 12, true, 1), KZ_PRECISION_FP16},
               {random_luma_net(4, 64, true, 1), KZ_PRECISION_FP16},
               {random_luma_net(40, 16, true, 1), KZ_PRECISION_FP16},
               {random_srvgg(4, 16, 4, 1), KZ_PRECISION_FP16},
               {random_rrdb(1, 16, 8, 1), KZ_PRECISION_FP16}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        kz_graph *graph = folded(all[i].graph);
        CHECK(small_steps(graph, all[i].precision, A_LOT) == 0);
        kz_graph_close(&graph);
    }
}

/* What one kernel doesn't do, or what another node wants to read. */
static void networks_that_differ_run_layer_by_layer(void)
{
    for (int i = 0; i < 9; i++) {
        kz_graph *graph = folded(random_luma_net(4, 16, true, 1));
        kz_node *first = &graph->nodes[find_node(graph, KZ_OP_CONV, 0)];
        kz_node *second = &graph->nodes[find_node(graph, KZ_OP_CONV, 1)];
        kz_node *skip = &graph->nodes[find_node(graph, KZ_OP_CONV, 3)];
        kz_node *last = &graph->nodes[find_node(graph, KZ_OP_CONV, 4)];
        kz_node *sum = &graph->nodes[find_node(graph, KZ_OP_ADD, 0)];
        CHECK(small_steps(graph, KZ_PRECISION_FP16, A_LOT) == 1);
        switch (i) {
        case 0:
            first->pad_left = 0;
            break;
        case 1:
            second->act = KZ_ACT_NONE;
            break;
        case 2:
            skip->coefs[1] = 0.5f;
            break;
        case 3:
            skip->inputs[1] = (int)(second - graph->nodes);
            break;
        case 4:
            last->act = KZ_ACT_LEAKY;
            break;
        case 5:
            sum->coefs[1] = 0.5f;
            break;
        case 6:
            sum->inputs[sum->n_inputs++] = 0;
            break;
        case 7:
            second->kernel = 1;
            break;
        case 8:
            graph->output = (int)(second - graph->nodes);
            break;
        }
        CHECK(small_steps(graph, KZ_PRECISION_FP16, A_LOT) == 0);
        kz_graph_close(&graph);
    }
}

/* ---- planes ---- */

static kz_plane open_plane(int width, int height, int bytes, int depth)
{
    kz_plane p = {.data = kz_alloc((size_t)(width + 3) * (size_t)height, (size_t)bytes),
                  .stride = (ptrdiff_t)(width + 3) * bytes,
                  .width = width,
                  .height = height,
                  .bytes = bytes,
                  .depth = depth};
    unsigned seed = 3;
    CHECK(p.data);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const float value = random_unit(&seed) * 0.5f + 0.5f;
            if (bytes == 1)
                ((unsigned char *)kz_plane_row(&p, y))[x] = (unsigned char)(value * 255);
            else
                ((unsigned short *)kz_plane_row(&p, y))[x] =
                    (unsigned short)(value * (float)((1 << depth) - 1));
        }
    return p;
}

static int sample(const kz_plane *p, int x, int y)
{
    return p->bytes == 1 ? ((unsigned char *)kz_plane_row(p, y))[x]
                         : ((unsigned short *)kz_plane_row(p, y))[x];
}

/* Sums in another order may round another way: by one code value, rarely. */
static void check_alike(const kz_plane *a, const kz_plane *b)
{
    int differences = 0;
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++) {
            CHECK_NEAR(sample(a, x, y), sample(b, x, y), 1);
            differences += sample(a, x, y) != sample(b, x, y);
        }
    CHECK(differences * 1000 <= a->width * a->height);
}

static void scaling_is_that_of_the_host(void)
{
    static const int sizes[][4] = {{40, 30, 80, 60}, {40, 30, 20, 17}, {3, 2, 90, 71}};
    struct opened o = {.backend = &kz_backend_cuda}, h = {.backend = &kz_backend_reference};
    const kz_device_params device = {.threads = 2};
    CHECK(o.backend->open(&o.device, &device, NULL) == 0);
    CHECK(h.backend->open(&h.device, &device, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        const int *s = sizes[i];
        const kz_resample_params params = kz_resample_centred(s[0], s[1], s[2], s[3]);
        const kz_levels in = kz_chroma_levels(8, false), out = kz_chroma_levels(10, false);
        kz_plane src = open_plane(s[0], s[1], 1, 8), a = open_plane(s[2], s[3], 2, 10);
        kz_plane b = open_plane(s[2], s[3], 2, 10);
        kz_resampler *r;
        CHECK(kz_resample_open(&r, &params) == 0);
        CHECK(o.backend->scale(o.device, r, &src, in, &a, out) == 0);
        CHECK(o.backend->wait(o.device, 0) == 0);
        CHECK(h.backend->scale(h.device, r, &src, in, &b, out) == 0);
        check_alike(&a, &b);
        kz_resample_close(&r);
        kz_free(src.data);
        kz_free(a.data);
        kz_free(b.data);
    }
    o.backend->close(&o.device);
    h.backend->close(&h.device);
}

/* A grey plane's first sample, scaled. */
static int scale_grey(kz_device *device, const kz_resampler *r, int width, int height)
{
    const kz_levels levels = kz_luma_levels(10, false);
    kz_plane in = open_plane(14, 19, 2, 10), out = open_plane(width, height, 2, 10);
    for (int i = 0; i < 19; i++)
        for (int x = 0; x < 14; x++)
            ((unsigned short *)kz_plane_row(&in, i))[x] = 700;
    CHECK(kz_backend_cuda.scale(device, r, &in, levels, &out, levels) == 0);
    CHECK(kz_backend_cuda.wait(device, 0) == 0);
    const int first = sample(&out, 0, 0);
    kz_free(in.data);
    kz_free(out.data);
    return first;
}

/* What is made where the tables were spoilt on the device tells whether they go there again: those
 * of two resamplers don't, of a third they do. */
static void tables_stay_on_the_device(void)
{
    static const int sizes[][2] = {{28, 38}, {35, 19}, {20, 20}};
    const kz_device_params params = {.threads = 1};
    kz_resampler *r[3];
    kz_device *device;
    CHECK(kz_backend_cuda.open(&device, &params, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        const kz_resample_params p = kz_resample_centred(14, 19, sizes[i][0], sizes[i][1]);
        CHECK(kz_resample_open(&r[i], &p) == 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK_NEAR(scale_grey(device, r[i], sizes[i][0], sizes[i][1]), 700, 1);
    kz_gpu_clear(device->gpu, device->scratch, kz_axes_taken(device->axes));
    for (int i = 0; i < 2; i++)
        CHECK_NEAR(scale_grey(device, r[i], sizes[i][0], sizes[i][1]), 64, 1);
    for (int i = 2; i >= 0; i--)
        CHECK_NEAR(scale_grey(device, r[i], sizes[i][0], sizes[i][1]), 700, 1);
    for (int i = 0; i < 3; i++)
        kz_resample_close(&r[i]);
    kz_backend_cuda.close(&device);
}

/* Moves a plane's samples to where a decoder would leave them; what the host has is made worthless.
 * NV12 and P010: `step` is 2 in chroma, and 10 bits lie above 6 zeros. */
static kz_plane left_there(kz_gpu *gpu, const kz_plane *host, int step)
{
    kz_plane p = *host;
    const int shift = p.depth > 8 ? 16 - p.depth : 0;
    p.there = (kz_plane_there){
        .pitch = (size_t)(p.width * step * p.bytes + 64), .step = step, .shift = shift};
    char *block = kz_alloc(p.there.pitch, (size_t)p.height);
    p.there.data = kz_gpu_alloc(gpu, p.there.pitch * (size_t)p.height);
    CHECK(block && p.there.data);
    for (int y = 0; y < p.height; y++)
        for (int x = 0; x < p.width; x++) {
            char *at =
                block + (size_t)y * p.there.pitch + (size_t)x * (size_t)step * (size_t)p.bytes;
            if (p.bytes == 1)
                *(unsigned char *)at = (unsigned char)sample(&p, x, y);
            else
                *(unsigned short *)at = (unsigned short)(sample(&p, x, y) << shift);
        }
    kz_gpu_copy_in(gpu, p.there.data, p.there.pitch, block, (ptrdiff_t)p.there.pitch, p.there.pitch,
                   p.height);
    CHECK(kz_gpu_wait(gpu) == 0);
    kz_free(block);
    for (int y = 0; y < p.height; y++)
        memset(kz_plane_row(&p, y), 0x2a, (size_t)p.width * (size_t)p.bytes);
    return p;
}

static void check_equal(const kz_plane *a, const kz_plane *b)
{
    for (int y = 0; y < a->height; y++)
        CHECK(memcmp(kz_plane_row(a, y), kz_plane_row(b, y), (size_t)a->width * (size_t)a->bytes) ==
              0);
}

/* What a decoder has left on the device is read there, and makes the same. */
static void surfaces_are_scaled_where_they_lie(void)
{
    struct opened o = {.backend = &kz_backend_cuda};
    const kz_device_params device = {.threads = 1};
    CHECK(o.backend->open(&o.device, &device, NULL) == 0);
    CHECK(o.backend->context(o.device) == kz_gpu_context(o.device->gpu));
    const kz_resample_params params = kz_resample_centred(41, 37, 82, 74);
    const kz_levels out = kz_chroma_levels(10, false);
    kz_resampler *r;
    CHECK(kz_resample_open(&r, &params) == 0);
    for (int i = 0; i < 4; i++) {
        const int bytes = 1 + i / 2, depth = bytes == 1 ? 8 : 10;
        const kz_levels in = kz_chroma_levels(depth, false);
        kz_plane src = open_plane(41, 37, bytes, depth), a = open_plane(82, 74, 2, 10);
        kz_plane b = open_plane(82, 74, 2, 10);
        CHECK(o.backend->scale(o.device, r, &src, in, &a, out) == 0);
        CHECK(o.backend->wait(o.device, 0) == 0);
        kz_plane there = left_there(o.device->gpu, &src, 1 + i % 2);
        CHECK(o.backend->scale(o.device, r, &there, in, &b, out) == 0);
        CHECK(o.backend->wait(o.device, 0) == 0);
        check_equal(&a, &b);
        kz_gpu_free(o.device->gpu, there.there.data);
        kz_free(src.data);
        kz_free(a.data);
        kz_free(b.data);
    }
    kz_resample_close(&r);
    o.backend->close(&o.device);
}

/* Runs the tiles over the plane, or over what of it was left on the device. */
static kz_plane run_plane(const kz_graph *graph, kz_plane *src, bool there, const kz_tiling *tiling)
{
    struct opened o = open_plan(&kz_backend_cuda, graph, tiling->tile_width, tiling->tile_height,
                                KZ_PRECISION_FP16);
    const kz_plane from = there ? left_there(o.device->gpu, src, 1) : *src;
    kz_plane to = open_plane(src->width * 2, src->height * 2, 2, 10);
    kz_tile tiles[4];
    CHECK(kz_tiling_count(tiling) == 4);
    for (int i = 0; i < 4; i++)
        tiles[i] = kz_tiling_get(tiling, i);
    const kz_run run = {.src = &from,
                        .src_levels = kz_luma_levels(src->depth, false),
                        .dst = &to,
                        .dst_levels = kz_luma_levels(10, false),
                        .tiles = tiles,
                        .n_tiles = 4};
    CHECK(o.backend->run(o.plan, &run) == 0);
    kz_gpu_free(o.device->gpu, from.there.data);
    close_plan(&o);
    return to;
}

static void surfaces_are_run_where_they_lie(void)
{
    kz_graph *graph = folded(random_srvgg(2, 16, 2, 3));
    kz_tiling tiling;
    CHECK(kz_tiling_split(&tiling, 41, 37, 2, 2, 4));
    for (int bytes = 1; bytes <= 2; bytes++) {
        kz_plane src = open_plane(41, 37, bytes, bytes == 1 ? 8 : 10);
        kz_plane a = run_plane(graph, &src, false, &tiling);
        kz_plane b = run_plane(graph, &src, true, &tiling);
        check_equal(&a, &b);
        kz_free(src.data);
        kz_free(a.data);
        kz_free(b.data);
    }
    kz_graph_close(&graph);
}

/* Through a canvas, scaled whole and by parts. */
static void scale_through_canvas(const kz_backend *backend, const kz_graph *graph,
                                 const kz_plane *src, const kz_plane *dst, const kz_rect *parts,
                                 int n_parts)
{
    struct opened o = open_plan(backend, graph, src->width, src->height, KZ_PRECISION_FP32);
    const kz_resample_params params =
        kz_resample_centred(src->width * 4, src->height * 4, dst->width, dst->height);
    const kz_tile tile = {0, 0, src->width, src->height, 0, 0, src->width, src->height};
    const kz_levels levels = kz_luma_levels(10, false);
    kz_canvas *canvas;
    kz_resampler *r;
    CHECK(kz_resample_open(&r, &params) == 0);
    CHECK(backend->open_canvas(o.device, &canvas, src->width * 4, src->height * 4) == 0);
    const kz_run run = {.src = src,
                        .src_levels = kz_luma_levels(8, false),
                        .dst_levels = levels,
                        .canvas = canvas,
                        .tiles = &tile,
                        .n_tiles = 1};
    CHECK(backend->run(o.plan, &run) == 0);
    CHECK(backend->scale_canvas(o.device, r, canvas, dst, levels, parts, n_parts) == 0);
    CHECK(!backend->wait || backend->wait(o.device, 0) == 0);
    backend->close_canvas(&canvas);
    CHECK(!canvas);
    kz_resample_close(&r);
    close_plan(&o);
}

static void canvases_are_those_of_the_host(void)
{
    static const kz_rect parts[] = {{0, 0, 10, 5}, {33, 7, 50, 36}};
    kz_graph *graph = folded(random_rrdb(1, 4, 2, 3));
    kz_plane src = open_plane(25, 18, 1, 8);
    for (int i = 0; i < 2; i++) {
        kz_plane a = open_plane(50, 36, 2, 10), b = open_plane(50, 36, 2, 10);
        scale_through_canvas(&kz_backend_cuda, graph, &src, &a, parts, i ? 2 : 0);
        scale_through_canvas(&kz_backend_reference, graph, &src, &b, parts, i ? 2 : 0);
        check_alike(&a, &b);
        kz_free(a.data);
        kz_free(b.data);
    }
    kz_free(src.data);
    kz_graph_close(&graph);
}

/* ---- what is said ---- */

static void need_is_what_compile_takes(void)
{
    kz_graph *graph = folded(random_rrdb(1, 64, 32, 3));
    struct opened o = open_plan(&kz_backend_cuda, graph, 30, 18, KZ_PRECISION_FP16);
    const kz_plan_params p = {30, 18, KZ_PRECISION_FP16};
    const kz_plan_need need = kz_backend_cuda.need(o.device, graph, &p);
    kz_plan_info info;
    kz_backend_cuda.close_plan(&o.plan);
    o.device->one_sided = 1; /* whatever room there is */
    CHECK(kz_cuda_compile_own(o.device, &o.plan, graph, &p, NULL) == 0);
    kz_backend_cuda.info(o.plan, &info);
    CHECK(need.bytes == info.memory && need.shared && info.any_size);
    CHECK(info.precision == KZ_PRECISION_FP16 && kz_backend_cuda.room(o.device) > need.bytes);
    CHECK_NEAR(info.macs, kz_graph_macs(graph) * 30 * 18, 1);
    close_plan(&o);
    kz_graph_close(&graph);
}

/* What is short on the device is no failure yet. */
static void too_large_tiles_are_told(void)
{
    if (!on_twin())
        return;
    kz_graph *graph = folded(random_rrdb(1, 64, 32, 3));
    const kz_device_params params = {.threads = 1};
    const kz_plan_params large = {400, 300, KZ_PRECISION_FP16}, small = {30, 18, KZ_PRECISION_FP16};
    kz_device *device;
    kz_plan *plan;
    setenv("KIZUNA_TWIN_MEMORY", "30000", 1);
    CHECK(kz_backend_cuda.open(&device, &params, NULL) == 0);
    unsetenv("KIZUNA_TWIN_MEMORY");
    CHECK(kz_cuda_compile_own(device, &plan, graph, &large, NULL) == KZ_ERROR_ROOM && !plan);
    CHECK(kz_cuda_compile_own(device, &plan, graph, &small, NULL) == 0);
    kz_backend_cuda.close_plan(&plan);
    kz_backend_cuda.close(&device);
    kz_graph_close(&graph);
}

static void a_missing_device_is_refused(void)
{
    kz_device *device;
    const kz_device_params params = {.threads = 1, .index = NO_SUCH_DEVICE};
    CHECK(kz_backend_cuda.open(&device, &params, NULL) == KZ_ERROR_FAILED && !device);
}

static void spoil(const kz_run *run)
{
    ((float *)kz_plane_row(run->dst, 5))[7] += 0.03f;
}

/* As the real one, but for what comes out. */
static int run_and_spoil(kz_plan *plan, const kz_run *run)
{
    const int error = kz_backend_cuda.run(plan, run);
    spoil(run);
    return error;
}

/* Only what one kernel computes whole. */
static int run_and_spoil_small(kz_plan *plan, const kz_run *run)
{
    kz_layer layers[16];
    const int error = kz_backend_cuda.run(plan, run);
    if (kz_backend_cuda.layers(plan, layers, 16) == 1)
        spoil(run);
    return error;
}

static int run_to_nothing(kz_plan *plan, const kz_run *run)
{
    const int error = kz_backend_cuda.run(plan, run);
    ((float *)run->dst->data)[0] = NAN;
    return error;
}

static void a_wrong_device_is_found(void)
{
    char why[256] = "";
    kz_backend wrong = kz_backend_cuda;
    CHECK(kz_cuda_selftest(&kz_backend_cuda, 0, why, sizeof(why)) == 0);
    wrong.run = run_and_spoil;
    CHECK(kz_cuda_selftest(&wrong, 0, why, sizeof(why)) == KZ_ERROR_FAILED);
    CHECK(strstr(why, "wrongly"));
    wrong.run = run_and_spoil_small;
    CHECK(kz_cuda_selftest(&wrong, 0, why, sizeof(why)) == KZ_ERROR_FAILED);
    wrong.run = run_to_nothing;
    CHECK(kz_cuda_selftest(&wrong, 0, why, sizeof(why)) == KZ_ERROR_FAILED);
    CHECK(kz_cuda_selftest(&kz_backend_cuda, NO_SUCH_DEVICE, why, sizeof(why)) == KZ_ERROR_FAILED);
    CHECK(strstr(why, "could not be run"));
}

static void cancel_ends_a_run(void)
{
    kz_graph *graph = folded(random_srvgg(1, 16, 2, 3));
    struct opened o = open_plan(&kz_backend_cuda, graph, 8, 8, KZ_PRECISION_FP16);
    struct picture in = random_picture(8, 8, 1), out = random_picture(16, 16, 2);
    const kz_plane src = plane_of(&in), dst = plane_of(&out);
    const kz_tile tile = {0, 0, 8, 8, 0, 0, 8, 8};
    const atomic_bool stop = true;
    const kz_run run = {.src = &src, .dst = &dst, .tiles = &tile, .n_tiles = 1, .cancel = &stop};
    CHECK(kz_backend_cuda.run(o.plan, &run) == KZ_ERROR_CANCELLED);
    kz_free(in.data);
    kz_free(out.data);
    close_plan(&o);
    kz_graph_close(&graph);
}

static const struct check_case cases[] = {
    {"fp32 equals the reference", fp32_equals_the_reference},
    {"fp16 is near the reference", fp16_is_near_the_reference},
    {"bf16 is near the reference", bf16_is_near_the_reference},
    {"tiles make the whole picture", tiles_make_the_whole_picture},
    {"smaller tiles run too", smaller_tiles_run_too},
    {"bands make the whole picture", bands_make_the_whole_picture},
    {"small networks have the layers' bits", small_networks_have_the_layers_bits},
    {"values between are nowhere in memory", values_between_are_nowhere_in_memory},
    {"other networks run layer by layer", other_networks_run_layer_by_layer},
    {"networks that differ run layer by layer", networks_that_differ_run_layer_by_layer},
    {"scaling is that of the host", scaling_is_that_of_the_host},
    {"tables stay on the device", tables_stay_on_the_device},
    {"surfaces are scaled where they lie", surfaces_are_scaled_where_they_lie},
    {"surfaces are run where they lie", surfaces_are_run_where_they_lie},
    {"canvases are those of the host", canvases_are_those_of_the_host},
    {"need is what compile takes", need_is_what_compile_takes},
    {"too large tiles are told", too_large_tiles_are_told},
    {"a missing device is refused", a_missing_device_is_refused},
    {"a wrong device is found", a_wrong_device_is_found},
    {"cancel ends a run", cancel_ends_a_run},
};

CHECK_MAIN(cases)
