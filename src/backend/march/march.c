#include "backend/march/march.h"

#include <string.h>

#include "backend/march/shape.h"
#include "base/mem.h"
#include "base/thread.h"
#include "model/flat.h"

enum { MOST_ROWS = 8 }; /* of one call */

/* What one thread has for itself. */
struct worker {
    char *rings, *scratch;
    kz_rect *rects;  /* [n_values] */
    int *next;       /* [n_nodes] */
    double *seconds; /* [n_nodes] in all runs */
};

struct kz_march {
    kz_march_shape shape; /* laid out for the tile that ran last */
    kz_march_room room;
    size_t memory; /* bytes */
    char *weights, *planes, *zeros;
    char *own;   /* the workers' rings and scratch */
    char *notes; /* the workers' rects, next and seconds */
    struct worker *workers;
    long runs;
};

/* ---- life ---- */

/* Whole cache lines: no two workers write into the same one. */
static size_t lines(size_t bytes)
{
    return (bytes + KZ_ALIGNMENT - 1) & -(size_t)KZ_ALIGNMENT;
}

static size_t worker_bytes(const kz_march_room *room)
{
    return lines(room->ring_bytes + room->scratch_bytes);
}

static size_t memory_of(const kz_march_shape *s, const kz_march_room *room)
{
    return room->plane_bytes + room->zero_bytes + s->weight_bytes +
           worker_bytes(room) * (size_t)s->params.threads;
}

/* Greys that weights are to be right for: black to white. */
enum { FLATS = 9 };

static int open_flats(kz_flat **flats, const kz_graph *graph)
{
    float greys[FLATS];
    int error = kz_flat_open(flats, graph, FLATS);
    for (int i = 0; i < FLATS; i++)
        greys[i] = (float)(i + 1) / (FLATS + 1);
    if (!error)
        kz_flat_run(*flats, greys);
    return error;
}

/* `flats` NULL: no weights are rounded. */
static int pack_kernel(kz_march_node *node, const kz_march_shape *s, const kz_graph *graph,
                       const kz_flat *flats, char *weights)
{
    const kz_node *from = &graph->nodes[node->graph_node];
    float *slopes = kz_alloc((size_t)from->channels, sizeof(float));
    if (!slopes)
        return KZ_ERROR_MEMORY;
    kz_kernel_params params = kz_march_kernel_params(s, graph, node, slopes);
    if (flats) {
        params.flat = kz_flat_values(flats, from->inputs[0]);
        params.n_flat = FLATS;
    }
    kz_kernel_pack(&node->kernel, node->kernel.ops, &params, weights);
    kz_free(slopes);
    return 0;
}

static int pack_kernels(kz_march *m, const kz_graph *graph)
{
    kz_march_shape *s = &m->shape;
    kz_flat *flats = NULL;
    char *weights = m->weights = kz_alloc_raw(s->weight_bytes, 1);
    int error = weights ? 0 : KZ_ERROR_MEMORY;
    if (!error && s->params.precision == KZ_PRECISION_BF16)
        error = open_flats(&flats, graph);
    for (int n = 0; n < s->n_nodes && !error; n++) {
        error = pack_kernel(&s->nodes[n], s, graph, flats, weights);
        weights += s->nodes[n].kernel.bytes;
    }
    kz_flat_close(&flats);
    return error;
}

static void place_worker(kz_march *m, struct worker *w, size_t index, char *notes)
{
    const kz_march_shape *s = &m->shape;
    w->rings = m->own + index * worker_bytes(&m->room);
    w->scratch = w->rings + m->room.ring_bytes;
    w->rects = (kz_rect *)(void *)notes;
    notes += lines((size_t)s->n_values * sizeof(*w->rects));
    w->next = (int *)(void *)notes;
    notes += lines((size_t)s->n_nodes * sizeof(*w->next));
    w->seconds = (double *)(void *)notes;
}

static int allocate(kz_march *m)
{
    const kz_march_shape *s = &m->shape;
    const kz_march_room *room = &m->room;
    const struct worker *w = NULL;
    size_t threads = (size_t)s->params.threads;
    size_t note_bytes = lines((size_t)s->n_values * sizeof(*w->rects)) +
                        lines((size_t)s->n_nodes * sizeof(*w->next)) +
                        lines((size_t)s->n_nodes * sizeof(*w->seconds));
    m->planes = kz_alloc_raw(room->plane_bytes, 1);
    m->zeros = kz_alloc(room->zero_bytes, 1);
    m->own = kz_alloc_raw(worker_bytes(room), threads); /* written by its worker first */
    m->notes = kz_alloc(note_bytes, threads);
    m->workers = kz_alloc(threads, sizeof(*m->workers));
    if (!m->planes || !m->zeros || !m->own || !m->notes || !m->workers)
        return KZ_ERROR_MEMORY;
    for (size_t i = 0; i < threads; i++)
        place_worker(m, &m->workers[i], i, m->notes + i * note_bytes);
    return 0;
}

