#include "backend/host.h"

#include <stdatomic.h>
#include <string.h>

#include "backend/kernels/kernel.h"
#include "backend/march/march.h"
#include "backend/split.h"
#include "base/mem.h"
#include "base/thread.h"

/* Rows of the cut value that the part behind the cut takes at once, its halo not counted: enough to
 * make the halo cheap (2 rows on each side for RRDBNet: 12 %), few enough to stay small. */
enum { BAND_ROWS = 32 };

/* A plan may take so much of a computer that does other things too. */
#define ROOM ((size_t)960 << 20)

struct kz_device {
    const kz_net_ops *ops;
    enum kz_cpu_level level;
    bool marches;
    bool bf16_is_slow; /* its products gain nothing over fp32's, which Winograd serves better */
    kz_pool *pool;
    char *line;
    float *scratch; /* threads × scratch_floats, for scaling */
    size_t scratch_floats;
};

struct kz_canvas {
    kz_plane plane;
};

struct kz_plan {
    kz_device *device;
    kz_march *march;     /* or these: */
    kz_net *head, *tail; /* tail may be NULL */
    kz_tiling bands;     /* of the head's output, for the tail */
    int scale;
    kz_plan_info info;
    /* Per worker, one after the other: */
    size_t in_bytes, cut_bytes, band_bytes, out_bytes;
    char *buffers;
};

/* ---- device ---- */

int kz_host_open(kz_device **device, const kz_device_params *params, const kz_host_params *host,
                 kz_log *log)
{
    kz_device *d = *device = kz_alloc(1, sizeof(*d));
    if (!d)
        return kz_fail_memory(log, "the device");
    d->ops = host->ops;
    d->level = host->level;
    d->marches = host->marches;
    d->bf16_is_slow = host->marches && host->level == KZ_CPU_AVX512_BF16 && !kz_cpu_has_fast_bf16();
    int threads = params->threads ? params->threads : kz_cpu_count();
    d->line = kz_asprintf("%s, %d thread%s", host->what, threads, threads == 1 ? "" : "s");
    const kz_pool_params pool = {.threads = threads, .start = host->start};
    int error = d->line ? 0 : kz_fail_memory(log, "the device");
    if (!error)
        error = kz_pool_open(&d->pool, &pool, log);
    if (error)
        kz_host_close(device);
    return error;
}

void kz_host_close(kz_device **device)
{
    kz_device *d = *device;
    if (!d)
        return;
    kz_pool_close(&d->pool);
    kz_free(d->scratch);
    kz_free(d->line);
    kz_free(d);
    *device = NULL;
}

const char *kz_host_describe(const kz_device *device)
{
    return device->line;
}

enum kz_cpu_level kz_host_level(const kz_device *device)
{
    return device->level;
}

int kz_host_threads(const kz_device *device)
{
    return kz_pool_threads(device->pool);
}

size_t kz_host_room(const kz_device *device)
{
    (void)device;
    return ROOM;
}

/* ---- plan ---- */

static kz_net_params head_params(const kz_device *d, const kz_plan_params *params, bool whole)
{
    return (kz_net_params){.width = params->tile_width,
                           .height = params->tile_height,
                           .precision = params->precision,
                           .level = d->level,
                           .workers = kz_pool_threads(d->pool),
                           .planar_in = true,
                           .planar_out = whole};
}

/* Bands of the cut value, which has the tile's size: a cut is made at scale 1. */
static kz_net_params tail_params(const kz_net_params *head, const kz_graph *tail, kz_tiling *bands)
{
    int halo = kz_graph_reach(tail), rows = (head->height + BAND_ROWS - 1) / BAND_ROWS;
    while (!kz_tiling_split(bands, head->width, head->height, 1, rows, halo))
        rows--;
    kz_net_params params = *head;
    params.height = bands->tile_height;
    params.planar_in = false;
    params.planar_out = true;
    return params;
}

