/* Reuse against computing everything, on random pictures with random edits; its parts alone. The
 * engine's own networks are held against the full one by `kizuna bench --reuse`.
 * $KIZUNA_CPU_LEVEL runs the CPU back end at a lower level, $KIZUNA_SEED other pictures. */
#include <math.h>

#include "cpu_level.h"
#include "repeater.h"
#include "upscale/anchors.h"
#include "upscale/regions.h"
#include "upscale/steady.h"

/* Built twice: the second time with the CUDA back end in host memory, which is slow. */
#if defined(KZ_TEST_CUDA)
#include "cuda/device.h"
static const kz_backend *const backends[] = {&kz_backend_cuda};
#else
static const kz_backend *const backends[] = {&kz_backend_reference, &kz_backend_cpu};
#endif

enum { N_BACKENDS = sizeof(backends) / sizeof(backends[0]) };

/* ---- pictures ---- */

/* A rectangle anywhere gets other samples, near the old ones or far. */
static void edit(struct movie *m, int most_change)
{
    int x = random_below(&m->seed, m->width), y = random_below(&m->seed, m->height);
    int w = 1 + random_below(&m->seed, m->width - x), h = 1 + random_below(&m->seed, m->height - y);
    if (random_below(&m->seed, 3)) {
        w = w > 9 ? 9 : w;
        h = h > 9 ? 9 : h;
    }
    for (int row = y; row < y + h; row++)
        for (int column = x; column < x + w; column++) {
            uint8_t *sample = &m->data[row * m->width + column];
            int value = *sample + (int)(random_unit(&m->seed) * (float)(most_change + 1));
            *sample = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
}

/* ---- an upscaler and its output ---- */

struct run {
    kz_device *device;
    kz_upscaler *upscaler;
    uint16_t *out;
    int width, height;
};

struct setting {
    const kz_backend *backend;
    kz_graph *graph;
    int width, height, out_width, out_height;
    int threads, tile;
    enum kz_precision precision;
};

static struct run open_run(const struct setting *s, enum kz_reuse_mode mode, double tolerance)
{
    struct run r = {.width = s->out_width, .height = s->out_height};
    kz_device_params device = {.threads = s->threads, .level = level()};
    CHECK(s->backend->open(&r.device, &device, NULL) == 0);
    kz_upscaler_params params = {.backend = s->backend,
                                 .device = r.device,
                                 .graph = s->graph,
                                 .luma = {0.2126f, 0.7152f, 0.0722f},
                                 .in = {s->width, s->height, 1, 0, 0, 8, false, KZ_SITE_LEFT},
                                 .out = {r.width, r.height, 1, 0, 0, 10, false, KZ_SITE_LEFT},
                                 .precision = s->precision,
                                 .tile = s->tile,
                                 .halo = 6,
                                 .reuse_halo = 6,
                                 .reuse = mode,
                                 .reuse_tolerance = tolerance};
    CHECK(kz_upscaler_open(&r.upscaler, &params, NULL) == 0);
    r.out = kz_alloc((size_t)r.width * (size_t)r.height, sizeof(*r.out));
    CHECK(r.out);
    return r;
}

static void close_run(const struct setting *s, struct run *r)
{
    kz_upscaler_close(&r->upscaler);
    s->backend->close(&r->device);
    kz_free(r->out);
}

static void upscale(struct run *r, const struct movie *m)
{
    kz_picture in = {.plane = {plane_of(m->data, m->width, m->height, 1)}, .planes = 1};
    kz_picture out = {.plane = {plane_of(r->out, r->width, r->height, 2)}, .planes = 1};
    CHECK(kz_upscaler_run(r->upscaler, &in, &out) == 0);
}

static void adopt(struct run *r, const struct movie *m, const struct run *from)
{
    kz_picture in = {.plane = {plane_of(m->data, m->width, m->height, 1)}, .planes = 1};
    kz_picture out = {.plane = {plane_of(from->out, r->width, r->height, 2)}, .planes = 1};
    CHECK(kz_upscaler_adopt(r->upscaler, &in, &out) == 0);
}

static bool equal(const struct run *a, const struct run *b)
{
    return memcmp(a->out, b->out, (size_t)a->width * (size_t)a->height * sizeof(*a->out)) == 0;
}

/* ---- exact ---- */

static void compare_exact(const struct setting *s, unsigned seed)
{
    struct run off = open_run(s, KZ_REUSE_OFF, 0), exact = open_run(s, KZ_REUSE_EXACT, 0);
    struct movie m = open_movie(s->width, s->height, seed);
    for (int frame = 0; frame < 24; frame++) {
        for (int i = random_below(&m.seed, 3); i > 0; i--)
            edit(&m, 60);
        upscale(&off, &m);
        memset(exact.out, 0x55, (size_t)exact.width * (size_t)exact.height * sizeof(*exact.out));
        upscale(&exact, &m);
        CHECK(equal(&off, &exact));
    }
    kz_reuse_stats stats = kz_upscaler_get_stats(exact.upscaler);
    CHECK(stats.frames == 24 && stats.computed_pixels < stats.all_pixels);
    kz_free(m.data);
    close_run(s, &off);
    close_run(s, &exact);
}

static void exact_is_off_to_the_bit(void)
{
    kz_graph *graph = random_srvgg(1, 8, 2, 3);
    for (int b = 0; b < N_BACKENDS; b++) {
        struct setting s = {backends[b], graph, 75, 53, 150, 106, 2, 0, KZ_PRECISION_FP32};
        compare_exact(&s, seed_of(1));
        s.tile = 30;
        compare_exact(&s, seed_of(2));
        s.out_width =
            109; /* the network's output is resampled: what lies between tiles is shared */
        s.out_height = 77;
        compare_exact(&s, seed_of(3));
    }
    kz_graph_close(&graph);
}

/* ---- near ---- */

/* ThreadSanitizer takes ten times as long, and looks at who touches what, not at what comes out. */
#if defined(__SANITIZE_THREAD__) || defined(KZ_TEST_CUDA)
enum { LONG_CASE = 4 };
#else
enum { LONG_CASE = 20 };
#endif

/* Without a tolerance only what is equal around it is reused; the network sees no farther. */
static void near_without_tolerance_is_off(void)
{
    kz_graph *graph = random_srvgg(1, 8, 2, 4);
    static const int tiles[] = {0, 64, 18}; /* whole; some pieces; too small for pieces */
    for (int b = 0; b < N_BACKENDS; b++)
        for (int kind = 0; kind < 6; kind++) {
            struct setting s = {backends[b],      graph, 143, 101, 286, 202, 2, tiles[kind / 2],
                                KZ_PRECISION_FP32};
            if (kind % 2) {
                s.out_width = 215;
                s.out_height = 152;
            }
            struct run off = open_run(&s, KZ_REUSE_OFF, 0), near = open_run(&s, KZ_REUSE_NEAR, 0);
            struct movie m = open_movie(s.width, s.height, seed_of(5));
            for (int frame = 0; frame < LONG_CASE; frame++) {
                upscale(&off, &m);
                upscale(&near, &m);
                int most = 0;
                for (int i = 0; i < off.width * off.height; i++)
                    most =
                        abs(off.out[i] - near.out[i]) > most ? abs(off.out[i] - near.out[i]) : most;
                CHECK(most <= 1); /* rounding, where a part's pixels are grouped otherwise */
                edit(&m, 60);
            }
            kz_reuse_stats stats = kz_upscaler_get_stats(near.upscaler);
            /* The first picture counts, too: of few it is too many. */
            CHECK(LONG_CASE < 20 || s.tile == 18 || stats.computed_pixels < 0.9 * stats.all_pixels);
            kz_free(m.data);
            close_run(&s, &off);
            close_run(&s, &near);
        }
    kz_graph_close(&graph);
}

/* What is reused is the anchor's output, which is off by the tolerance at most, and the enlarged
 * difference, which is no larger. So no output is farther from the true one than two tolerances,
 * what a held drawing may be off by and what the dither adds, however long ago the anchor was. Were
 * something compared with what was reused itself, it would be off by the sum of all changes. */
static void no_input_leaves_its_anchor(void)
{
    for (int tolerance = 0; tolerance <= 6; tolerance += 2) {
        struct movie m = open_movie(150, 90, seed_of(7 + (unsigned)tolerance));
        struct repeater r;
        open_repeater(&r, m.width, m.height, tolerance);
        int walk = 1;
        for (int frame = 0; frame < 150; frame++) {
            repeat(&r, &m);
            for (int y = 0; y < 2 * m.height; y++)
                for (int x = 0; x < 2 * m.width; x++) {
                    int off = r.out[y * 2 * m.width + x] - m.data[y / 2 * m.width + x / 2];
                    CHECK(abs(off) <= (2 + KZ_STEADY_SHARE) * tolerance + 1);
                }
            if (frame % 60 == 59)
                walk = -walk;
            for (int i = 0; i < m.width * m.height && frame % 3 == 0; i++)
                m.data[i] = (uint8_t)(m.data[i] + (m.data[i] > 30 && m.data[i] < 220 ? walk : 0));
            edit(&m, frame % 4 ? 3 : 90);
        }
        kz_reuse_stats stats = kz_reuse_get_stats(r.reuse);
        CHECK(tolerance == 0 || stats.new_cells < stats.cells / 2);
        kz_free(m.data);
        close_repeater(&r);
    }
}

/* A-B-A: what was seen two drawings ago is known. */
static void older_drawings_are_known(void)
{
    struct movie a = open_movie(96, 64, seed_of(11)), b = open_movie(96, 64, seed_of(12));
    struct movie c = open_movie(96, 64, seed_of(13));
    struct repeater r;
    open_repeater(&r, 96, 64, 3);
    const struct movie *order[] = {&a, &b, &c, &a, &c, &b, &a};
    for (int i = 0; i < 7; i++)
        repeat(&r, order[i]);
    kz_reuse_stats stats = kz_reuse_get_stats(r.reuse);
    CHECK(stats.new_cells == 3 * 6 && stats.cells == 7 * 6);
    kz_free(a.data);
    kz_free(b.data);
    kz_free(c.data);
    close_repeater(&r);
}

/* Noise leaves the mean where it was; a fade doesn't, however small its steps. */
static void fades_are_computed(void)
{
    struct movie m = open_movie(96, 64, seed_of(14));
    struct repeater r;
    open_repeater(&r, 96, 64, 5);
    repeat(&r, &m);
    for (int i = 0; i < m.width * m.height; i++)
        m.data[i] = (uint8_t)(m.data[i] + ((i + i / m.width) % 2 ? 4 : -4));
    repeat(&r, &m);
    CHECK(kz_reuse_get_stats(r.reuse).new_cells == 6);
    for (int i = 0; i < m.width * m.height; i++)
        m.data[i] = (uint8_t)(m.data[i] + (i % 3 == 0));
    repeat(&r, &m);
    CHECK(kz_reuse_get_stats(r.reuse).new_cells == 12);
    kz_free(m.data);
    close_repeater(&r);
}

/* ---- the same bytes ---- */

static kz_graph *wild_graph(void)
{
    kz_graph *graph = random_srvgg(2, 32, 2, 21);
    return graph;
}

static void threads_dont_matter(void)
{
    kz_graph *graph = wild_graph();
    struct setting s = {&kz_backend_cpu, graph, 203, 131, 406, 262, 1, 0, KZ_PRECISION_AUTO};
    struct run runs[3];
    struct movie m = open_movie(s.width, s.height, seed_of(31));
    for (int i = 0; i < 3; i++) {
        s.threads = 1 + 2 * i;
        runs[i] = open_run(&s, KZ_REUSE_NEAR, 8);
    }
    for (int frame = 0; frame < 12; frame++) {
        for (int i = 0; i < 3; i++)
            upscale(&runs[i], &m);
        CHECK(equal(&runs[0], &runs[1]) && equal(&runs[0], &runs[2]));
        edit(&m, frame % 3 ? 8 : 60);
    }
    for (int i = 0; i < 3; i++)
        close_run(&s, &runs[i]);
    kz_free(m.data);
    kz_graph_close(&graph);
}

static bool meet(const kz_tile *a, const kz_tile *b)
{
    return a->own_x0 < b->own_x1 && b->own_x0 < a->own_x1 && a->own_y0 < b->own_y1 &&
           b->own_y0 < a->own_y1;
}

static int runs_made;

static int run_apart(kz_plan *plan, const kz_run *run)
{
    for (int i = 0; i < run->n_tiles; i++)
        for (int j = 0; j < i; j++)
            CHECK(!meet(&run->tiles[i], &run->tiles[j]));
    runs_made++;
    return kz_backend_reference.run(plan, run);
}

/* A row and a column of cells, as two regions; where the picture is scaled after the network, both
 * have a margin. Tiles of one run are computed in any order. */
static void regions_that_meet_are_made_in_turn(void)
{
    kz_graph *graph = wild_graph();
    kz_backend apart = kz_backend_reference;
    struct setting s = {&apart, graph, 400, 400, 600, 600, 2, 120, KZ_PRECISION_FP32};
    struct movie m = open_movie(s.width, s.height, seed_of(37));
    apart.run = run_apart;
    struct run r = open_run(&s, KZ_REUSE_NEAR, 8);
    upscale(&r, &m);
    for (int i = 0; i < s.width; i++)
        m.data[40 * s.width + i] ^= 0x40;
    for (int i = 0; i < s.height; i++)
        m.data[i * s.width + 40] ^= 0x40;
    runs_made = 0;
    upscale(&r, &m);
    CHECK(runs_made > 1);
    close_run(&s, &r);
    kz_free(m.data);
    kz_graph_close(&graph);
}

/* A run that goes on from pictures that another has made, and one that begins anew in the middle.
 */
static void a_run_can_go_on(void)
{
    enum { FRAMES = 400, BEGIN = 25 };
    kz_graph *graph = wild_graph();
    struct setting s = {&kz_backend_cpu, graph, 170, 140, 340, 280, 2, 0, KZ_PRECISION_AUTO};
    struct run whole = open_run(&s, KZ_REUSE_NEAR, 12), kept = open_run(&s, KZ_REUSE_NEAR, 12);
    struct movie m = open_movie(s.width, s.height, seed_of(41));
    for (int frame = 0; frame < FRAMES; frame++) {
        if (frame == BEGIN)
            kz_upscaler_begin(whole.upscaler);
        upscale(&whole, &m);
        if (frame >= BEGIN && random_below(&m.seed, 3)) {
            adopt(&kept, &m, &whole);
        } else if (frame >= BEGIN) {
            upscale(&kept, &m);
            CHECK(equal(&whole, &kept));
        }
        edit(&m, frame % 50 ? 12 : 90);
    }
    kz_reuse_stats stats = kz_upscaler_get_stats(whole.upscaler);
    CHECK(stats.checked_cells > 0 && stats.wrong_cells > 0); /* the verdicts are followed too */
    close_run(&s, &whole);
    close_run(&s, &kept);
    kz_free(m.data);
    kz_graph_close(&graph);
}

/* Held pictures with noise: the error doesn't grow. */
static void nothing_drifts(void)
{
    enum { FRAMES = 2000, EARLY = 10 };
    kz_graph *graph = random_srvgg(1, 8, 2, 51);
    struct setting s = {&kz_backend_cpu, graph, 64, 64, 128, 128, 2, 0, KZ_PRECISION_FP32};
    struct run off = open_run(&s, KZ_REUSE_OFF, 0), near = open_run(&s, KZ_REUSE_NEAR, 3);
    struct movie still = open_movie(s.width, s.height, seed_of(51)), m = still;
    double early = 0, late = 0;
    m.data = kz_alloc((size_t)m.width, (size_t)m.height);
    CHECK(m.data);
    for (int frame = 0; frame < FRAMES; frame++) {
        for (int i = 0; i < m.width * m.height; i++)
            m.data[i] = (uint8_t)(still.data[i] + (int)(random_unit(&m.seed) * 2.999f) / 2);
        upscale(&near, &m);
        bool is_early = frame >= EARLY && frame < 5 * EARLY, is_late = frame >= FRAMES - 4 * EARLY;
        if (!is_early && !is_late)
            continue;
        upscale(&off, &m);
        double sum = 0;
        for (int i = 0; i < off.width * off.height; i++)
            sum += (off.out[i] - near.out[i]) * (off.out[i] - near.out[i]);
        early += is_early ? sum : 0;
        late += is_late ? sum : 0;
    }
    CHECK(early > 0 && late <= 1.05 * early);
    kz_reuse_stats stats = kz_upscaler_get_stats(near.upscaler);
    CHECK(stats.new_cells < 20);
    close_run(&s, &off);
    close_run(&s, &near);
    kz_free(m.data);
    kz_free(still.data);
    kz_graph_close(&graph);
}

/* ---- regions ---- */

enum { MOST_CELLS = 400, MOST_CORNERS = 2 * MOST_CELLS + 2 };

static bool holds_marked(const kz_cells *cells, const bool *marked, kz_rect r)
{
    bool any = false;
    for (int i = 0; i < cells->count; i++) {
        const kz_rect *c = &cells->cells[i].own;
        any |= marked[i] && c->x1 > r.x0 && c->x0 < r.x1 && c->y1 > r.y0 && c->y0 < r.y1;
    }
    return any;
}

/* No cell at its edges is there for nothing. */
static bool is_tight(const kz_cells *cells, const bool *marked, kz_rect r)
{
    return holds_marked(cells, marked, (kz_rect){r.x0, r.y0, r.x1, r.y0 + 1}) &&
           holds_marked(cells, marked, (kz_rect){r.x0, r.y1 - 1, r.x1, r.y1}) &&
           holds_marked(cells, marked, (kz_rect){r.x0, r.y0, r.x0 + 1, r.y1}) &&
           holds_marked(cells, marked, (kz_rect){r.x1 - 1, r.y0, r.x1, r.y1});
}

static void check_regions(kz_cells *cells, const kz_region_costs *costs, unsigned *seed)
{
    bool marked[MOST_CELLS] = {0};
    kz_rect regions[MOST_CELLS];
    int sums[MOST_CORNERS];
    int density = 1 + random_below(seed, 12);
    for (int i = 0; i < cells->count; i++)
        marked[i] = random_below(seed, density) == 0;
    int n = kz_regions_find(regions, cells, marked, costs, sums);
    double sum = 0;
    for (int i = 0; i < n; i++) {
        kz_tile tiles[64];
        int count = kz_region_tiles(costs, regions[i], tiles, 64);
        CHECK(count <= 64 && is_tight(cells, marked, regions[i]));
        sum += kz_region_cost(costs, regions[i]);
        for (int t = 0; t < count; t++) {
            const kz_tile *k = &tiles[t];
            CHECK(k->x >= 0 && k->y >= 0 && k->x + k->width <= costs->width);
            CHECK(k->y + k->height <= costs->height && k->width <= costs->tile_width);
            CHECK(k->height <= costs->tile_height);
            CHECK(k->x == 0 || k->own_x0 - k->x >= costs->halo);
            CHECK(k->y == 0 || k->own_y0 - k->y >= costs->halo);
            CHECK(k->x + k->width == costs->width || k->x + k->width - k->own_x1 >= costs->halo);
            CHECK(k->y + k->height == costs->height || k->y + k->height - k->own_y1 >= costs->halo);
        }
    }
    for (int i = 0; i < cells->count; i++) {
        const kz_rect *c = &cells->cells[i].own;
        int times = 0;
        for (int r = 0; r < n; r++)
            times += c->x0 >= regions[r].x0 && c->x1 <= regions[r].x1 && c->y0 >= regions[r].y0 &&
                     c->y1 <= regions[r].y1;
        CHECK(times <= 1 && (times == 1 || !marked[i]));
    }
    CHECK(sum <= kz_region_cost(costs, (kz_rect){0, 0, costs->width, costs->height}) + 0.5);
}

static void regions_hold_all_that_changed(void)
{
    static const kz_region_costs costs[] = {{500, 301, 18, 500, 301, true},
                                            {500, 301, 18, 280, 301, true},
                                            {500, 301, 18, 500, 301, false},
                                            {500, 301, 18, 130, 120, false}};
    kz_upscale_side in = {500, 301, 1, 0, 0, 8, false, KZ_SITE_LEFT}, out = in;
    kz_resampler *resampler;
    kz_resample_params params = kz_resample_centred(500, 301, 500, 301);
    kz_cells cells;
    unsigned seed = seed_of(61);
    CHECK(kz_resample_open(&resampler, &params) == 0);
    CHECK(kz_cells_even(&cells, &in, &out, 32, 8, resampler) == 0 && cells.count <= MOST_CELLS);
    for (int i = 0; i < 400; i++)
        check_regions(&cells, &costs[i % 4], &seed);
    kz_cells_close(&cells);
    kz_resample_close(&resampler);
}

/* Two spots far apart aren't computed as one; a ring of cells not as what it encloses. */
static void regions_leave_out_what_is_still(void)
{
    kz_upscale_side in = {640, 640, 1, 0, 0, 8, false, KZ_SITE_LEFT}, out = in;
    kz_region_costs costs = {640, 640, 8, 640, 640, true};
    kz_resampler *resampler;
    kz_resample_params params = kz_resample_centred(640, 640, 640, 640);
    kz_cells cells;
    bool marked[MOST_CELLS] = {0};
    kz_rect regions[MOST_CELLS];
    int sums[MOST_CORNERS];
    CHECK(kz_resample_open(&resampler, &params) == 0);
    CHECK(kz_cells_even(&cells, &in, &out, 32, 8, resampler) == 0 && cells.count == 400);
    marked[0] = marked[399] = true;
    CHECK(kz_regions_find(regions, &cells, marked, &costs, sums) == 2);
    memset(marked, 0, sizeof(marked));
    for (int i = 2; i < 18; i++)
        marked[2 * 20 + i] = marked[17 * 20 + i] = marked[i * 20 + 2] = marked[i * 20 + 17] = true;
    CHECK(kz_regions_find(regions, &cells, marked, &costs, sums) == 4);
    kz_cells_close(&cells);
    kz_resample_close(&resampler);
}

/* ---- two pictures under way ---- */

/* The planes of two pictures. */
struct pair {
    uint8_t *in[2], *out[2];
    int width, height;
};

static void finish_one(kz_reuse *reuse, const struct pair *p, int which, const uint8_t *expected)
{
    kz_plane out = plane_of(p->out[which], 2 * p->width, 2 * p->height, 1);
    kz_reuse_finish(reuse, &out, false);
    CHECK(memcmp(p->out[which], expected, (size_t)(4 * p->width * p->height)) == 0);
}

static bool equal_stats(kz_reuse_stats a, kz_reuse_stats b)
{
    return a.frames == b.frames && a.cells == b.cells && a.new_cells == b.new_cells &&
           a.checked_cells == b.checked_cells && a.wrong_cells == b.wrong_cells &&
           a.computed_pixels == b.computed_pixels && a.all_pixels == b.all_pixels &&
           a.error_sum == b.error_sum && a.worst_error == b.worst_error;
}

/* The next picture is decided before the last one is finished, where that has nothing to tell. */
static void deciding_early_changes_nothing(void)
{
    enum { FRAMES = 300, WIDTH = 300, HEIGHT = 200, BYTES = WIDTH * HEIGHT };
    struct movie m = open_movie(WIDTH, HEIGHT, seed_of(71));
    struct repeater serial, early;
    struct pair p = {.width = WIDTH, .height = HEIGHT};
    uint8_t *expected[2];
    int open = 0, waits = 0;
    open_repeater(&serial, WIDTH, HEIGHT, 14);
    open_repeater(&early, WIDTH, HEIGHT, 14);
    for (int i = 0; i < 2; i++) {
        p.in[i] = kz_alloc(BYTES, 1);
        p.out[i] = kz_alloc(BYTES, 4);
        expected[i] = kz_alloc(BYTES, 4);
        CHECK(p.in[i] && p.out[i] && expected[i]);
    }
    for (int frame = 0; frame < FRAMES; frame++) {
        const int now = frame % 2, before = 1 - now;
        repeat(&serial, &m);
        memcpy(p.in[now], m.data, BYTES);
        memset(p.out[now], 0x55, 4 * BYTES);
        if (open && !kz_reuse_can_decide(early.reuse)) {
            finish_one(early.reuse, &p, before, expected[before]);
            open--;
            waits++;
        }
        memcpy(expected[now], serial.out, 4 * BYTES);
        kz_plane in = plane_of(p.in[now], WIDTH, HEIGHT, 1);
        kz_plane out = plane_of(p.out[now], 2 * WIDTH, 2 * HEIGHT, 1);
        kz_reuse_task task;
        CHECK(kz_reuse_decide(early.reuse, &in, &out, &task) == 0);
        expand(&early, p.out[now], &m, &task);
        if (open++) {
            finish_one(early.reuse, &p, before, expected[before]);
            open--;
        }
        edit(&m, frame % 50 ? 12 : 90);
    }
    finish_one(early.reuse, &p, (FRAMES - 1) % 2, expected[(FRAMES - 1) % 2]);
    CHECK(equal_stats(kz_reuse_get_stats(serial.reuse), kz_reuse_get_stats(early.reuse)));
    CHECK(waits > 0 && waits < FRAMES / 2 && kz_reuse_get_stats(early.reuse).wrong_cells > 0);
    for (int i = 0; i < 2; i++) {
        kz_free(p.in[i]);
        kz_free(p.out[i]);
        kz_free(expected[i]);
    }
    kz_free(m.data);
    close_repeater(&serial);
    close_repeater(&early);
}

/* What a device that works meanwhile makes, against one picture after the other. */
static void overlap(const struct setting *s, enum kz_reuse_mode mode, unsigned seed)
{
    enum { FRAMES = 7 };
    struct run serial = open_run(s, mode, 9), both = open_run(s, mode, 9);
    struct movie m = open_movie(s->width, s->height, seed), shown[2];
    const size_t bytes = (size_t)s->out_width * (size_t)s->out_height * sizeof(*serial.out);
    uint16_t *out[2], *expected[2];
    CHECK(kz_upscaler_overlaps(both.upscaler));
    for (int i = 0; i < 2; i++) {
        shown[i] = open_movie(s->width, s->height, 1);
        out[i] = kz_alloc(bytes, 1);
        expected[i] = kz_alloc(bytes, 1);
        CHECK(out[i] && expected[i]);
    }
    for (int frame = 0; frame < FRAMES + 1; frame++) {
        const int now = frame % 2, before = 1 - now;
        if (frame < FRAMES) {
            upscale(&serial, &m);
            memcpy(expected[now], serial.out, bytes);
            memcpy(shown[now].data, m.data, (size_t)m.width * (size_t)m.height);
            memset(out[now], 0x55, bytes);
            kz_picture in = {.plane = {plane_of(shown[now].data, m.width, m.height, 1)},
                             .planes = 1};
            kz_picture to = {.plane = {plane_of(out[now], s->out_width, s->out_height, 2)},
                             .planes = 1};
            CHECK(kz_upscaler_start(both.upscaler, &in, &to) == 0);
        }
        if (frame > 0) {
            CHECK(kz_upscaler_finish(both.upscaler) == 0);
            CHECK(memcmp(out[before], expected[before], bytes) == 0);
            memset(shown[before].data, 0xaa, (size_t)m.width * (size_t)m.height);
        }
        edit(&m, frame % 3 ? 9 : 60);
    }
    CHECK(
        equal_stats(kz_upscaler_get_stats(serial.upscaler), kz_upscaler_get_stats(both.upscaler)));
    for (int i = 0; i < 2; i++) {
        kz_free(shown[i].data);
        kz_free(out[i]);
        kz_free(expected[i]);
    }
    kz_free(m.data);
    close_run(s, &serial);
    close_run(s, &both);
}

static void pictures_overlap(void)
{
    kz_graph *graph = random_srvgg(1, 8, 2, 3);
    for (int b = 0; b < N_BACKENDS; b++)
        for (unsigned i = 0; i < 8 && backends[b]->wait; i++) {
            struct setting s = {backends[b],      graph, 75, 53, 150, 106, 2, i % 2 ? 40 : 0,
                                KZ_PRECISION_AUTO};
            char order[16];
            if (i / 2 % 2) {
                s.out_width = 109;
                s.out_height = 77;
            }
            snprintf(order, sizeof(order), "%u", seed_of(i));
            setenv("KIZUNA_TWIN_ORDER", order, 1);
            overlap(&s, i / 4 ? KZ_REUSE_EXACT : KZ_REUSE_NEAR, seed_of(81 + i));
            unsetenv("KIZUNA_TWIN_ORDER");
        }
    kz_graph_close(&graph);
}

static const struct check_case cases[] = {
    {"exact is off to the bit", exact_is_off_to_the_bit},
    {"near without tolerance is off", near_without_tolerance_is_off},
    {"no input leaves its anchor", no_input_leaves_its_anchor},
    {"older drawings are known", older_drawings_are_known},
    {"fades are computed", fades_are_computed},
    {"threads don't matter", threads_dont_matter},
    {"regions that meet are made in turn", regions_that_meet_are_made_in_turn},
    {"a run can go on", a_run_can_go_on},
    {"nothing drifts", nothing_drifts},
    {"regions hold all that changed", regions_hold_all_that_changed},
    {"regions leave out what is still", regions_leave_out_what_is_still},
    {"deciding early changes nothing", deciding_early_changes_nothing},
    {"pictures overlap", pictures_overlap},
};

CHECK_CASES(cases)

int main(int argc, char **argv)
{
    return run_cases(argc, argv);
}
