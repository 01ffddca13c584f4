#include "upscale/reuse.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "upscale/steady.h"

/* Samples of the input. Small cells follow closely what moves: docs/reuse.md. */
enum { CELL = 32, HALO = 8 };

/* Cells of a block are checked together, so that they share the halo they are computed with. */
enum { BLOCK = 4 };

/* NEAR: code values of 8 bit, in the mean. Beyond it the cell is on a fade, where a codec's noise
 * is new in every frame, and what the network makes of it is no little change: docs/reuse.md. */
#define MOST_SHIFT 0.25

/* Of all cells: with more of them to compute, the whole picture is no dearer. */
#define MOST_MARKED 0.7

struct state {
    int anchor;    /* that it is like; -1: there is none, it has to be computed */
    bool checked;  /* it has one and is computed to see how far that is off */
    bool computed; /* for its own sake, or since it lies in a region with such cells */
    bool wrong;    /* it was checked, and is too far off */
    double error;  /* it was checked: root mean square, code values of 8 bit */
    int kept_as;   /* computed: the anchor that it becomes */
};

/* NEAR: a cell's output in the last picture that was finished. */
struct last {
    int anchor; /* that it is or was made of; -1: there is none */
    int slot;   /* where it lies */
};

/* What was decided about a picture. */
struct look {
    struct state *states; /* [count] */
    kz_tile *tiles;       /* [most_tiles] */
    kz_reuse_task task;
    kz_plane in;
    int frame;
    bool remembers; /* its input is among the anchors */
    bool checks;    /* some cells */
};

struct kz_reuse {
    kz_reuse_params params;
    kz_cells cells;
    kz_anchors *anchors;  /* NULL until the first picture */
    kz_change change;     /* NEAR */
    struct last *last;    /* [count] */
    struct look looks[2]; /* of the last two pictures */
    int decided;          /* of them, the last that was */
    int open;             /* that aren't finished: 0 … 2 */
    bool *marked;         /* [count] */
    kz_rect *regions;     /* [count] */
    int *sums;            /* [corners of cells] */
    int most_tiles;
    int frame;        /* since the segment's beginning, from 1 */
    double tolerance; /* now */
    float *scratch;   /* of all workers */
    size_t scratch_floats;
    kz_reuse_stats stats;
};

static bool is_near(const kz_reuse *r)
{
    return r->params.mode == KZ_REUSE_NEAR;
}

/* The first that isn't finished; where all are, the last. */
static struct look *first_look(kz_reuse *r)
{
    return &r->looks[r->open == 2 ? 1 - r->decided : r->decided];
}

static const struct look *finished_look(const kz_reuse *r)
{
    return &r->looks[r->open == 1 ? 1 - r->decided : r->decided];
}

/* ---- life ---- */

static int open_cells(kz_reuse *r)
{
    const kz_reuse_params *p = &r->params;
    if (!is_near(r))
        return kz_cells_of_tiles(&r->cells, &p->in, &p->out, p->tiles, p->columns, p->rows,
                                 p->margin > 0);
    int error = kz_change_open(&r->change, &p->in, &p->out);
    if (!error)
        error = kz_cells_even(&r->cells, &p->in, &p->out, CELL, HALO, r->change.resampler);
    if (!error)
        r->scratch_floats = (kz_change_scratch(&r->change, &r->cells) + 15) & ~(size_t)15;
    return error;
}

/* A worker's scratch also holds a checked cell's output, as floats at most. */
static size_t saved_floats(const kz_reuse *r)
{
    return is_near(r) ? (r->cells.most_out + 15) & ~(size_t)15 : 0;
}