static size_t aligned(size_t bytes)
{
    return (bytes + KZ_ALIGNMENT - 1) & -(size_t)KZ_ALIGNMENT;
}

static size_t value_bytes(kz_net_shape shape, int height)
{
    return aligned((size_t)shape.planes * (size_t)height * shape.row_bytes);
}

static size_t worker_bytes(const kz_plan *p)
{
    return p->in_bytes + p->cut_bytes + p->band_bytes + p->out_bytes;
}

static void size_buffers(kz_plan *p, const kz_plan_params *params)
{
    const kz_net_ops *ops = p->device->ops;
    p->in_bytes = value_bytes(ops->in_shape(p->head), params->tile_height);
    if (!p->tail) {
        p->out_bytes = value_bytes(ops->out_shape(p->head), params->tile_height * p->scale);
        return;
    }
    p->cut_bytes = value_bytes(ops->out_shape(p->head), params->tile_height);
    p->band_bytes = value_bytes(ops->in_shape(p->tail), p->bands.tile_height);
    p->out_bytes = value_bytes(ops->out_shape(p->tail), p->bands.tile_height * p->scale);
}

static int open_nets(kz_plan *p, const kz_graph *head, const kz_graph *tail,
                     const kz_net_params *first, const kz_net_params *second, kz_log *log)
{
    const kz_net_ops *ops = p->device->ops;
    int error = ops->open(&p->head, head, first, log);
    if (!error && tail)
        error = ops->open(&p->tail, tail, second, log);
    if (error)
        ops->close(&p->head);
    return error;
}

/* oneDNN's AMX code may lack a layer's shape, which AVX-512's has. Both nets change together, since
 * the value between them lies as the level wants it. */
static int compile_nets(kz_plan *p, const kz_graph *head, const kz_graph *tail,
                        const kz_plan_params *params, kz_log *log)
{
    kz_net_params first = head_params(p->device, params, !tail), second = {0};
    p->info.macs = kz_graph_macs(head) * params->tile_width * params->tile_height;
    if (tail) {
        second = tail_params(&first, tail, &p->bands);
        p->info.macs += kz_graph_macs(tail) * p->bands.rows * second.width * second.height;
    }
    if (first.level == KZ_CPU_AMX && open_nets(p, head, tail, &first, &second, NULL) == 0)
        return 0;
    if (first.level == KZ_CPU_AMX)
        first.level = second.level = KZ_CPU_AVX512_BF16;
    return open_nets(p, head, tail, &first, &second, log);
}

static kz_march_params march_params(const kz_device *d, const kz_plan_params *params)
{
    return (kz_march_params){.width = params->tile_width,
                             .height = params->tile_height,
                             .precision = params->precision,
                             .level = d->level,
                             .threads = kz_pool_threads(d->pool)};
}

/* 0, KZ_ERROR_FAILED (the nets must run it, not reported) or KZ_ERROR_MEMORY (reported). */
static int compile_march(kz_plan *p, const kz_graph *graph, const kz_plan_params *params,
                         kz_log *log)
{
    kz_march_params march = march_params(p->device, params);
    int error = p->device->marches ? kz_march_open(&p->march, graph, &march, p->device->pool)
                                   : KZ_ERROR_FAILED;
    if (error == KZ_ERROR_MEMORY)
        return kz_fail_memory(log, "the network");
    if (error)
        return error;
    p->info.memory = kz_march_memory(p->march);
    p->info.macs = kz_march_macs(p->march);
    p->info.shared = p->info.any_size = true;
    return 0;
}

/* The precision that runs, or KZ_ERROR_FAILED or _USAGE (reported). */
static int resolve_precision(const kz_device *d, enum kz_precision asked, kz_log *log)
{
    if (asked == KZ_PRECISION_AUTO && d->bf16_is_slow)
        return KZ_PRECISION_FP32;
    return d->ops->precision(asked, d->level, log);
}

