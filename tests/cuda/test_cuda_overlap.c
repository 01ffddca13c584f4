/* Pictures under way on the CUDA back end while others come and go, against one after the other. On
 * the host the twin's streams get ahead of each other in orders drawn by chance: what isn't waited
 * for shows. */
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/device.h"
#include "cuda/twin.h"
#include "model/rewrite.h"
#include "random_graph.h"

enum { FRAMES = 4, MOST_TILES = 12 };

/* What a film is made with. */
struct studio {
    kz_device *device;
    kz_plan *plan;
    kz_resampler *luma, *chroma; /* luma may be NULL: pictures have the network's size */
    kz_canvas *canvas;
    kz_tone tones[2]; /* a picture's */
    kz_tile tiles[MOST_TILES];
    int n_tiles;
};

/* What a film is made in: on a canvas or not, in two tiles or in many small ones, of which several
 * are computed at once. The two are one run over and over, replayed but where `plain` is set. */
struct manner {
    bool canvas, small, plain, one_sided;
};

/* The planes of a picture: luma, chroma. */
struct frame {
    kz_plane luma, chroma;
};

/* Darker, by a factor. */
static void fill_tone(kz_tone *tone, float factor)
{
    tone->low = 0;
    tone->scale = KZ_TONE_STEPS;
    for (int i = 0; i <= KZ_TONE_STEPS; i++)
        tone->table[i] = factor * (float)i / KZ_TONE_STEPS;
}

static struct studio open_studio(const kz_graph *graph, int order, struct manner manner)
{
    struct studio s = {0};
    kz_tiling large, tiling;
    const kz_resample_params chroma = kz_resample_centred(14, 19, 28, 38);
    const kz_resample_params luma = kz_resample_centred(112, 152, 35, 48);
    char text[16];
    snprintf(text, sizeof(text), "%d", order);
    setenv("KIZUNA_TWIN_ORDER", text, 1);
    CHECK(kz_tiling_split(&large, 28, 38, 1, 2, 3));
    CHECK(kz_tiling_split(&tiling, 28, 38, manner.small ? 3 : 1, manner.small ? 4 : 2, 3));
    s.n_tiles = kz_tiling_count(&tiling);
    for (int i = 0; i < s.n_tiles; i++)
        s.tiles[i] = kz_tiling_get(&tiling, i);
    const kz_device_params device = {.threads = 2};
    const kz_plan_params plan = {large.tile_width, large.tile_height, KZ_PRECISION_FP16};
    CHECK(kz_backend_cuda.open(&s.device, &device, NULL) == 0);
    s.device->one_sided = manner.one_sided;
    CHECK(kz_backend_cuda.compile(s.device, &s.plan, graph, &plan, NULL) == 0);
    kz_cuda_let_replay(s.plan, !manner.plain);
    unsetenv("KIZUNA_TWIN_ORDER");
    CHECK(!s.device->one_sided == !manner.one_sided);
    for (int i = 0; i < 2; i++)
        fill_tone(&s.tones[i], i ? 0.8f : 1);
    CHECK(kz_resample_open(&s.chroma, &chroma) == 0);
    if (manner.canvas) {
        CHECK(kz_resample_open(&s.luma, &luma) == 0);
        CHECK(kz_backend_cuda.open_canvas(s.device, &s.canvas, 112, 152) == 0);
    }
    return s;
}

static void close_studio(struct studio *s)
{
    kz_backend_cuda.close_canvas(&s->canvas);
    kz_resample_close(&s->luma);
    kz_resample_close(&s->chroma);
    kz_backend_cuda.close_plan(&s->plan);
    kz_backend_cuda.close(&s->device);
}

static kz_plane open_plane(int width, int height, int bytes)
{
    kz_plane p = {.data = kz_alloc((size_t)width * (size_t)height, (size_t)bytes),
                  .stride = (ptrdiff_t)width * bytes,
                  .width = width,
                  .height = height,
                  .bytes = bytes,
                  .depth = bytes == 1 ? 8 : 10};
    CHECK(p.data);
    return p;
}