static int allocate(kz_reuse *r)
{
    size_t count = (size_t)r->cells.count;
    size_t threads = (size_t)r->params.backend->threads(r->params.device);
    kz_rect all = {0, 0, r->params.in.width, r->params.in.height};
    r->most_tiles = r->cells.count;
    if (is_near(r) && kz_regions_fit(&r->params.costs))
        r->most_tiles += kz_region_tiles(&r->params.costs, all, NULL, 0);
    bool there = true;
    for (int i = 0; i < 2; i++) {
        struct look *l = &r->looks[i];
        l->states = kz_alloc(count, sizeof(*l->states));
        l->tiles = kz_alloc((size_t)r->most_tiles, sizeof(*l->tiles));
        there = there && l->states && l->tiles;
    }
    r->last = kz_alloc(count, sizeof(*r->last));
    r->marked = kz_alloc(count, sizeof(*r->marked));
    r->regions = kz_alloc(count, sizeof(*r->regions));
    r->sums =
        kz_alloc(((size_t)r->cells.columns + 1) * ((size_t)r->cells.rows + 1), sizeof(*r->sums));
    r->scratch_floats += saved_floats(r);
    r->scratch = kz_alloc(r->scratch_floats * threads, sizeof(*r->scratch));
    return there && r->last && r->marked && r->regions && r->sums && r->scratch ? 0
                                                                                : KZ_ERROR_MEMORY;
}

int kz_reuse_open(kz_reuse **reuse, const kz_reuse_params *params)
{
    kz_reuse *r = *reuse = kz_alloc(1, sizeof(*r));
    if (!r)
        return KZ_ERROR_MEMORY;
    r->params = *params;
    int error = open_cells(r);
    if (!error)
        error = allocate(r);
    if (error)
        kz_reuse_close(reuse);
    else
        kz_reuse_begin(r);
    return error;
}

void kz_reuse_close(kz_reuse **reuse)
{
    kz_reuse *r = *reuse;
    if (!r)
        return;
    kz_anchors_close(&r->anchors);
    kz_change_close(&r->change);
    kz_cells_close(&r->cells);
    for (int i = 0; i < 2; i++) {
        kz_free(r->looks[i].states);
        kz_free(r->looks[i].tiles);
    }
    kz_free(r->last);
    kz_free(r->marked);
    kz_free(r->regions);
    kz_free(r->sums);
    kz_free(r->scratch);
    kz_free(r);
    *reuse = NULL;
}

size_t kz_reuse_memory(const kz_reuse *r, int in_bytes, int out_bytes)
{
    size_t threads = (size_t)r->params.backend->threads(r->params.device);
    kz_plane in = {.width = r->params.in.width, .height = r->params.in.height, .bytes = in_bytes};
    kz_plane out = {
        .width = r->params.out.width, .height = r->params.out.height, .bytes = out_bytes};
    return kz_anchors_memory(&r->cells, &in, &out, is_near(r)) +
           r->scratch_floats * threads * sizeof(float);
}

void kz_reuse_begin(kz_reuse *r)
{
    if (r->anchors)
        kz_anchors_clear(r->anchors);
    for (int i = 0; i < r->cells.count; i++)
        r->last[i] = (struct last){-1, -1};
    r->frame = 0;
    r->open = 0;
    r->tolerance = is_near(r) ? r->params.tolerance : 0;
}

/* ---- what to compute ---- */

struct pass {
    kz_reuse *reuse;
    struct look *look;
    const kz_plane *out;
    bool kept;
};

static void find_anchor(void *context, int worker, int item)
{
    const struct pass *p = context;
    kz_reuse *r = p->reuse;
    const kz_plane *in = &p->look->in;
    const kz_likeness most = {r->tolerance * kz_plane_unit(in), MOST_SHIFT * kz_plane_unit(in)};
    (void)worker;
    p->look->states[item] =
        (struct state){.anchor = kz_anchors_find(r->anchors, item, in, most, p->look->frame)};
}

/* Spreads neighbouring numbers evenly: the end of MurmurHash3 (A. Appleby). */
static uint32_t mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

static bool is_checked(const kz_reuse *r, int cell)
{
    uint32_t x = (uint32_t)(cell % r->cells.columns / BLOCK);
    uint32_t y = (uint32_t)(cell / r->cells.columns / BLOCK);
    return is_near(r) && mix(mix((uint32_t)r->frame) + (y << 16) + x) % 256 == 0;
}

