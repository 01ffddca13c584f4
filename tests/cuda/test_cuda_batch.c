/* Many tiles computed at once, against the same tiles one by one: kernels, and whole runs. The same
 * bits come out, and a batch takes the launches of a tile. $KIZUNA_SEED repeats a run. */
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/device.h"
#include "cuda/tasks.h"
#include "model/rewrite.h"
#include "random_graph.h"

/* ---- kernels ---- */

/* A task of one kernel on the device, and what a tile of a batch has to be changed in it. */
struct batched {
    kz_batch batch;
    size_t pixels; /* of the values, with what lies between tiles and behind them */
    union {
        kz_conv_task conv;
        kz_sum_task sum;
        kz_small_task small;
    } task;
    convolution conv; /* runs `task.conv`; NULL: one of the others */
    bool sum;
    kz_view *views[KZ_SUM_MOST + 2]; /* of the task: the output first */
    int n_views;
    const kz_batch **slot; /* the task's */
};

/* Odd sizes with odd gaps between them; as many as there may be, too. */
static void random_batch(struct batched *b, int most_width, int most_height)
{
    size_t end = 0;
    b->batch.n = random_int(0, 3) ? random_int(2, 7) : KZ_BATCH_MOST;
    for (int i = 0; i < b->batch.n; i++) {
        const bool many = b->batch.n == KZ_BATCH_MOST;
        const int width = random_int(1, many ? 5 : most_width);
        const int height = random_int(1, many ? 5 : most_height);
        b->batch.tiles[i] = (struct kz_batch_tile){end, width, height};
        end += (size_t)(width * height + random_int(0, 9));
    }
    b->pixels = end + 3;
}

static void add_view(struct batched *b, kz_view *v, int scale)
{
    v->scale = scale;
    v->width = b->batch.tiles[0].width * scale;
    v->height = b->batch.tiles[0].height * scale;
    b->views[b->n_views++] = v;
}

static void run_batched(kz_gpu *gpu, const struct batched *b)
{
    if (b->conv)
        b->conv(gpu, &b->task.conv);
    else if (b->sum)
        kz_cuda_sum(gpu, &b->task.sum);
    else
        kz_cuda_small(gpu, &b->task.small);
}

static void run_together(kz_gpu *gpu, struct batched *b)
{
    const size_t before = kz_gpu_launches(gpu);
    *b->slot = &b->batch;
    run_batched(gpu, b);
    CHECK(kz_gpu_launches(gpu) == before + 1);
}

static void run_apart(kz_gpu *gpu, struct batched *b)
{
    kz_view first[KZ_SUM_MOST + 2];
    *b->slot = NULL;
    for (int v = 0; v < b->n_views; v++)
        first[v] = *b->views[v];
    for (int i = 0; i < b->batch.n; i++) {
        const struct kz_batch_tile *tile = &b->batch.tiles[i];
        for (int v = 0; v < b->n_views; v++) {
            kz_view *view = b->views[v];
            const size_t pixels = tile->first * (size_t)(view->scale * view->scale);
            view->data = (char *)first[v].data +
                         pixels * (size_t)view->pixel * kz_element_bytes(view->element);
            view->width = tile->width * view->scale;
            view->height = tile->height * view->scale;
        }
        run_batched(gpu, b);
    }
    for (int v = 0; v < b->n_views; v++)
        *b->views[v] = first[v];
}

static bool is_in_a_tile(const struct batched *b, size_t pixel, int scale)
{
    for (int i = 0; i < b->batch.n; i++) {
        const struct kz_batch_tile *tile = &b->batch.tiles[i];
        const size_t area = (size_t)(scale * scale), first = tile->first * area;
        if (pixel >= first && pixel < first + (size_t)(tile->width * tile->height) * area)
            return true;
    }
    return false;
}

/* The batch has the bits of its tiles one by one, and what lies between them stays. `host` is the
 * output's memory, of which the device has a copy from `there` on. */