static void fill_frame(const struct frame *f, unsigned seed)
{
    const kz_plane *planes[] = {&f->luma, &f->chroma};
    for (int i = 0; i < 2; i++)
        for (ptrdiff_t at = 0; at < planes[i]->stride * planes[i]->height; at++)
            ((unsigned char *)planes[i]->data)[at] =
                (unsigned char)(random_unit(&seed) * 100 + 120);
}

static void close_frame(struct frame *f)
{
    kz_free(f->luma.data);
    kz_free(f->chroma.data);
}

static void start_picture(const struct studio *s, const struct frame *in, const struct frame *out,
                          const kz_tone *tone)
{
    const kz_levels from = kz_luma_levels(8, false), to = kz_luma_levels(10, false);
    const kz_backend *b = &kz_backend_cuda;
    const kz_run run = {.src = &in->luma,
                        .src_levels = from,
                        .dst = &out->luma,
                        .dst_levels = to,
                        .canvas = s->canvas,
                        .tone = tone,
                        .tiles = s->tiles,
                        .n_tiles = s->n_tiles,
                        .deferred = true};
    CHECK(b->scale(s->device, s->chroma, &in->chroma, from, &out->chroma, to) == 0);
    CHECK(b->run(s->plan, &run) == 0);
    if (s->canvas)
        CHECK(b->scale_canvas(s->device, s->luma, s->canvas, &out->luma, to, NULL, 0) == 0);
    b->end_picture(s->device);
}

/* Appends what came out, and makes the input worthless. */
static void finish_picture(const struct studio *s, struct frame *in, const struct frame *out,
                           int left, unsigned char **film)
{
    const size_t luma = (size_t)(out->luma.stride * out->luma.height);
    const size_t chroma = (size_t)(out->chroma.stride * out->chroma.height);
    CHECK(kz_backend_cuda.wait(s->device, left) == 0);
    memcpy(*film, out->luma.data, luma);
    memcpy(*film + luma, out->chroma.data, chroma);
    *film += luma + chroma;
    fill_frame(in, 999);
    fill_frame(out, 998);
}

/* Of each picture what came out, one after the other; `waits`: for a picture before the next is
 * started. Returns the bytes. */
static size_t make_film(const kz_graph *graph, int order, bool waits, struct manner manner,
                        unsigned char *film)
{
    struct studio s = open_studio(graph, order, manner);
    struct frame in[2], out[2];
    unsigned char *at = film;
    for (int i = 0; i < 2; i++) {
        in[i] = (struct frame){open_plane(28, 38, 1), open_plane(14, 19, 1)};
        out[i].luma = manner.canvas ? open_plane(35, 48, 2) : open_plane(112, 152, 2);
        out[i].chroma = open_plane(28, 38, 2);
    }
    for (int i = 0; i < FRAMES + 1; i++) {
        const int now = i % 2, before = waits ? now : 1 - now;
        if (i < FRAMES) {
            fill_frame(&in[now], (unsigned)i);
            start_picture(&s, &in[now], &out[now], &s.tones[i / 3]);
        }
        if (waits ? i < FRAMES : i > 0)
            finish_picture(&s, &in[before], &out[before], !waits && i < FRAMES, &at);
    }
    for (int i = 0; i < 2; i++) {
        close_frame(&in[i]);
        close_frame(&out[i]);
    }
    close_studio(&s);
    return (size_t)(at - film);
}

/* Streams get ahead of each other as they like, and the same comes out as on one. */
static void pictures_overlap_in_any_order(void)
{
    enum { ORDERS = 6, MOST_BYTES = 1 << 20 };
    kz_graph *graph = random_rrdb(1, 8, 8, 3);
    static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};
    unsigned char *first = kz_alloc(MOST_BYTES, 1), *film = kz_alloc(MOST_BYTES, 1);
    CHECK(first && film && kz_rewrite_all(graph, bt709, NULL) == 0);
    static const struct manner manners[] = {
        {0}, {.canvas = true}, {.small = true}, {.one_sided = true}};
    for (int i = 0; i < 4; i++) {
        struct manner plain = manners[i];
        plain.plain = plain.one_sided = true;
        const size_t bytes = make_film(graph, 0, true, plain, first);
        for (int order = 1; order <= ORDERS; order++) {
            CHECK(make_film(graph, order, false, manners[i], film) == bytes && bytes <= MOST_BYTES);
            CHECK(memcmp(first, film, bytes) == 0);
        }
    }
    kz_free(first);
    kz_free(film);
    kz_graph_close(&graph);
}

