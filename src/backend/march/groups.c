#include "backend/march/shape.h"

#include "base/mem.h"

/* ---- groups ---- */

/* Layers of a group at most: the halo that its cells recompute grows with them. */
enum { MOST_LAYERS = 6 };

/* Pixels of the picture across a cell, at most; fewer where the group enlarges it. A small network
 * is one group: its planes would take longer through memory than a layer takes, and its cells are
 * wide because its halo is that of all its layers. */
enum { WIDTH = 320, TAIL_WIDTH = 80, SMALL_WIDTH = 640 };

static bool is_read(const kz_march_shape *s, int value, int first, int end)
{
    for (int n = first; n < end; n++)
        if (kz_march_has_input(&s->nodes[n], value) || kz_march_has_residual(&s->nodes[n], value))
            return true;
    return false;
}

/* Bytes per pixel of the picture that a group of these nodes reads of earlier groups' values and
 * writes for later ones. */
static double passing(const kz_march_shape *s, int first, int end)
{
    double bytes = 0;
    for (int v = 0; v < s->n_values; v++) {
        const kz_march_value *value = &s->values[v];
        bool reads = value->producer < first && is_read(s, v, first, end);
        bool writes =
            value->producer >= first && value->producer < end && value->last_reader >= end;
        if (reads || writes)
            bytes += (double)(value->scale * value->scale * value->blocks) *
                     (double)kz_march_pixel(value);
    }
    return bytes;
}

/* The way to cut all nodes behind a node for which the least passes through memory. */
struct rest {
    double bytes;
    int end; /* of the first group */
};

/* rest[n_nodes + 1], from the last node to the first. Of equals the longest group. */
static void find_ends(const kz_march_shape *s, struct rest *rest)
{
    const int most = s->is_small ? s->n_nodes : MOST_LAYERS;
    for (int first = s->n_nodes - 1; first >= 0; first--)
        for (int end = first + 1; end <= s->n_nodes && end <= first + most; end++) {
            double bytes = passing(s, first, end) + rest[end].bytes;
            if (!rest[first].end || bytes <= rest[first].bytes)
                rest[first] = (struct rest){bytes, end};
        }
}

static int greatest_common(int a, int b)
{
    return b ? greatest_common(b, a % b) : a;
}

static int largest_scale(const kz_march_shape *s, const kz_march_group *g)
{
    int scale = 1;
    for (int n = g->first; n < g->end; n++)
        if (s->values[s->nodes[n].output].scale > scale)
            scale = s->values[s->nodes[n].output].scale;
    return scale;
}

int kz_march_cell_width(const kz_march_shape *s, const kz_march_group *g)
{
    if (s->is_small)
        return SMALL_WIDTH;
    return largest_scale(s, g) > 1 ? TAIL_WIDTH : WIDTH;
}

static void mark_values(kz_march_shape *s, int group)
{
    const kz_march_group *g = &s->groups[group];
    for (int n = g->first; n < g->end; n++) {
        kz_march_value *out = &s->values[s->nodes[n].output];
        out->stored = out->last_reader >= g->end;
        out->ringed = s->nodes[n].output == s->result;
        for (int m = n + 1; m < g->end; m++)
            out->ringed |= kz_march_has_input(&s->nodes[m], s->nodes[n].output) ||
                           kz_march_has_residual(&s->nodes[m], s->nodes[n].output);
    }
}

int kz_march_group_nodes(kz_march_shape *s)
{
    struct rest *rest = kz_alloc((size_t)s->n_nodes + 1, sizeof(*rest));
    if (!rest)
        return KZ_ERROR_MEMORY;
    find_ends(s, rest);
    s->values[0].stored = true;
    for (int first = 0; first < s->n_nodes; first = rest[first].end) {
        kz_march_group *g = &s->groups[s->n_groups];
        *g = (kz_march_group){.first = first, .end = rest[first].end};
        mark_values(s, s->n_groups++);
    }
    kz_free(rest);
    return 0;
}

/* ---- cells ---- */

kz_rect kz_march_cell(const kz_march_group *g, int index)
{
    int x = g->needed.x0 + index % g->columns * g->cell_width;
    int y = g->needed.y0 + index / g->columns * g->cell_height;
    int x1 = x + g->cell_width, y1 = y + g->cell_height;
    return (kz_rect){x, y, x1 < g->needed.x1 ? x1 : g->needed.x1,
                     y1 < g->needed.y1 ? y1 : g->needed.y1};
}

static int round_down(int x, int step)
{
    return x / step * step;
}

static int round_up(int x, int step)
{
    return (x + step - 1) / step * step;
}

static void unite(kz_rect *to, kz_rect r)
{
    if (to->x1 <= to->x0) {
        *to = r;
        return;
    }
    to->x0 = r.x0 < to->x0 ? r.x0 : to->x0;
    to->y0 = r.y0 < to->y0 ? r.y0 : to->y0;
    to->x1 = r.x1 > to->x1 ? r.x1 : to->x1;
    to->y1 = r.y1 > to->y1 ? r.y1 : to->y1;
}

static kz_rect clip(const kz_march_shape *s, const kz_march_value *v, kz_rect r)
{
    int width = s->params.width * v->scale, height = s->params.height * v->scale;
    return (kz_rect){r.x0 > 0 ? r.x0 : 0, r.y0 > 0 ? r.y0 : 0, r.x1 < width ? r.x1 : width,
                     r.y1 < height ? r.y1 : height};
}