static void check_batched(kz_gpu *gpu, struct batched *b, const void *host, char *there)
{
    const kz_view *out = b->views[0];
    const size_t pixel = (size_t)out->pixel * kz_element_bytes(out->element);
    const size_t pixels = b->pixels * (size_t)(out->scale * out->scale), bytes = pixels * pixel;
    char *together = kz_alloc(pixels, pixel), *apart = kz_alloc(pixels, pixel);
    CHECK(together && apart);
    run_together(gpu, b);
    kz_gpu_copy_out(gpu, together, (ptrdiff_t)bytes, there, bytes, bytes, 1);
    kz_gpu_copy_in(gpu, there, bytes, host, (ptrdiff_t)bytes, bytes, 1);
    run_apart(gpu, b);
    kz_gpu_copy_out(gpu, apart, (ptrdiff_t)bytes, there, bytes, bytes, 1);
    CHECK(kz_gpu_wait(gpu) == 0);
    CHECK(memcmp(together, apart, bytes) == 0 && memcmp(together, host, bytes) != 0);
    for (size_t i = 0; i < pixels; i++)
        CHECK(is_in_a_tile(b, i, out->scale) ||
              memcmp(together + i * pixel, (const char *)host + i * pixel, pixel) == 0);
    kz_free(together);
    kz_free(apart);
}

/* Values that are so many times as large as the batch counts. */
static void check_convolutions(convolution run, bool tensor, enum kz_element in,
                               enum kz_element out, int inputs, int outputs, bool phases, int scale)
{
    const bool tf32 = tensor && in == KZ_ELEMENT_FP32;
    kz_gpu *gpu = open_gpu();
    struct batched b = {.conv = run, .slot = &b.task.conv.batch};
    struct problem p;
    random_batch(&b, 45, 20);
    open_problem(&p, in, out, inputs, outputs, phases, (int)b.pixels * scale, scale);
    p.task.tf32 = tf32;
    b.task.conv = send_problem(gpu, &p, tensor);
    char *there = whole(&b.task.conv.out, p.out_first);
    add_view(&b, &b.task.conv.out, phases ? 2 * scale : scale);
    add_view(&b, &b.task.conv.in, scale);
    for (int r = 0; r < b.task.conv.n_residuals; r++)
        add_view(&b, &b.task.conv.residuals[r], scale);
    check_batched(gpu, &b, p.before.data, there);
    kz_gpu_free(gpu, there);
    drop_problem(gpu, &p, &b.task.conv);
    close_problem(&p);
    kz_gpu_close(&gpu);
}

static void convolutions_run_in_batches(void)
{
    for (int i = 0; i < 10; i++) {
        const enum kz_element in = random_wide(), out = random_int(0, 3) ? in : KZ_ELEMENT_FP32;
        check_convolutions(kz_cuda_conv_tensor, true, in, out, 16 * random_int(1, 4),
                           8 * random_int(1, 9), i % 3 == 0, i % 5 ? 1 : 2);
        check_convolutions(kz_cuda_conv_tensor, true, KZ_ELEMENT_FP32, KZ_ELEMENT_FP32,
                           8 * random_int(1, 5), random_int(1, 70), i % 3 == 0, i % 5 ? 1 : 2);
        check_convolutions(kz_cuda_conv_plain, false, i % 2 ? KZ_ELEMENT_FP32 : in, out,
                           random_int(1, 12), random_int(1, 20), i % 3 == 0, i % 5 ? 1 : 2);
        check_convolutions(kz_cuda_conv_last, false, i % 3 ? in : KZ_ELEMENT_FP32, KZ_ELEMENT_FP32,
                           8 * random_int(1, 5), 1, false, i % 5 ? 1 : 2);
    }
}

/* What lies between the two layers isn't in the batch: it isn't written. */
static void check_tails(int inputs, int channels, int scale)
{
    kz_gpu *gpu = open_gpu();
    struct batched b = {.conv = kz_cuda_conv_tail, .slot = &b.task.conv.batch};
    struct tail t;
    random_batch(&b, 70, 40);
    open_tail(gpu, &t, inputs, channels, (int)b.pixels * scale, scale);
    b.task.conv = t.last_there;
    char *there = whole(&t.last_there.out, t.last.out_first);
    add_view(&b, &b.task.conv.out, scale);
    add_view(&b, &t.first_there.in, scale);
    for (int r = 0; r < b.task.conv.n_residuals; r++)
        add_view(&b, &b.task.conv.residuals[r], scale);
    check_batched(gpu, &b, t.last.before.data, there);
    kz_gpu_free(gpu, whole(&t.first_there.out, t.first.out_first));
    kz_gpu_free(gpu, there);
    close_tail(gpu, &t);
    kz_gpu_close(&gpu);
}