/* Returns how many cells have to be computed. */
static int mark_cells(kz_reuse *r, struct look *l)
{
    int marked = 0;
    l->checks = false;
    for (int i = 0; i < r->cells.count; i++) {
        struct state *s = &l->states[i];
        s->checked = s->anchor >= 0 && is_checked(r, i);
        s->computed = r->marked[i] = s->anchor < 0 || s->checked;
        marked += r->marked[i];
        l->checks = l->checks || s->checked;
    }
    return marked;
}

/* EXACT: the tiles as they are. */
static int list_marked_tiles(kz_reuse *r, struct look *l)
{
    int n = 0;
    for (int i = 0; i < r->cells.count; i++)
        if (r->marked[i])
            l->tiles[n++] = r->params.tiles[i];
    return n;
}

/* What lies in a region is there for nothing. */
static void take_region(const kz_reuse *r, struct look *l, const kz_rect *region)
{
    const int columns = r->cells.columns;
    for (int y = 0; y < r->cells.rows; y++) {
        const kz_cell *row = &r->cells.cells[y * columns];
        if (row->own.y0 < region->y0 || row->own.y1 > region->y1)
            continue;
        for (int x = 0; x < columns; x++)
            l->states[y * columns + x].computed |=
                row[x].own.x0 >= region->x0 && row[x].own.x1 <= region->x1;
    }
}

static kz_rect with_margin(const kz_reuse *r, kz_rect region)
{
    const int more = r->params.margin;
    const kz_upscale_side *in = &r->params.in;
    return (kz_rect){region.x0 > more ? region.x0 - more : 0,
                     region.y0 > more ? region.y0 - more : 0,
                     region.x1 + more < in->width ? region.x1 + more : in->width,
                     region.y1 + more < in->height ? region.y1 + more : in->height};
}

/* NEAR: -1 where the whole picture is no dearer. */
static int list_regions(kz_reuse *r, struct look *l, int marked)
{
    const kz_region_costs *costs = &r->params.costs;
    double sum = 0, whole = 0;
    if (marked > MOST_MARKED * r->cells.count || !kz_regions_fit(costs))
        return -1;
    for (int i = 0; i < r->params.columns * r->params.rows; i++)
        whole += kz_tile_cost(&r->params.tiles[i]);
    int regions = kz_regions_find(r->regions, &r->cells, r->marked, costs, r->sums), n = 0;
    for (int i = 0; i < regions && n < r->most_tiles; i++) {
        kz_rect region = with_margin(r, r->regions[i]);
        take_region(r, l, &r->regions[i]);
        sum += kz_region_cost(costs, region);
        n += kz_region_tiles(costs, region, l->tiles + n, r->most_tiles - n);
    }
    return sum >= whole || n > r->most_tiles ? -1 : n;
}

static int list_tiles(kz_reuse *r, struct look *l, int marked)
{
    if (!marked)
        return 0;
    if (is_near(r))
        return list_regions(r, l, marked);
    return r->params.margin ? -1 : list_marked_tiles(r, l);
}

static void remember_input(void *context, int worker, int item)
{
    const struct pass *p = context;
    struct state *s = &p->look->states[item];
    (void)worker;
    if (s->computed)
        s->kept_as =
            kz_anchors_put_input(p->reuse->anchors, item, &p->look->in, s->anchor, p->look->frame);
}

/* Before the next picture is looked at; after that all that was reused is in its place. */
static void remember(kz_reuse *r, struct look *l)
{
    struct pass pass = {.reuse = r, .look = l};
    if (!l->remembers)
        r->params.backend->each(r->params.device, r->cells.count, remember_input, &pass);
    l->remembers = true;
}

bool kz_reuse_can_decide(const kz_reuse *r)
{
    return r->open == 0 || (r->open == 1 && !r->looks[r->decided].checks);
}

/* The next picture's. */
static struct look *open_look(kz_reuse *r, const kz_plane *in)
{
    if (r->open)
        remember(r, &r->looks[r->decided]);
    r->decided = 1 - r->decided;
    r->open++;
    struct look *l = &r->looks[r->decided];
    l->in = *in;
    l->frame = ++r->frame;
    l->remembers = false;
    return l;
}