/* Of a plan, and the device's. */
static size_t memory_of_plan(const kz_graph *graph, int width, int height, bool *two_sided,
                             kz_gpu_info *gpu)
{
    const kz_plan_params params = {width, height, KZ_PRECISION_FP16};
    kz_device *device;
    kz_plan *plan;
    kz_plan_info info;
    CHECK(kz_backend_cuda.open(&device, &(kz_device_params){.threads = 1}, NULL) == 0);
    CHECK(kz_backend_cuda.compile(device, &plan, graph, &params, NULL) == 0);
    kz_backend_cuda.info(plan, &info);
    *two_sided = device->one_sided == 0;
    *gpu = *kz_gpu_get_info(device->gpu);
    kz_backend_cuda.close_plan(&plan);
    CHECK(device->one_sided == 0);
    kz_backend_cuda.close(&device);
    return info.memory;
}

/* Of the two pictures that are under way each has a side where both are small, and memory is there
 * for four times as much. The twin can have less. */
static void small_pictures_have_two_sides(void)
{
    enum { ROUNDS = 16, BLOCK = 16 * 32 };
    kz_graph *graph = random_rrdb(1, 8, 8, 3);
    bool small, short_of, large;
    kz_gpu_info gpu;
    const size_t both = memory_of_plan(graph, 28, 38, &small, &gpu);
    memory_of_plan(graph, gpu.processors * BLOCK, ROUNDS, &large, &gpu);
    CHECK(small && !large);
    if (on_twin()) {
        setenv("KIZUNA_TWIN_MEMORY", "1000", 1);
        const size_t one = memory_of_plan(graph, 28, 38, &short_of, &gpu);
        unsetenv("KIZUNA_TWIN_MEMORY");
        CHECK(!short_of && both > one && both < 2 * one);
    }
    kz_graph_close(&graph);
}

/* Two pictures' chroma, the one from the other's side: the first one brings the tables. */
static void tables_are_there_for_both_sides(void)
{
    enum { ORDERS = 20 };
    kz_graph *graph = random_rrdb(1, 8, 8, 3);
    const kz_levels from = kz_luma_levels(8, false), to = kz_luma_levels(10, false);
    kz_plane in = open_plane(14, 19, 1), out[] = {open_plane(28, 38, 2), open_plane(28, 38, 2)};
    memset(in.data, 90, (size_t)(in.stride * in.height));
    for (int order = 1; order <= ORDERS; order++) {
        struct studio s = open_studio(graph, order, (struct manner){0});
        for (int i = 0; i < 2; i++) {
            memset(out[i].data, i, (size_t)(out[i].stride * out[i].height));
            CHECK(kz_backend_cuda.scale(s.device, s.chroma, &in, from, &out[i], to) == 0);
            kz_backend_cuda.end_picture(s.device);
        }
        CHECK(kz_backend_cuda.wait(s.device, 0) == 0);
        CHECK(memcmp(out[0].data, out[1].data, (size_t)(out[0].stride * out[0].height)) == 0);
        close_studio(&s);
    }
    kz_free(in.data);
    kz_free(out[0].data);
    kz_free(out[1].data);
    kz_graph_close(&graph);
}

/* ---- cells ---- */

enum { CELLS_X = 40, CELLS_Y = 12, CELL = 4 };

/* Scales a canvas into a plane of 0x55: all of it, or these cells. Returns the last half of the
 * scratch that was used: each rectangle takes the other. */