static void tails_run_in_batches(void)
{
    for (int i = 0; i < 6; i++)
        check_tails(16 * random_int(1, 2), 8 * random_int(1, 8), i % 3 ? 1 : 2);
}

static void sums_run_in_batches(void)
{
    for (int i = 0; i < 8; i++) {
        kz_gpu *gpu = open_gpu();
        struct batched b = {.sum = true, .slot = &b.task.sum.batch};
        kz_view values[4];
        random_batch(&b, 30, 20);
        const int width = (int)b.pixels;
        values[0] = random_view(KZ_ELEMENT_FP32, 3, 4, 0, 2 * width, 2);
        values[1] = random_view(KZ_ELEMENT_FP32, 3, 3, 0, 2 * width, 2);
        values[2] = random_view(KZ_ELEMENT_FP16, 3, 8, 0, width, 1);
        values[3] = random_view(KZ_ELEMENT_BF16, 12, 16, 0, width, 1);
        b.task.sum = (kz_sum_task){.out = send_view(gpu, &values[0], 0), .n_terms = 3};
        add_view(&b, &b.task.sum.out, 2);
        for (int t = 0; t < 3; t++) {
            const kz_term term = {send_view(gpu, &values[t + 1], 0), random_unit(&tasks_seed),
                                  t ? 2 : 1, t == 2};
            b.task.sum.terms[t] = term;
            add_view(&b, &b.task.sum.terms[t].view, t ? 1 : 2);
        }
        check_batched(gpu, &b, values[0].data, b.task.sum.out.data);
        for (int v = 0; v < 4; v++) {
            kz_gpu_free(gpu, b.views[v]->data);
            free_view(&values[v], 0);
        }
        kz_gpu_close(&gpu);
    }
}

static void small_networks_run_in_batches(void)
{
    for (int i = 0; i < 8; i++) {
        kz_gpu *gpu = open_gpu();
        struct batched b = {.slot = &b.task.small.batch};
        struct network n;
        const int hidden = random_int(0, 4), scale = i % 4 ? 1 : 2;
        random_batch(&b, i % 2 ? 90 : 20, i % 2 ? 20 : 70);
        open_network(&n, 8 + 8 * (i % 4), hidden, hidden && i % 3, (int)b.pixels * scale, scale);
        const size_t bytes = kz_cuda_small_bytes(&n.task);
        void *packed = kz_alloc(bytes, 1);
        CHECK(packed);
        n.task.columns = 64;
        kz_cuda_small_pack(&n.task, n.layers, packed);
        b.task.small = n.task;
        b.task.small.in = send_view(gpu, &n.task.in, 0);
        b.task.small.out = send_view(gpu, &n.task.out, 0);
        b.task.small.constants = send_bytes(gpu, packed, bytes);
        add_view(&b, &b.task.small.out, 2 * scale);
        add_view(&b, &b.task.small.in, scale);
        check_batched(gpu, &b, n.task.out.data, b.task.small.out.data);
        kz_gpu_free(gpu, b.task.small.in.data);
        kz_gpu_free(gpu, b.task.small.out.data);
        kz_gpu_free(gpu, (void *)b.task.small.constants);
        kz_free(packed);
        close_network(&n);
        kz_gpu_close(&gpu);
    }
}

/* Rectangles of one surface, and numbers of their own each, apart by a few. */
static int random_patches(const kz_surface *surface, const kz_view *numbers, kz_patch *patches)
{
    const int n = random_int(0, 1) ? KZ_BATCH_MOST : random_int(2, 5);
    size_t end = 0;
    for (int i = 0; i < n; i++) {
        const int x = surface->width * (i % 8) / 8, y = surface->height * (i / 8) / 4;
        const int width = random_int(1, surface->width / 8), height = random_int(1, 10);
        const kz_rect part = {x, y, x + width, y + height};
        kz_patch *p = &patches[i];
        *p = (kz_patch){kz_surface_part(surface, part), *numbers, random_int(0, 3), 1};
        p->numbers.data = (float *)numbers->data + end;
        p->numbers.width = p->x + width + random_int(0, 2);
        p->numbers.height = height + 1;
        end += (size_t)(p->numbers.width * p->numbers.height + random_int(0, 5));
    }
    CHECK(end <= count_of(numbers));
    return n;
}