static int compile_on_nets(kz_plan *p, const kz_graph *graph, const kz_plan_params *params,
                           kz_log *log)
{
    kz_graph *head = NULL, *tail = NULL;
    int error = kz_graph_split(graph, &head, &tail);
    if (error)
        return kz_fail_memory(log, "the network");
    error = compile_nets(p, head, tail, params, log);
    kz_graph_close(&head);
    kz_graph_close(&tail);
    if (error)
        return error;
    size_buffers(p, params);
    size_t bytes = worker_bytes(p) * (size_t)kz_pool_threads(p->device->pool);
    p->buffers = kz_alloc_raw(bytes, 1);
    if (!p->buffers)
        return kz_fail_memory(log, "tiles");
    p->info.memory = bytes + p->device->ops->memory(p->head);
    if (p->tail)
        p->info.memory += p->device->ops->memory(p->tail);
    return 0;
}

static int compile_into(kz_plan *p, const kz_graph *graph, const kz_plan_params *params,
                        kz_log *log)
{
    kz_plan_params resolved = *params;
    int precision = resolve_precision(p->device, params->precision, log);
    if (precision < 0)
        return precision;
    p->info.precision = resolved.precision = (enum kz_precision)precision;
    int error = compile_march(p, graph, &resolved, log);
    return error == KZ_ERROR_FAILED ? compile_on_nets(p, graph, &resolved, log) : error;
}

int kz_host_compile(kz_device *device, kz_plan **plan, const kz_graph *graph,
                    const kz_plan_params *params, kz_log *log)
{
    kz_plan *p = *plan = kz_alloc(1, sizeof(*p));
    if (!p)
        return kz_fail_memory(log, "the plan");
    p->device = device;
    p->scale = graph->nodes[graph->output].scale;
    int error = compile_into(p, graph, params, log);
    if (error)
        kz_host_close_plan(plan);
    return error;
}

void kz_host_close_plan(kz_plan **plan)
{
    kz_plan *p = *plan;
    if (!p)
        return;
    kz_march_close(&p->march);
    p->device->ops->close(&p->head);
    p->device->ops->close(&p->tail);
    kz_free(p->buffers);
    kz_free(p);
    *plan = NULL;
}

void kz_host_info(const kz_plan *plan, kz_plan_info *info)
{
    *info = plan->info;
}

/* What size_buffers() makes of it, at most: values in fp32. */
static size_t need_of_buffers(const kz_graph *head, const kz_graph *tail,
                              const kz_net_params *first, const kz_net_params *second)
{
    const kz_node *cut = &head->nodes[head->output];
    const size_t in = (size_t)first->width * (size_t)first->height * sizeof(float);
    const size_t whole = in * (size_t)cut->channels * (size_t)(cut->scale * cut->scale);
    if (!tail)
        return in + whole;
    const size_t band = (size_t)second->width * (size_t)second->height * sizeof(float);
    const int scale = tail->nodes[tail->output].scale;
    return in + whole + band * (size_t)(cut->channels + scale * scale);
}

static size_t need_of_nets(const kz_device *d, const kz_graph *graph, const kz_plan_params *params)
{
    kz_graph *head = NULL, *tail = NULL;
    kz_tiling bands;
    if (kz_graph_split(graph, &head, &tail))
        return (size_t)-1;
    kz_net_params first = head_params(d, params, !tail), second = {0};
    size_t bytes = d->ops->need(head, &first), more = 0;
    if (tail) {
        second = tail_params(&first, tail, &bands);
        more = d->ops->need(tail, &second);
    }
    const bool known = bytes != (size_t)-1 && more != (size_t)-1;
    if (known)
        bytes += more + need_of_buffers(head, tail, &first, &second) * (size_t)first.workers;
    kz_graph_close(&head);
    kz_graph_close(&tail);
    return known ? bytes : (size_t)-1;
}