static int scale_cells(const kz_plane *out, const kz_rect *parts, int n_parts)
{
    const kz_resample_params params =
        kz_resample_centred(CELLS_X * CELL * 2, CELLS_Y * CELL * 2, out->width, out->height);
    const kz_device_params one = {.threads = 1};
    const size_t row = CELLS_X * CELL * 2 * sizeof(float);
    float *values = kz_alloc(row, CELLS_Y * CELL * 2);
    unsigned seed = 3;
    kz_device *device;
    kz_canvas *canvas;
    kz_resampler *r;
    CHECK(values && kz_resample_open(&r, &params) == 0);
    CHECK(kz_backend_cuda.open(&device, &one, NULL) == 0);
    CHECK(kz_backend_cuda.open_canvas(device, &canvas, CELLS_X * CELL * 2, CELLS_Y * CELL * 2) ==
          0);
    for (size_t i = 0; i < row / sizeof(float) * CELLS_Y * CELL * 2; i++)
        values[i] = random_unit(&seed) * 0.4f + 0.5f;
    kz_gpu_copy_in(device->gpu, canvas->surface.data, row, values, (ptrdiff_t)row, row,
                   CELLS_Y * CELL * 2);
    memset(out->data, 0x55, (size_t)(out->stride * out->height));
    CHECK(kz_backend_cuda.scale_canvas(device, r, canvas, out, kz_luma_levels(10, false), parts,
                                       n_parts) == 0);
    CHECK(kz_backend_cuda.wait(device, 0) == 0);
    const int half = device->half;
    kz_backend_cuda.close_canvas(&canvas);
    kz_backend_cuda.close(&device);
    kz_resample_close(&r);
    kz_free(values);
    return half;
}

/* Each of the cells as of the whole, and nothing else. */
static void check_cells(const kz_plane *whole, const kz_plane *some, const bool *computed)
{
    for (int y = 0; y < whole->height; y++)
        for (int x = 0; x < whole->width; x++) {
            const unsigned short expected = ((unsigned short *)kz_plane_row(whole, y))[x];
            const bool is_there = computed[y / CELL * CELLS_X + x / CELL];
            CHECK(((unsigned short *)kz_plane_row(some, y))[x] == (is_there ? expected : 0x5555));
        }
}

static void cells_are_scaled_as_the_whole(void)
{
    enum { KINDS = 4 }; /* a block, stripes, many anywhere, few */
    kz_plane whole = open_plane(CELLS_X * CELL, CELLS_Y * CELL, 2), some = whole;
    kz_rect parts[CELLS_X * CELLS_Y];
    bool computed[CELLS_X * CELLS_Y];
    unsigned seed = 5;
    some.data = kz_alloc((size_t)whole.stride, (size_t)whole.height);
    CHECK(some.data);
    scale_cells(&whole, NULL, 0);
    for (int kind = 0; kind < KINDS; kind++) {
        const float least = kind == 2 ? 0 : 0.85f;
        int n = 0;
        for (int i = 0; i < CELLS_X * CELLS_Y; i++) {
            const int x = i % CELLS_X, y = i / CELLS_X;
            const bool block = x / 2 == 5 && y / 2 == 3;
            computed[i] = kind == 0 ? block : kind == 1 ? x % 2 == 0 : random_unit(&seed) > least;
            if (computed[i])
                parts[n++] = (kz_rect){x * CELL, y * CELL, (x + 1) * CELL, (y + 1) * CELL};
        }
        const int half = scale_cells(&some, parts, n);
        CHECK(kind > 0 || half == 1); /* four cells were one */
        check_cells(&whole, &some, computed);
    }
    kz_free(whole.data);
    kz_free(some.data);
}

static const struct check_case cases[] = {
    {"pictures overlap in any order", pictures_overlap_in_any_order},
    {"small pictures have two sides", small_pictures_have_two_sides},
    {"tables are there for both sides", tables_are_there_for_both_sides},
    {"cells are scaled as the whole", cells_are_scaled_as_the_whole},
};

CHECK_MAIN(cases)