int kz_reuse_decide(kz_reuse *r, const kz_plane *in, const kz_plane *out, kz_reuse_task *task)
{
    const kz_rect all = {0, 0, in->width, in->height};
    if (!r->anchors && kz_anchors_open(&r->anchors, &r->cells, in, out, is_near(r)))
        return KZ_ERROR_MEMORY;
    struct look *l = open_look(r, in);
    struct pass pass = {.reuse = r, .look = l};
    r->params.backend->each(r->params.device, r->cells.count, find_anchor, &pass);
    int n = list_tiles(r, l, mark_cells(r, l));
    l->task = (kz_reuse_task){.tiles = l->tiles, .n_tiles = n};
    if (n < 0)
        take_region(r, l, &all);
    if (n < 0)
        l->task = (kz_reuse_task){r->params.tiles, r->params.columns * r->params.rows};
    *task = l->task;
    return 0;
}

bool kz_reuse_is_computed(const kz_reuse *r, int cell)
{
    return r->looks[r->decided].states[cell].computed;
}

/* ---- results ---- */

static double sample_of(const void *row, int bytes, int x)
{
    if (bytes == 1)
        return ((const uint8_t *)row)[x];
    return bytes == 2 ? ((const uint16_t *)row)[x] : (double)((const float *)row)[x];
}

/* Root mean square, code values of 8 bit. */
static double error_of(const kz_plane *a, const kz_plane *b)
{
    double sum = 0;
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++) {
            double d = sample_of(kz_plane_row(a, y), a->bytes, x) -
                       sample_of(kz_plane_row(b, y), b->bytes, x);
            sum += d * d;
        }
    return a->width && a->height ? sqrt(sum / ((double)a->width * a->height)) / kz_plane_unit(a)
                                 : 0;
}

static kz_change_task task_of(const kz_reuse *r, int cell, const struct pass *p, int slot,
                              float *scratch)
{
    return (kz_change_task){.anchors = r->anchors,
                            .cell = &r->cells.cells[cell],
                            .index = cell,
                            .slot = slot,
                            .in = &p->look->in,
                            .out = p->out,
                            .scratch = scratch};
}

static void render(const kz_reuse *r, int cell, const struct pass *p, float *scratch)
{
    const kz_change_task task = task_of(r, cell, p, p->look->states[cell].anchor, scratch);
    kz_change_render(&r->change, &task);
}

/* `out` has what was computed, and keeps it. */
static void check_cell(kz_reuse *r, int cell, const struct pass *p, float *scratch)
{
    struct state *s = &p->look->states[cell];
    const kz_plane out = kz_plane_part(p->out, r->cells.cells[cell].out);
    kz_plane computed = out;
    computed.data = scratch;
    computed.stride = (ptrdiff_t)out.width * out.bytes;
    kz_plane_copy(&out, &computed);
    render(r, cell, p, scratch + saved_floats(r));
    s->error = error_of(&out, &computed);
    s->wrong = s->error > KZ_REUSE_RMS;
    kz_plane_copy(&computed, &out);
}

static void check_one(void *context, int worker, int item)
{
    const struct pass *p = context;
    kz_reuse *r = p->reuse;
    if (p->look->states[item].checked)
        check_cell(r, item, p, r->scratch + r->scratch_floats * (size_t)worker);
}

static bool follows_the_same(const kz_reuse *r, int cell, const struct state *s)
{
    return r->last[cell].anchor >= 0 && !s->computed && s->anchor == r->last[cell].anchor;
}

/* What follows the same anchor as before changes by the enlarged change of its input as it is. What
 * is checked takes what came out: whoever goes on from it checks it again. */
static void make_near(kz_reuse *r, int cell, const struct pass *p, float *scratch)
{
    const struct state *s = &p->look->states[cell];
    const double most = KZ_STEADY_SHARE * r->tolerance * kz_plane_unit(p->out);
    if (!s->computed)
        render(r, cell, p, scratch);
    if (most <= 0 || r->last[cell].anchor < 0 || s->checked || follows_the_same(r, cell, s))
        return;
    const kz_change_task task = task_of(r, cell, p, r->last[cell].slot, scratch);
    kz_steady_hold(&r->change, &task, most);
}