kz_plan_need kz_host_need(const kz_device *d, const kz_graph *graph, const kz_plan_params *params)
{
    kz_plan_params resolved = *params;
    int precision = resolve_precision(d, params->precision, NULL);
    resolved.precision = precision < 0 ? KZ_PRECISION_FP32 : (enum kz_precision)precision;
    kz_march_params march = march_params(d, &resolved);
    kz_plan_need need = {.bytes = (size_t)-1, .shared = true};
    int error = d->marches ? kz_march_need(&need.bytes, graph, &march) : KZ_ERROR_FAILED;
    return error == KZ_ERROR_FAILED ? (kz_plan_need){.bytes = need_of_nets(d, graph, &resolved)}
                                    : need;
}

/* ---- run ---- */

struct tile_run {
    kz_plan *plan;
    const kz_run *run;
    atomic_int error;
};

static void load_tile(const kz_run *run, kz_tile tile, float *in)
{
    for (int y = 0; y < tile.height; y++)
        kz_levels_load(run->src_levels, run->src, tile.x, tile.y + y, tile.width,
                       in + (size_t)y * (size_t)tile.width);
}

/* Stores the owned part of rows y0 … y1-1 of the tile (input pixels), each row once; row `first` is
 * out's row 0. */
static void store_rows(const kz_run *run, kz_tile tile, int scale, int first, int y0, int y1,
                       float *out)
{
    int own0 = tile.own_y0 - tile.y, own1 = tile.own_y1 - tile.y;
    size_t stride = (size_t)tile.width * (size_t)scale;
    y0 = y0 > own0 ? y0 : own0;
    y1 = y1 < own1 ? y1 : own1;
    int count = (tile.own_x1 - tile.own_x0) * scale;
    for (int y = y0 * scale; y < y1 * scale; y++) {
        float *row =
            out + (size_t)(y - first * scale) * stride + (size_t)((tile.own_x0 - tile.x) * scale);
        if (run->tone)
            kz_tone_apply(run->tone, row, count);
        kz_levels_store(run->dst_levels, run->dst, tile.own_x0 * scale, tile.y * scale + y, count,
                        row);
    }
}

static void gather_rows(kz_net_shape shape, const char *src, int src_height, int y, int height,
                        char *dst)
{
    for (int p = 0; p < shape.planes; p++)
        memcpy(dst + (size_t)p * (size_t)height * shape.row_bytes,
               src + ((size_t)p * (size_t)src_height + (size_t)y) * shape.row_bytes,
               (size_t)height * shape.row_bytes);
}

/* Bands that the tile owns nothing of are skipped: they lie in its halo. */
static int run_bands(kz_plan *p, const kz_run *run, int worker, kz_tile tile, const char *cut,
                     char *in, float *out)
{
    const kz_net_ops *ops = p->device->ops;
    for (int b = 0; b < kz_tiling_count(&p->bands); b++) {
        kz_tile band = kz_tiling_get(&p->bands, b);
        if (tile.y + band.own_y1 <= tile.own_y0 || tile.y + band.own_y0 >= tile.own_y1)
            continue;
        gather_rows(ops->in_shape(p->tail), cut, p->bands.height, band.y, p->bands.tile_height, in);
        int error = ops->run(p->tail, worker, in, out, run->cancel);
        if (error)
            return error;
        store_rows(run, tile, p->scale, band.y, band.own_y0, band.own_y1, out);
    }
    return 0;
}

static void run_tile(void *context, int worker, int item)
{
    struct tile_run *t = context;
    kz_plan *p = t->plan;
    kz_tile tile = t->run->tiles[item];
    char *in = p->buffers + worker_bytes(p) * (size_t)worker;
    char *cut = in + p->in_bytes, *band = cut + p->cut_bytes, *out = band + p->band_bytes;
    load_tile(t->run, tile, (float *)in);
    int error = p->device->ops->run(p->head, worker, in, p->tail ? cut : out, t->run->cancel);
    if (!error && p->tail)
        error = run_bands(p, t->run, worker, tile, cut, band, (float *)out);
    else if (!error)
        store_rows(t->run, tile, p->scale, 0, 0, tile.height, (float *)out);
    if (error)
        atomic_store(&t->error, error);
}