/* Planes that share their memory have one shape, and so the same place. */
static bool is_cleared(const kz_march_shape *s, int value)
{
    for (int v = 0; v < value; v++)
        if (s->values[v].offset == s->values[value].offset)
            return true;
    return !s->values[value].stored;
}

/* A band of rows of every plane: by the worker that will have about the same part of the picture,
 * so that the memory lies near it. */
static void clear_band(void *context, int worker, int item)
{
    const kz_march *m = context;
    const kz_march_shape *s = &m->shape;
    (void)worker;
    for (int v = 0; v < s->n_values; v++) {
        const kz_march_value *value = &s->values[v];
        if (is_cleared(s, v))
            continue;
        size_t row = (size_t)kz_march_plane_pitch(s, value) * kz_march_pixel(value);
        long height = (long)s->params.height * value->scale;
        size_t y0 = (size_t)(height * item / s->params.threads);
        size_t y1 = (size_t)(height * (item + 1) / s->params.threads);
        for (int b = 0; b < value->blocks; b++)
            memset(m->planes + value->offset + ((size_t)b * (size_t)height + y0) * row, 0,
                   (y1 - y0) * row);
    }
}

int kz_march_open(kz_march **march, const kz_graph *graph, const kz_march_params *params,
                  kz_pool *pool)
{
    kz_march *m = *march = kz_alloc(1, sizeof(*m));
    if (!m)
        return KZ_ERROR_MEMORY;
    int error = kz_march_shape_open(&m->shape, graph, params);
    if (!error)
        error = kz_march_find_room(&m->room, &m->shape);
    if (!error)
        error = pack_kernels(m, graph);
    if (!error)
        error = allocate(m);
    m->memory = memory_of(&m->shape, &m->room);
    if (!error)
        kz_pool_run(pool, params->threads, clear_band, m);
    if (error)
        kz_march_close(march);
    return error;
}

void kz_march_close(kz_march **march)
{
    kz_march *m = *march;
    if (!m)
        return;
    kz_march_shape_close(&m->shape);
    kz_free(m->weights);
    kz_free(m->planes);
    kz_free(m->zeros);
    kz_free(m->own);
    kz_free(m->notes);
    kz_free(m->workers);
    kz_free(m);
    *march = NULL;
}

size_t kz_march_memory(const kz_march *m)
{
    return m->memory;
}

int kz_march_need(size_t *bytes, const kz_graph *graph, const kz_march_params *params)
{
    kz_march_shape shape;
    kz_march_room room;
    int error = kz_march_shape_open(&shape, graph, params);
    if (error)
        return error;
    error = kz_march_find_room(&room, &shape);
    *bytes = memory_of(&shape, &room);
    kz_march_shape_close(&shape);
    return error;
}

double kz_march_macs(const kz_march *m)
{
    return m->shape.macs;
}

int kz_march_layers(const kz_march *m, kz_layer *layers, int most)
{
    const kz_march_shape *s = &m->shape;
    for (int n = 0; n < s->n_nodes && n < most; n++) {
        const kz_march_node *node = &s->nodes[n];
        layers[n] = (kz_layer){
            .kernel = node->kernel.ops->name, .macs = node->macs, .executed = node->executed};
        memcpy(layers[n].name, node->name, sizeof(node->name));
        for (int i = 0; i < s->params.threads && m->runs; i++)
            layers[n].seconds += m->workers[i].seconds[n] / (double)m->runs;
    }
    return s->n_nodes;
}

/* ---- pointers ---- */

struct cell_run {
    const kz_march *march;
    const kz_run *run;
    const struct worker *worker;
    const kz_march_group *group;
    kz_tile tile;
    kz_rect cell;
};

/* Row y of a block at column x, in the ring or in the plane. Column x may be KZ_MARCH_LEFT left of
 * what there is. */
static char *locate(const struct cell_run *c, int value, bool ring, int block, int y, int x)
{
    const kz_march_shape *s = &c->march->shape;
    const kz_march_value *v = &s->values[value];
    if (y < 0 || y >= s->params.height * v->scale)
        return c->march->zeros;
    char *base = c->march->planes + v->offset;
    int rows = s->params.height * v->scale, pitch = kz_march_plane_pitch(s, v), left = 0;
    if (ring) {
        base = c->worker->rings + v->ring_offset;
        rows = v->ring_rows;
        pitch = v->ring_pitch;
        left = c->worker->rects[value].x0;
        y %= rows;
    }
    size_t pixel = ((size_t)block * (size_t)rows + (size_t)y) * (size_t)pitch;
    return base + (pixel + (size_t)(x - left + KZ_MARCH_LEFT)) * kz_march_pixel(v);
}