/* Of samples on the device with several patches, all at once and one by one. */
static void check_patches(kz_gpu *gpu, const kz_surface *there, const kz_view *numbers, bool stores)
{
    const size_t bytes = stores ? surface_bytes(there) : bytes_of(numbers);
    void *const data = stores ? there->data : numbers->data;
    const kz_levels levels = kz_luma_levels(there->depth, false);
    char *results[2] = {kz_alloc(bytes, 1), kz_alloc(bytes, 1)};
    kz_patch patches[KZ_BATCH_MOST];
    const int n = random_patches(there, numbers, patches);
    CHECK(results[0] && results[1]);
    for (int way = 0; way < 2; way++) {
        const int step = way ? 1 : n;
        const size_t before = kz_gpu_launches(gpu);
        kz_gpu_clear(gpu, data, bytes);
        for (int i = 0; i < n && stores; i += step)
            kz_cuda_store(gpu, &patches[i], step, NULL, levels, NULL);
        for (int i = 0; i < n && !stores; i += step)
            kz_cuda_load(gpu, &patches[i], step, levels);
        CHECK(kz_gpu_launches(gpu) == before + (size_t)(n / step));
        kz_gpu_copy_out(gpu, results[way], (ptrdiff_t)bytes, data, bytes, bytes, 1);
        CHECK(kz_gpu_wait(gpu) == 0);
    }
    CHECK(memcmp(results[0], results[1], bytes) == 0);
    kz_free(results[0]);
    kz_free(results[1]);
}

static void patches_are_loaded_and_stored_at_once(void)
{
    for (int i = 0; i < 8; i++) {
        kz_gpu *gpu = open_gpu();
        const kz_surface s = random_surface(8 * random_int(5, 40), 60, 2, 10, 1 + i / 2 % 2);
        const kz_view numbers = random_view(KZ_ELEMENT_FP32, 1, 1, 0, 700, 100);
        const kz_surface there = send_surface(gpu, &s);
        const kz_view numbers_there = send_view(gpu, &numbers, 0);
        check_patches(gpu, &there, &numbers_there, i % 2);
        kz_gpu_free(gpu, there.data);
        kz_gpu_free(gpu, numbers_there.data);
        kz_free(s.data);
        free_view(&numbers, 0);
        kz_gpu_close(&gpu);
    }
}

/* ---- runs ---- */

static kz_graph *folded(kz_graph *graph)
{
    static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};
    CHECK(kz_rewrite_all(graph, bt709, NULL) == 0);
    return graph;
}

struct opened {
    kz_device *device;
    kz_plan *plan;
};

static struct opened open_plan(const kz_graph *graph, int width, int height,
                               enum kz_precision precision)
{
    struct opened o = {0};
    const kz_device_params device = {.threads = 2};
    const kz_plan_params plan = {width, height, precision};
    CHECK(kz_backend_cuda.open(&o.device, &device, NULL) == 0);
    CHECK(kz_backend_cuda.compile(o.device, &o.plan, graph, &plan, NULL) == 0);
    return o;
}

static void close_plan(struct opened *o)
{
    kz_backend_cuda.close_plan(&o->plan);
    kz_backend_cuda.close(&o->device);
}

/* 10 bits, random. */
static kz_plane open_plane(int width, int height)
{
    kz_plane p = {.data = kz_alloc((size_t)width * (size_t)height, 2),
                  .stride = (ptrdiff_t)width * 2,
                  .width = width,
                  .height = height,
                  .bytes = 2,
                  .depth = 10};
    CHECK(p.data);
    for (int i = 0; i < width * height; i++)
        ((unsigned short *)p.data)[i] = (unsigned short)random_int(64, 940);
    return p;
}