void kz_march_needs(const kz_march_shape *s, const kz_march_group *g, kz_rect cell, kz_rect *rects)
{
    for (int v = 0; v < s->n_values; v++)
        rects[v] = (kz_rect){0};
    for (int n = g->end - 1; n >= g->first; n--) {
        const kz_march_node *node = &s->nodes[n];
        const kz_march_value *out = &s->values[node->output];
        kz_rect *r = &rects[node->output];
        if (out->stored || node->output == s->result)
            unite(r, (kz_rect){cell.x0 * out->scale, cell.y0 * out->scale, cell.x1 * out->scale,
                               cell.y1 * out->scale});
        int grain = kz_march_grain(node), rows = kz_march_out_rows(node), f = node->factor;
        kz_rect whole = {round_down(r->x0, grain), round_down(r->y0, rows), round_up(r->x1, grain),
                         round_up(r->y1, rows)};
        kz_rect read = {whole.x0 / f - kz_march_reach(node), whole.y0 / f - kz_march_reach(node),
                        whole.x1 / f + kz_march_reach(node), whole.y1 / f + kz_march_reach(node)};
        *r = clip(s, out, whole);
        for (int i = 0; i < node->n_inputs; i++)
            unite(&rects[node->inputs[i]], clip(s, &s->values[node->inputs[i]], read));
        for (int i = 0; i < node->n_residuals; i++)
            unite(&rects[node->residuals[i]], *r);
    }
}

/* The picture's part that a part of a value takes. */
static kz_rect in_picture(const kz_march_value *v, kz_rect r)
{
    return (kz_rect){r.x0 / v->scale, r.y0 / v->scale, (r.x1 + v->scale - 1) / v->scale,
                     (r.y1 + v->scale - 1) / v->scale};
}

/* From the result backwards: `read` is what later groups read of each value, pixels of the picture.
 * All that a group makes is made for the same cells. */
static void find_needed(kz_march_shape *s, kz_march_group *g, kz_rect *read, kz_rect *rects)
{
    for (int n = g->first; n < g->end; n++)
        if (read[s->nodes[n].output].x1 > read[s->nodes[n].output].x0)
            unite(&g->needed, read[s->nodes[n].output]);
    g->needed.x0 = round_down(g->needed.x0, KZ_TILE_STEP); /* as whole pictures' cells begin */
    g->needed.y0 = round_down(g->needed.y0, KZ_TILE_STEP);
    kz_march_needs(s, g, g->needed, rects);
    for (int v = 0; v < s->n_values; v++)
        if (s->values[v].producer < g->first && rects[v].x1 > rects[v].x0)
            unite(&read[v], in_picture(&s->values[v], rects[v]));
}

/* Into so many columns, and as many rows as keep all threads busy. */
static void cut_into(const kz_march_shape *s, kz_march_group *g, int columns)
{
    int width = g->needed.x1 - g->needed.x0, height = g->needed.y1 - g->needed.y0;
    int rows = s->params.threads / greatest_common(columns, s->params.threads);
    g->cell_width = ((width + columns - 1) / columns + KZ_MARCH_CELL - 1) & -KZ_MARCH_CELL;
    g->cell_height = ((height + rows - 1) / rows + KZ_MARCH_CELL - 1) & -KZ_MARCH_CELL;
    g->columns = (width + g->cell_width - 1) / g->cell_width;
    g->rows = (height + g->cell_height - 1) / g->cell_height;
}

/* Pixels of all values of the group that the busiest thread makes if all cells are as large as the
 * largest; `rects` is overwritten. */
static double busiest(const kz_march_shape *s, const kz_march_group *g, kz_rect *rects)
{
    const int cells = g->columns * g->rows, threads = s->params.threads;
    double most = 0;
    for (int c = 0; c < cells; c++) {
        double made = 0;
        kz_march_needs(s, g, kz_march_cell(g, c), rects);
        for (int n = g->first; n < g->end; n++) {
            const kz_rect *r = &rects[s->nodes[n].output];
            made += (double)(r->x1 - r->x0) * (r->y1 - r->y0);
        }
        most = made > most ? made : most;
    }
    return most * ((cells + threads - 1) / threads);
}

/* Cells are no wider than suits the cache, and of those that are up to half as wide the ones are
 * taken that recompute least: four columns may be better than three, each in two halves. */
static void cut_cells(const kz_march_shape *s, kz_march_group *g, kz_rect *rects)
{
    const int most = kz_march_cell_width(s, g);
    const int least = (g->needed.x1 - g->needed.x0 + most - 1) / most;
    double fewest = 0;
    int best = least;
    for (int columns = least; columns <= 2 * least; columns++) {
        cut_into(s, g, columns);
        double pixels = busiest(s, g, rects);
        if (columns == least || pixels < fewest) {
            fewest = pixels;
            best = columns;
        }
    }
    cut_into(s, g, best);
}

int kz_march_cut_groups(kz_march_shape *s)
{
    kz_rect *rects = kz_alloc((size_t)s->n_values * 2, sizeof(*rects));
    kz_rect *read = rects + s->n_values;
    if (!rects)
        return KZ_ERROR_MEMORY;
    read[s->result] = s->own;
    for (int i = s->n_groups - 1; i >= 0; i--) {
        kz_march_group *g = &s->groups[i];
        g->needed = (kz_rect){0};
        find_needed(s, g, read, rects);
        cut_cells(s, g, rects);
    }
    kz_free(rects);
    return 0;
}

void kz_march_rows_read(const kz_march_node *node, int value, int y, const kz_rect *rects,
                        int *first, int *end)
{
    bool input = kz_march_has_input(node, value);
    int made = y + kz_march_out_rows(node);
    *first = input ? y / node->factor - kz_march_reach(node) : y;
    *end = input ? *first + node->kernel.ops->in_rows : made;
    if (input && kz_march_has_residual(node, value) && made > *end)
        *end = made;
    if (*end > rects[value].y1)
        *end = rects[value].y1;
}