/* Values of this group that it reads itself are read from their rings. */
static bool in_ring(const struct cell_run *c, int value)
{
    return c->march->shape.values[value].producer >= c->group->first;
}

struct pointers {
    const void *src[MOST_ROWS * KZ_MARCH_BLOCKS];
    void *dst[MOST_ROWS * KZ_MARCH_BLOCKS];
    const void *residuals[KZ_KERNEL_RESIDUALS * MOST_ROWS * KZ_MARCH_BLOCKS];
};

static void point_inputs(struct pointers *to, const struct cell_run *c, const kz_march_node *node,
                         int y)
{
    int n = 0, reach = kz_march_reach(node);
    int x = c->worker->rects[node->output].x0 / node->factor - reach;
    for (int row = 0; row < node->kernel.ops->in_rows; row++)
        for (int i = 0; i < node->n_inputs; i++) {
            int value = node->inputs[i];
            for (int b = 0; b < c->march->shape.values[value].blocks; b++)
                to->src[n++] =
                    locate(c, value, in_ring(c, value), b, y / node->factor - reach + row, x);
        }
    if (node->kind == KZ_KERNEL_SHUFFLE && node->n_inputs == 1)
        to->src[1] = NULL;
}

static void point_outputs(struct pointers *to, const struct cell_run *c, const kz_march_node *node,
                          int y, int rows)
{
    const kz_march_value *out = &c->march->shape.values[node->output];
    int x = c->worker->rects[node->output].x0, n = 0;
    for (int row = 0; row < rows; row++)
        for (int b = 0; b < out->blocks; b++)
            to->dst[n++] = locate(c, node->output, out->ringed, b, y + row, x);
    n = 0;
    for (int r = 0; r < node->n_residuals; r++) {
        int value = node->residuals[r];
        for (int row = 0; row < kz_march_out_rows(node); row++)
            for (int b = 0; b < out->blocks; b++)
                to->residuals[n++] = locate(c, value, in_ring(c, value), b, y + row, x);
    }
}

/* ---- results ---- */

/* The part of rows y … that the cell decides goes to the plane too. */
static void store_rows(const struct cell_run *c, int value, int y, int rows)
{
    const kz_march_value *v = &c->march->shape.values[value];
    int x = c->cell.x0 * v->scale, width = (c->cell.x1 - c->cell.x0) * v->scale;
    for (int row = y; row < y + rows; row++)
        for (int b = 0; b < v->blocks; b++)
            if (row >= c->cell.y0 * v->scale && row < c->cell.y1 * v->scale)
                memcpy(locate(c, value, false, b, row, x), locate(c, value, true, b, row, x),
                       (size_t)width * kz_march_pixel(v));
}

/* What both the cell and the tile decide goes into the picture. */
static void emit_rows(const struct cell_run *c, int y, int rows)
{
    const kz_march_shape *s = &c->march->shape;
    const kz_tile *t = &c->tile;
    int scale = s->values[s->result].scale;
    int x0 = c->cell.x0 + t->x > t->own_x0 ? c->cell.x0 : t->own_x0 - t->x;
    int x1 = c->cell.x1 + t->x < t->own_x1 ? c->cell.x1 : t->own_x1 - t->x;
    for (int row = y; row < y + rows && x0 < x1; row++) {
        int picture = t->y * scale + row;
        if (picture < t->own_y0 * scale || picture >= t->own_y1 * scale)
            continue;
        float *data = (float *)(void *)locate(c, s->result, true, 0, row, x0 * scale);
        if (c->run->tone)
            kz_kernel_tone_for(s->params.level)(c->run->tone, data, (x1 - x0) * scale);
        kz_levels_store(c->run->dst_levels, c->run->dst, (t->x + x0) * scale, picture,
                        (x1 - x0) * scale, data);
    }
}

/* ---- run ---- */