static size_t plane_bytes(const kz_plane *p)
{
    return (size_t)(p->stride * p->height);
}

/* As a decoder leaves it; the host's samples are worthless then. */
static void leave_there(kz_gpu *gpu, kz_plane *p)
{
    p->there = (kz_plane_there){
        .data = send_bytes(gpu, p->data, plane_bytes(p)), .pitch = (size_t)p->stride, .step = 1};
    CHECK(kz_gpu_wait(gpu) == 0);
    memset(p->data, 0x2a, plane_bytes(p));
}

enum { TILES = 24, WIDTH = 70, HEIGHT = 50, PLAN_WIDTH = 35, PLAN_HEIGHT = 25 };

/* Parts of a picture as reuse asks for them, of up to `most` pixels in each direction. Among small
 * ones there is one as large as the plan, one that needs bands, and one that owns nothing. */
static void random_tiles(kz_tile *tiles, int most)
{
    for (int i = 0; i < TILES; i++) {
        kz_tile *t = &tiles[i];
        t->width = i == 7 ? PLAN_WIDTH : i == 20 ? PLAN_WIDTH - 3 : random_int(1, most);
        t->height = i == 7 ? PLAN_HEIGHT : i == 20 ? PLAN_HEIGHT - 1 : random_int(1, most);
        t->x = random_int(0, WIDTH - t->width);
        t->y = random_int(0, HEIGHT - t->height);
        t->own_x0 = t->x + t->width / 4;
        t->own_y0 = t->y + t->height / 5;
        t->own_x1 = i == 9 ? t->own_x0 : t->x + t->width - t->width / 5;
        t->own_y1 = t->y + t->height - t->height / 4;
    }
}

/* Where the picture comes from and where it goes to. */
enum route { PLANES, FROM_THERE, TO_CANVAS, ROUTES };

struct parts {
    struct opened o;
    kz_tile tiles[TILES];
    kz_plane src, dst;
    kz_canvas *canvas;
};

static void open_parts(struct parts *p, const kz_graph *graph, enum kz_precision precision,
                       int most, enum route route)
{
    const int scale = graph->nodes[graph->output].scale;
    *p = (struct parts){.o = open_plan(graph, PLAN_WIDTH, PLAN_HEIGHT, precision),
                        .src = open_plane(WIDTH, HEIGHT),
                        .dst = open_plane(WIDTH * scale, HEIGHT * scale)};
    random_tiles(p->tiles, most);
    if (route == FROM_THERE)
        leave_there(p->o.device->gpu, &p->src);
    if (route == TO_CANVAS)
        CHECK(kz_backend_cuda.open_canvas(p->o.device, &p->canvas, p->dst.width, p->dst.height) ==
              0);
}

static void close_parts(struct parts *p)
{
    kz_gpu_free(p->o.device->gpu, p->src.there.data);
    kz_backend_cuda.close_canvas(&p->canvas);
    kz_free(p->src.data);
    kz_free(p->dst.data);
    close_plan(&p->o);
}

static size_t result_bytes(const struct parts *p)
{
    return p->canvas ? kz_surface_bytes(&p->canvas->surface) : plane_bytes(&p->dst);
}

/* All tiles in one run or each in its own: the plane or the canvas, zeros where nothing belongs.
 * Returns the launches. */
static size_t run_parts(const struct parts *p, bool together, char *result)
{
    kz_gpu *gpu = p->o.device->gpu;
    const size_t before = kz_gpu_launches(gpu), bytes = result_bytes(p);
    kz_run run = {.src = &p->src,
                  .src_levels = kz_luma_levels(10, false),
                  .dst = &p->dst,
                  .dst_levels = kz_luma_levels(10, false),
                  .canvas = p->canvas,
                  .n_tiles = together ? TILES : 1};
    memset(p->dst.data, 0, plane_bytes(&p->dst));
    if (p->canvas)
        kz_gpu_clear(gpu, p->canvas->surface.data, bytes);
    for (int i = 0; i < TILES; i += run.n_tiles) {
        run.tiles = p->tiles + i;
        CHECK(kz_backend_cuda.run(p->o.plan, &run) == 0);
    }
    if (p->canvas)
        kz_gpu_copy_out(gpu, result, (ptrdiff_t)bytes, p->canvas->surface.data, bytes, bytes, 1);
    else
        memcpy(result, p->dst.data, bytes);
    CHECK(kz_gpu_wait(gpu) == 0);
    return kz_gpu_launches(gpu) - before;
}