static int run_march(kz_plan *plan, const kz_run *run)
{
    int error = 0;
    for (int i = 0; i < run->n_tiles && !error; i++)
        error = kz_march_run(plan->march, plan->device->pool, run, run->tiles[i]);
    return error;
}

int kz_host_run(kz_plan *plan, const kz_run *run)
{
    kz_run there = *run;
    if (run->canvas)
        there.dst = &run->canvas->plane;
    if (plan->march)
        return run_march(plan, &there);
    struct tile_run t = {.plan = plan, .run = &there};
    kz_pool_run(plan->device->pool, run->n_tiles, run_tile, &t);
    return atomic_load(&t.error);
}

int kz_host_layers(const kz_plan *plan, kz_layer *layers, int most)
{
    return plan->march ? kz_march_layers(plan->march, layers, most) : 0;
}

/* ---- what the machine can do ---- */

struct measurement {
    kz_kernel_peak *peak;
    double seconds;
    double *results; /* of each part */
};

static void measure_peak(void *context, int worker, int item)
{
    const struct measurement *m = context;
    (void)worker;
    m->results[item] = m->peak(m->seconds);
}

/* Far larger than the caches; what one thread copies. */
enum { COPY_BYTES = 64 << 20 };

static void measure_copy(void *context, int worker, int item)
{
    const struct measurement *m = context;
    char *from = kz_alloc(COPY_BYTES, 1), *to = kz_alloc(COPY_BYTES, 1);
    double began = kz_now(), passed = 0, bytes = 0;
    (void)worker;
    while (from && to && passed < m->seconds) {
        memcpy(to, from, COPY_BYTES);
        bytes += 2.0 * COPY_BYTES;
        passed = kz_now() - began;
    }
    m->results[item] = passed > 0 ? bytes / passed : 0;
    kz_free(from);
    kz_free(to);
}

/* All threads at once: an item each, as long as they take the same time. */
static double measure(kz_device *device, struct measurement *m,
                      void (*run)(void *context, int worker, int item))
{
    int threads = kz_pool_threads(device->pool);
    double sum = 0;
    m->results = kz_alloc((size_t)threads, sizeof(*m->results));
    if (!m->results)
        return 0;
    kz_pool_run(device->pool, threads, run, m);
    for (int i = 0; i < threads; i++)
        sum += m->results[i];
    kz_free(m->results);
    return sum;
}

double kz_host_peak(kz_device *device, enum kz_precision precision, double seconds)
{
    struct measurement m = {.peak =
                                kz_kernel_peak_for(device->level, precision == KZ_PRECISION_BF16),
                            .seconds = seconds};
    return m.peak && device->marches ? measure(device, &m, measure_peak) : 0;
}

double kz_host_bandwidth(kz_device *device, double seconds)
{
    struct measurement m = {.seconds = seconds};
    return measure(device, &m, measure_copy);
}

/* ---- scaling of planes ---- */

struct scale_run {
    kz_device *device;
    const kz_resampler *resampler;
    const kz_plane *src, *dst;
    kz_levels src_levels, dst_levels;
    int bands;
};

static void scale_band(void *context, int worker, int item)
{
    struct scale_run *s = context;
    int y0 = (int)((long)s->dst->height * item / s->bands);
    int y1 = (int)((long)s->dst->height * (item + 1) / s->bands);
    kz_resample_rows(s->resampler, s->src, s->src_levels, s->dst, s->dst_levels, y0, y1,
                     s->device->scratch + s->device->scratch_floats * (size_t)worker);
}

void kz_host_each(kz_device *device, int items, void (*run)(void *context, int worker, int item),
                  void *context)
{
    kz_pool_run(device->pool, items, run, context);
}

