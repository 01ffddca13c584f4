#include "backend/march/shape.h"

#include "base/mem.h"

/* Rows of the picture that each node may go on by before the next node's turn. */
enum { STRIDE = 4 };

/* Whether all rows that the node needs for its next call are there. */
static bool is_ready(const kz_march_walk *w, const kz_march_node *node, int y)
{
    int values[KZ_KERNEL_INPUTS + KZ_KERNEL_RESIDUALS], n = 0;
    for (int i = 0; i < node->n_inputs; i++)
        values[n++] = node->inputs[i];
    for (int i = 0; i < node->n_residuals; i++)
        values[n++] = node->residuals[i];
    for (int i = 0; i < n; i++) {
        int producer = w->shape->values[values[i]].producer, first, end;
        if (producer < w->group->first)
            continue;
        kz_march_rows_read(node, values[i], y, w->rects, &first, &end);
        if (w->next[producer] < end)
            return false;
    }
    return true;
}

static int step_node(kz_march_walk *w, int n, int (*call)(void *context, int node, int y),
                     void *context)
{
    const kz_march_node *node = &w->shape->nodes[n];
    const kz_rect *rect = &w->rects[node->output];
    int stop = w->next[n] + STRIDE * w->shape->values[node->output].scale;
    while (w->next[n] < rect->y1 && w->next[n] < stop && is_ready(w, node, w->next[n])) {
        int error = call(context, n, w->next[n]);
        if (error)
            return error;
        w->next[n] += kz_march_out_rows(node);
    }
    return 0;
}

static bool is_done(const kz_march_walk *w)
{
    for (int n = w->group->first; n < w->group->end; n++)
        if (w->next[n] < w->rects[w->shape->nodes[n].output].y1)
            return false;
    return true;
}

int kz_march_walk_cell(kz_march_walk *w, int (*call)(void *context, int node, int y), void *context)
{
    for (int n = w->group->first; n < w->group->end; n++)
        w->next[n] = w->rects[w->shape->nodes[n].output].y0;
    while (!is_done(w))
        for (int n = w->group->first; n < w->group->end; n++) {
            int error = step_node(w, n, call, context);
            if (error)
                return error;
        }
    return 0;
}

/* ---- rings ---- */

struct sizing {
    kz_march_shape *shape;
    kz_march_walk walk;
};

/* The oldest row of the value that a node of the group has still to read. */
static int oldest_row(const struct sizing *z, int value)
{
    int oldest = z->walk.rects[value].y1;
    for (int n = z->walk.group->first; n < z->walk.group->end; n++) {
        const kz_march_node *node = &z->shape->nodes[n];
        int y = z->walk.next[n], first, end;
        if (y >= z->walk.rects[node->output].y1)
            continue;
        if (!kz_march_has_input(node, value) && !kz_march_has_residual(node, value))
            continue;
        kz_march_rows_read(node, value, y, z->walk.rects, &first, &end);
        oldest = first < oldest ? first : oldest;
    }
    return oldest;
}

static int note_call(void *context, int n, int y)
{
    struct sizing *z = context;
    kz_march_value *out = &z->shape->values[z->shape->nodes[n].output];
    int oldest = oldest_row(z, z->shape->nodes[n].output);
    int end = y + kz_march_out_rows(&z->shape->nodes[n]);
    oldest = oldest < y ? oldest : y;
    if (end - oldest > out->ring_rows)
        out->ring_rows = end - oldest;
    return 0;
}

static void note_widths(kz_march_shape *s, const kz_march_group *g, const kz_rect *rects)
{
    for (int v = 0; v < s->n_values; v++) {
        int pitch = rects[v].x1 - rects[v].x0 + KZ_MARCH_LEFT + KZ_MARCH_RIGHT;
        size_t bytes = (size_t)pitch * kz_march_pixel(&s->values[v]);
        if (rects[v].x1 > rects[v].x0 && bytes > s->zero_bytes)
            s->zero_bytes = bytes;
        if (s->values[v].producer >= g->first && pitch > s->values[v].ring_pitch)
            s->values[v].ring_pitch = pitch;
    }
}

static void place_rings(kz_march_shape *s, kz_march_group *g)
{
    for (int n = g->first; n < g->end; n++) {
        kz_march_value *v = &s->values[s->nodes[n].output];
        if (!v->ringed)
            continue;
        v->ring_pitch = (v->ring_pitch + 15) / 16 * 16;
        if ((size_t)v->ring_pitch * kz_march_pixel(v) % 4096 == 0)
            v->ring_pitch += 16;
        v->ring_offset = g->ring_bytes;
        g->ring_bytes += (size_t)(v->blocks * v->ring_rows * v->ring_pitch) * kz_march_pixel(v);
    }
    if (g->ring_bytes > s->ring_bytes)
        s->ring_bytes = g->ring_bytes;
}

/* Taps of a direct convolution, and multiplications per output pixel and pair of channels. */
static double taps(const kz_march_node *node)
{
    return node->kind == KZ_KERNEL_SHUFFLE ? 0 : node->kind == KZ_KERNEL_PHASE ? 4 : 9;
}

static double executed_taps(const kz_march_node *node)
{
    const kz_kernel_ops *ops = node->kernel.ops;
    if (!ops->positions)
        return taps(node);
    return (double)kz_kernel_positions(ops) / (ops->out_rows * ops->out_rows);
}

static void count_macs(kz_march_shape *s, const kz_march_group *g, const kz_rect *rects)
{
    for (int n = g->first; n < g->end; n++) {
        kz_march_node *node = &s->nodes[n];
        const kz_rect *r = &rects[node->output];
        double pixels = (double)(r->x1 - r->x0) * (r->y1 - r->y0);
        int channels = 0;
        for (int i = 0; i < (node->kind == KZ_KERNEL_END ? 1 : node->n_inputs); i++)
            channels += s->values[node->inputs[i]].channels;
        double macs = pixels * taps(node) * channels * s->values[node->output].channels;
        node->macs += macs;
        int outputs = node->kind == KZ_KERNEL_END ? 1 : node->kernel.out_lanes;
        node->executed += pixels * executed_taps(node) * node->kernel.in_lanes * outputs;
        s->macs += macs;
    }
}

int kz_march_size_rings(kz_march_shape *s)
{
    kz_rect *rects = kz_alloc((size_t)s->n_values, sizeof(*rects));
    int *next = kz_alloc((size_t)s->n_nodes, sizeof(*next));
    for (int i = 0; i < s->n_groups && rects && next; i++) {
        kz_march_group *g = &s->groups[i];
        struct sizing z = {s, {s, g, rects, next}};
        for (int c = 0; c < g->columns * g->rows; c++) {
            kz_march_needs(s, g, kz_march_cell(g, c), rects);
            kz_march_walk_cell(&z.walk, note_call, &z);
            note_widths(s, g, rects);
            count_macs(s, g, rects);
        }
        place_rings(s, g);
    }
    bool failed = !rects || !next;
    kz_free(rects);
    kz_free(next);
    return failed ? KZ_ERROR_MEMORY : 0;
}