/* By the first so many routes. */
static void check_parts(kz_graph *graph, enum kz_precision precision, int most, int routes)
{
    for (int route = 0; route < routes; route++) {
        struct parts p;
        open_parts(&p, graph, precision, most, (enum route)route);
        const size_t bytes = result_bytes(&p);
        char *apart = kz_alloc(bytes, 1), *together = kz_alloc(bytes, 1);
        CHECK(apart && together);
        const size_t many = run_parts(&p, false, apart), few = run_parts(&p, true, together);
        CHECK(memcmp(apart, together, bytes) == 0 && 2 * few < many);
        kz_free(apart);
        kz_free(together);
        close_parts(&p);
    }
    kz_graph_close(&graph);
}

static void many_tiles_are_computed_at_once(void)
{
    check_parts(folded(random_rrdb(1, 16, 8, 3)), KZ_PRECISION_FP16, 11, 1);
    check_parts(folded(random_rrdb(1, 4, 2, 4)), KZ_PRECISION_FP32, 9, 1);
    check_parts(folded(random_srvgg(2, 16, 4, 5)), KZ_PRECISION_FP16, 14, 1);
    check_parts(folded(random_rrdb(1, 16, 8, 5)), KZ_PRECISION_TF32, 11, 1);
    check_parts(folded(random_luma_net_twice(3, 16, true, 6)), KZ_PRECISION_FP16, 17, 1);
    check_parts(folded(random_luma_net(4, 8, true, 7)), KZ_PRECISION_BF16, 17, ROUTES);
}

/* Up to so many tiles of 3×3 pixels take the launches of one; one more takes twice as many. */
static void check_launches(kz_graph *graph, int most)
{
    const int scale = graph->nodes[graph->output].scale;
    struct opened o = open_plan(graph, 45, 46, KZ_PRECISION_FP16);
    kz_plane src = open_plane(45, 46), dst = open_plane(45 * scale, 46 * scale);
    kz_tile tiles[KZ_BATCH_MOST + 1];
    size_t one = 0;
    for (int i = 0; i <= most; i++)
        tiles[i] = (kz_tile){i, i / 2, 3, 3, i, i / 2, i + 3, i / 2 + 3};
    for (int n = 1; n <= most + 1; n++) {
        const kz_run run = {.src = &src,
                            .src_levels = kz_luma_levels(10, false),
                            .dst = &dst,
                            .dst_levels = kz_luma_levels(10, false),
                            .tiles = tiles,
                            .n_tiles = n};
        const size_t before = kz_gpu_launches(o.device->gpu);
        CHECK(kz_backend_cuda.run(o.plan, &run) == 0);
        one = n == 1 ? kz_gpu_launches(o.device->gpu) - before : one;
        CHECK(one > 2 && kz_gpu_launches(o.device->gpu) == before + (n > most ? 2 * one : one));
    }
    kz_free(src.data);
    kz_free(dst.data);
    close_plan(&o);
    kz_graph_close(&graph);
}

/* A band has room for 600 pixels here, the tile before the cut for 2070. */
static void launches_dont_grow_with_tiles(void)
{
    check_launches(folded(random_rrdb(1, 16, 8, 3)), 10);
    check_launches(folded(random_luma_net(2, 8, true, 3)), KZ_BATCH_MOST);
}

static const struct check_case cases[] = {
    {"convolutions have the same bits in batches", convolutions_run_in_batches},
    {"tails too", tails_run_in_batches},
    {"sums too", sums_run_in_batches},
    {"small networks too", small_networks_run_in_batches},
    {"patches are loaded and stored at once", patches_are_loaded_and_stored_at_once},
    {"many tiles are computed at once", many_tiles_are_computed_at_once},
    {"launches don't grow with tiles", launches_dont_grow_with_tiles},
};

CHECK_CASES(cases)

int main(int argc, char **argv)
{
    draw_tasks_seed();
    return run_cases(argc, argv);
}