/* For each thread; the largest that was ever asked for stays. */
static int need_scratch(kz_device *device, size_t floats)
{
    floats = (floats + 15) & ~(size_t)15;
    if (floats <= device->scratch_floats)
        return 0;
    kz_free(device->scratch);
    device->scratch_floats = 0;
    device->scratch = kz_alloc_raw(floats * (size_t)kz_pool_threads(device->pool), sizeof(float));
    if (!device->scratch)
        return KZ_ERROR_MEMORY;
    device->scratch_floats = floats;
    return 0;
}

int kz_host_scale(kz_device *device, const kz_resampler *resampler, const kz_plane *src,
                  kz_levels src_levels, const kz_plane *dst, kz_levels dst_levels)
{
    if (need_scratch(device, kz_resample_scratch(resampler)))
        return KZ_ERROR_MEMORY;
    struct scale_run s = {
        device, resampler, src, dst, src_levels, dst_levels, kz_pool_threads(device->pool) * 4};
    kz_pool_run(device->pool, s.bands, scale_band, &s);
    return 0;
}

int kz_host_open_canvas(kz_device *device, kz_canvas **canvas, int width, int height)
{
    kz_canvas *c = *canvas = kz_alloc(1, sizeof(*c));
    (void)device;
    if (!c)
        return KZ_ERROR_MEMORY;
    c->plane = (kz_plane){.data = kz_alloc_raw((size_t)width * (size_t)height, sizeof(float)),
                          .stride = (ptrdiff_t)width * (ptrdiff_t)sizeof(float),
                          .width = width,
                          .height = height,
                          .bytes = 4};
    if (!c->plane.data)
        kz_host_close_canvas(canvas);
    return *canvas ? 0 : KZ_ERROR_MEMORY;
}

void kz_host_close_canvas(kz_canvas **canvas)
{
    if (*canvas)
        kz_free((*canvas)->plane.data);
    kz_free(*canvas);
    *canvas = NULL;
}

struct parts_run {
    kz_device *device;
    const kz_resampler *resampler;
    const kz_plane *src, *dst;
    kz_levels levels;
    const kz_rect *parts;
};

static void scale_part(void *context, int worker, int item)
{
    const struct parts_run *s = context;
    const kz_rect part = s->parts[item], all = {0, 0, s->src->width, s->src->height};
    const int width = part.x1 - part.x0, height = part.y1 - part.y0;
    float *row = s->device->scratch + s->device->scratch_floats * (size_t)worker;
    kz_resample_part(s->resampler, s->src->data, s->src->width, all, part, row,
                     row + (size_t)width * (size_t)height);
    for (int y = part.y0; y < part.y1; y++, row += width)
        kz_levels_store(s->levels, s->dst, part.x0, y, width, row);
}

static size_t largest_part(const kz_rect *parts, int n_parts)
{
    size_t most = 0;
    for (int i = 0; i < n_parts; i++) {
        const size_t area =
            (size_t)(parts[i].x1 - parts[i].x0) * (size_t)(parts[i].y1 - parts[i].y0);
        most = area > most ? area : most;
    }
    return most;
}

int kz_host_scale_canvas(kz_device *device, const kz_resampler *resampler, const kz_canvas *canvas,
                         const kz_plane *dst, kz_levels dst_levels, const kz_rect *parts,
                         int n_parts)
{
    struct parts_run s = {device, resampler, &canvas->plane, dst, dst_levels, parts};
    if (!n_parts) /* values are float planes' samples whatever the levels */
        return kz_host_scale(device, resampler, &canvas->plane, dst_levels, dst, dst_levels);
    if (need_scratch(device, largest_part(parts, n_parts) + kz_resample_scratch(resampler)))
        return KZ_ERROR_MEMORY;
    kz_pool_run(device->pool, n_parts, scale_part, &s);
    return 0;
}