static int call_kernel(void *context, int n, int y)
{
    const struct cell_run *c = context;
    const kz_march_shape *s = &c->march->shape;
    const kz_march_node *node = &s->nodes[n];
    const kz_rect *rect = &c->worker->rects[node->output];
    struct pointers to;
    int rows = rect->y1 - y < kz_march_out_rows(node) ? rect->y1 - y : kz_march_out_rows(node);
    if (c->run->cancel && atomic_load(c->run->cancel))
        return KZ_ERROR_CANCELLED;
    double began = kz_now();
    point_inputs(&to, c, node, y);
    point_outputs(&to, c, node, y, rows);
    kz_kernel_run run = {.src = to.src,
                         .dst = to.dst,
                         .residuals = to.residuals,
                         .columns = rect->x1 - rect->x0,
                         .rows = rows,
                         .scratch = c->worker->scratch};
    node->kernel.ops->run(&node->kernel, &run);
    if (s->values[node->output].stored && s->values[node->output].ringed)
        store_rows(c, node->output, y, rows);
    if (node->output == s->result)
        emit_rows(c, y, rows);
    c->worker->seconds[n] += kz_now() - began;
    return 0;
}

struct group_run {
    const kz_march *march;
    const kz_run *run;
    const kz_march_group *group;
    kz_tile tile;
    atomic_int error;
};

static void run_cell(void *context, int worker, int item)
{
    struct group_run *g = context;
    const kz_march *m = g->march;
    struct worker *w = &m->workers[worker];
    struct cell_run c = {.march = m,
                         .run = g->run,
                         .worker = w,
                         .group = g->group,
                         .tile = g->tile,
                         .cell = kz_march_cell(g->group, item)};
    kz_march_walk walk = {&m->shape, g->group, w->rects, w->next};
    kz_march_needs(&m->shape, g->group, c.cell, w->rects);
    memset(w->rings, 0, g->group->ring_bytes); /* the columns beside the picture are zero */
    int error = kz_march_walk_cell(&walk, call_kernel, &c);
    if (error)
        atomic_store(&g->error, error);
}

struct load_run {
    const kz_march *march;
    const kz_run *run;
    kz_tile tile;
    int parts;
};

static void load_part(void *context, int worker, int item)
{
    const struct load_run *l = context;
    const kz_march_shape *s = &l->march->shape;
    int height = s->params.height, pitch = kz_march_plane_pitch(s, &s->values[0]);
    float *plane = (float *)(void *)(l->march->planes + s->values[0].offset);
    (void)worker;
    for (int y = height * item / l->parts; y < height * (item + 1) / l->parts; y++)
        kz_levels_load(l->run->src_levels, l->run->src, l->tile.x, l->tile.y + y, s->params.width,
                       plane + (size_t)y * (size_t)pitch + KZ_MARCH_LEFT);
}

/* The columns of zeros lie elsewhere in rows of another length. */
static void clear_margins(kz_march *m)
{
    const kz_march_shape *s = &m->shape;
    for (int i = 0; i < s->n_values; i++) {
        const kz_march_value *v = &s->values[i];
        size_t pitch = (size_t)kz_march_plane_pitch(s, v) * kz_march_pixel(v);
        size_t left = KZ_MARCH_LEFT * kz_march_pixel(v);
        size_t used = left + (size_t)(s->params.width * v->scale) * kz_march_pixel(v);
        char *row = m->planes + v->offset;
        for (int y = 0; v->stored && y < s->params.height * v->scale * v->blocks; y++) {
            memset(row, 0, left);
            memset(row + used, 0, pitch - used);
            row += pitch;
        }
    }
}

/* Lays the march out for this tile, unless it is already. */
static int fit_tile(kz_march *m, kz_tile t)
{
    kz_march_shape *s = &m->shape;
    kz_rect own = {t.own_x0 - t.x, t.own_y0 - t.y, t.own_x1 - t.x, t.own_y1 - t.y};
    if (s->params.width == t.width && s->params.height == t.height &&
        memcmp(&own, &s->own, sizeof(own)) == 0)
        return 0;
    bool same_rows = s->params.width == t.width && s->params.height == t.height;
    int error = kz_march_shape_resize(s, t.width, t.height, own);
    if (error)
        return error;
    if (s->plane_bytes > m->room.plane_bytes || s->ring_bytes > m->room.ring_bytes ||
        s->zero_bytes > m->room.zero_bytes)
        return KZ_ERROR_FAILED; /* larger than the march was opened for */
    if (!same_rows)
        clear_margins(m);
    return 0;
}

int kz_march_run(kz_march *m, kz_pool *pool, const kz_run *run, kz_tile tile)
{
    int unfit = fit_tile(m, tile);
    if (unfit)
        return unfit;
    struct load_run load = {m, run, tile, m->shape.params.threads};
    kz_pool_run(pool, load.parts, load_part, &load);
    for (int i = 0; i < m->shape.n_groups; i++) {
        const kz_march_group *group = &m->shape.groups[i];
        struct group_run g = {.march = m, .run = run, .group = group, .tile = tile};
        kz_pool_run(pool, group->columns * group->rows, run_cell, &g);
        int error = atomic_load(&g.error);
        if (error)
            return error;
    }
    m->runs++;
    return 0;
}