/* What is computed lies among the anchors anyway. */
static void remember_last(kz_reuse *r, int cell, const struct pass *p)
{
    const struct state *s = &p->look->states[cell];
    const int anchor = s->computed ? s->kept_as : s->anchor;
    const int slot = s->computed ? s->kept_as : KZ_ANCHOR_LAST;
    r->last[cell] = (struct last){anchor, slot};
    kz_anchors_put_last(r->anchors, cell, &p->look->in);
    kz_anchors_put_output(r->anchors, cell, slot, p->out);
}

static void finish_near(void *context, int worker, int item)
{
    const struct pass *p = context;
    kz_reuse *r = p->reuse;
    if (!p->out)
        return;
    if (follows_the_same(r, item, &p->look->states[item]) &&
        kz_anchors_is_last(r->anchors, item, &p->look->in)) {
        if (!p->kept)
            kz_anchors_copy(r->anchors, item, r->last[item].slot, p->out);
        return;
    }
    if (!p->kept)
        make_near(r, item, p, r->scratch + r->scratch_floats * (size_t)worker);
    remember_last(r, item, p);
}

static void finish_exact(void *context, int worker, int item)
{
    const struct pass *p = context;
    const struct state *s = &p->look->states[item];
    (void)worker;
    if (s->computed && p->out)
        kz_anchors_put_output(p->reuse->anchors, item, s->kept_as, p->out);
    else if (!s->computed && !p->kept)
        kz_anchors_copy(p->reuse->anchors, item, s->anchor, p->out);
}

static void count_task(kz_reuse *r, const kz_reuse_task *task)
{
    for (int i = 0; i < task->n_tiles; i++)
        r->stats.computed_pixels += (double)task->tiles[i].width * task->tiles[i].height;
    for (int i = 0; i < r->params.columns * r->params.rows; i++)
        r->stats.all_pixels += (double)r->params.tiles[i].width * r->params.tiles[i].height;
    r->stats.frames++;
}

static void count_cells(kz_reuse *r, const struct look *l)
{
    for (int i = 0; i < r->cells.count; i++)
        r->stats.new_cells += l->states[i].anchor < 0;
    r->stats.cells += r->cells.count;
}

static void count_checks(kz_reuse *r, const struct look *l)
{
    bool wrong = false;
    for (int i = 0; i < r->cells.count; i++) {
        const struct state *s = &l->states[i];
        if (!s->checked)
            continue;
        wrong |= s->wrong;
        r->stats.checked_cells++;
        r->stats.wrong_cells += s->wrong;
        r->stats.error_sum += s->error;
        r->stats.worst_error = fmax(r->stats.worst_error, s->error);
    }
    if (wrong && r->tolerance > 0)
        r->tolerance -= 1;
}

/* Checked cells are held against what their anchors make of them before these are replaced. */
void kz_reuse_finish(kz_reuse *r, const kz_plane *out, bool kept)
{
    struct look *l = first_look(r);
    struct pass pass = {.reuse = r, .look = l, .out = out, .kept = kept};
    const kz_backend *backend = r->params.backend;
    if (l->checks && out)
        backend->each(r->params.device, r->cells.count, check_one, &pass);
    remember(r, l);
    backend->each(r->params.device, r->cells.count, is_near(r) ? finish_near : finish_exact, &pass);
    count_task(r, &l->task);
    count_cells(r, l);
    if (out)
        count_checks(r, l);
    r->open--;
}

/* ---- for looking at ---- */

enum kz_reuse_why kz_reuse_why(const kz_reuse *r, int cell)
{
    const struct state *s = &finished_look(r)->states[cell];
    return s->anchor < 0 ? KZ_REUSE_NEW
           : s->checked  ? KZ_REUSE_CHECKED
           : s->computed ? KZ_REUSE_BESIDE
                         : KZ_REUSED;
}

const kz_cells *kz_reuse_cells(const kz_reuse *r)
{
    return &r->cells;
}

const kz_reuse_task *kz_reuse_last_task(const kz_reuse *r)
{
    return &finished_look(r)->task;
}

kz_reuse_stats kz_reuse_get_stats(const kz_reuse *r)
{
    return r->stats;
}
