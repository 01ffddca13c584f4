#include "upscale/upscaler.h"

#include <stdint.h>

#include "base/mem.h"
#include "model/rewrite.h"
#include "model/tone.h"
#include "upscale/choose.h"
#include "upscale/draw.h"
#include "upscale/reuse.h"

/* A picture under way. */
struct started {
    kz_plane out; /* luma */
    bool decided; /* what of it is reused, and that isn't finished */
    bool waited;  /* for what the device does */
};

struct kz_upscaler {
    kz_upscaler_params params;
    kz_log *log;
    kz_plan *plan;
    kz_tiling tiling;
    kz_tile *tiles; /* all of the tiling's */
    int scale;
    double graph_macs;
    kz_tone tone;
    bool has_tone;               /* the network shifts brightness */
    kz_resampler *luma, *chroma; /* NULL where the size is right as it is */
    kz_reuse *reuse;             /* NULL: off */
    kz_rect *parts;              /* as many as there are cells, where these are scaled */
    kz_canvas *canvas;           /* at the network's scale, where luma needs resampling */
    struct started pictures[2];  /* that aren't finished */
    int first, started;          /* the oldest of them, and how many there are */
    bool told;                   /* a failure has been reported, and others follow from it */
    size_t canvas_bytes;
};

/* ---- open ---- */

/* The network's own scale, then down (or up) to the size asked. */
static int open_canvas(kz_upscaler *u)
{
    const kz_upscale_side *in = &u->params.in, *out = &u->params.out;
    int width = in->width * u->scale, height = in->height * u->scale;
    if (width == out->width && height == out->height)
        return 0;
    const kz_resample_params resample = kz_resample_centred(width, height, out->width, out->height);
    u->canvas_bytes = (size_t)width * (size_t)height * sizeof(float);
    if (u->params.backend->open_canvas(u->params.device, &u->canvas, width, height) ||
        kz_resample_open(&u->luma, &resample))
        return kz_fail_memory(u->log, "the picture at the network's scale");
    return 0;
}

static int compile_tiles(kz_upscaler *u, const kz_graph *graph)
{
    const kz_plan_params plan = {.tile_width = u->tiling.tile_width,
                                 .tile_height = u->tiling.tile_height,
                                 .precision = u->params.precision};
    return u->params.backend->compile(u->params.device, &u->plan, graph, &plan, u->log);
}

static int say_no_room(const kz_upscaler *u)
{
    return kz_fail(u->log, KZ_ERROR_MEMORY, "%s: a tile of %dx%d pixels doesn't fit its memory",
                   u->params.backend->describe(u->params.device), u->tiling.tile_width,
                   u->tiling.tile_height);
}

/* The next smaller tiles that the choice has to offer, for half the memory and half of that. */
static int choose_smaller(kz_upscaler *u, kz_upscaler_params *p, const kz_graph *graph)
{
    const int count = kz_tiling_count(&u->tiling);
    while (kz_tiling_count(&u->tiling) == count && p->memory_limit > 1) {
        p->memory_limit /= 2;
        const int error = kz_choose_tiling(&u->tiling, p, graph, u->log);
        if (error)
            return error;
    }
    return kz_tiling_count(&u->tiling) == count ? say_no_room(u) : 0;
}

/* Where a device has less room than it said, tiles are made smaller until they fit. */
static int compile_what_fits(kz_upscaler *u, const kz_graph *graph)
{
    kz_upscaler_params p = u->params;
    const bool given = p.tile || p.columns;
    int error = kz_choose_tiling(&u->tiling, &p, graph, u->log);
    if (!error)
        error = compile_tiles(u, graph);
    p.memory_limit = p.memory_limit ? p.memory_limit : p.backend->room(p.device);
    while (error == KZ_ERROR_ROOM && !given) {
        error = choose_smaller(u, &p, graph);
        if (!error)
            error = compile_tiles(u, graph);
    }
    return error == KZ_ERROR_ROOM ? say_no_room(u) : error;
}

/* The tiles get what the canvas leaves of the device's memory. */
static int compile(kz_upscaler *u, const kz_graph *graph)
{
    u->scale = graph->nodes[graph->output].scale;
    int error = open_canvas(u);
    if (!error)
        error = compile_what_fits(u, graph);
    if (error)
        return error;
    u->tiles = kz_alloc((size_t)kz_tiling_count(&u->tiling), sizeof(*u->tiles));
    if (!u->tiles)
        return kz_fail_memory(u->log, "tiles");
    for (int i = 0; i < kz_tiling_count(&u->tiling); i++)
        u->tiles[i] = kz_tiling_get(&u->tiling, i);
    u->graph_macs = kz_graph_macs(graph);
    return 0;
}

static int compile_luma(kz_upscaler *u)
{
    kz_graph *graph = NULL;
    if (kz_graph_copy(&graph, u->params.graph))
        return kz_fail_memory(u->log, "the network");
    int error = kz_rewrite_all(graph, u->params.luma, u->log);
    if (error == KZ_ERROR_MEMORY)
        kz_fail_memory(u->log, "the network");
    if (!error && !u->params.network_tone && kz_tone_measure(&u->tone, &u->has_tone, graph))
        error = kz_fail_memory(u->log, "the network");
    if (!error)
        error = compile(u, graph);
    kz_graph_close(&graph);
    return error;
}

/* Input samples around a cell whose canvas its output samples read. */
static int canvas_margin(const kz_upscaler *u)
{
    if (!u->luma)
        return 0;
    const kz_rect reads = kz_resample_reads(
        u->luma, (kz_rect){u->params.out.width / 2, u->params.out.height / 2,
                           u->params.out.width / 2 + 1, u->params.out.height / 2 + 1});
    const int taps =
        reads.x1 - reads.x0 > reads.y1 - reads.y0 ? reads.x1 - reads.x0 : reads.y1 - reads.y0;
    return (taps + u->scale - 1) / u->scale + 1;
}

static int open_parts(kz_upscaler *u)
{
    const kz_cells *cells = kz_reuse_cells(u->reuse);
    if (!u->luma || cells->count == 1)
        return 0;
    u->parts = kz_alloc((size_t)cells->count, sizeof(*u->parts));
    return u->parts ? 0 : KZ_ERROR_MEMORY;
}

static int open_reuse(kz_upscaler *u)
{
    const kz_upscaler_params *p = &u->params;
    kz_plan_info plan;
    if (p->reuse == KZ_REUSE_OFF)
        return 0;
    p->backend->info(u->plan, &plan);
    kz_reuse_params reuse = {.mode = p->reuse,
                             .tolerance = p->reuse_tolerance,
                             .backend = p->backend,
                             .device = p->device,
                             .in = p->in,
                             .out = p->out,
                             .tiles = u->tiles,
                             .columns = u->tiling.columns,
                             .rows = u->tiling.rows,
                             .margin = canvas_margin(u),
                             .costs = {.width = p->in.width,
                                       .height = p->in.height,
                                       .halo = p->reuse == KZ_REUSE_NEAR ? p->reuse_halo : p->halo,
                                       .tile_width = u->tiling.tile_width,
                                       .tile_height = u->tiling.tile_height,
                                       .any_size = plan.any_size}};
    if (kz_reuse_open(&u->reuse, &reuse) || open_parts(u))
        return kz_fail_memory(u->log, "reuse");
    return 0;
}

static int chroma_length(int length, int shift)
{
    return (length + (1 << shift) - 1) >> shift;
}

/* Luma's, in samples of chroma. */
static double chroma_ratio(int in, int in_shift, int out, int out_shift)
{
    return (double)((int64_t)in << out_shift) / (double)((int64_t)out << in_shift);
}

static int open_chroma(kz_upscaler *u)
{
    const kz_upscale_side *in = &u->params.in, *out = &u->params.out;
    if (in->planes < 3 || out->planes < 3)
        return 0;
    kz_resample_params resample = {
        .src_width = chroma_length(in->width, in->shift_x),
        .src_height = chroma_length(in->height, in->shift_y),
        .dst_width = chroma_length(out->width, out->shift_x),
        .dst_height = chroma_length(out->height, out->shift_y),
        .origin_x = kz_chroma_origin_x(in->site, in->shift_x),
        .origin_y = kz_chroma_origin_y(in->site, in->shift_y),
        .dst_origin_x = kz_chroma_origin_x(out->site, out->shift_x),
        .dst_origin_y = kz_chroma_origin_y(out->site, out->shift_y),
        .ratio_x = chroma_ratio(in->width, in->shift_x, out->width, out->shift_x),
        .ratio_y = chroma_ratio(in->height, in->shift_y, out->height, out->shift_y),
    };
    return kz_resample_open(&u->chroma, &resample) ? kz_fail_memory(u->log, "chroma scaling") : 0;
}

int kz_upscaler_open(kz_upscaler **upscaler, const kz_upscaler_params *params, kz_log *log)
{
    kz_upscaler *u = *upscaler = kz_alloc(1, sizeof(*u));
    if (!u)
        return kz_fail_memory(log, "the upscaler");
    u->params = *params;
    u->log = log;
    int error = compile_luma(u);
    if (!error)
        error = open_chroma(u);
    if (!error)
        error = open_reuse(u);
    u->params.graph = NULL; /* the plan has what it needs: the caller may close it */
    if (error)
        kz_upscaler_close(upscaler);
    return error;
}

void kz_upscaler_close(kz_upscaler **upscaler)
{
    kz_upscaler *u = *upscaler;
    if (!u)
        return;
    kz_reuse_close(&u->reuse);
    u->params.backend->close_plan(&u->plan);
    kz_resample_close(&u->luma);
    kz_resample_close(&u->chroma);
    u->params.backend->close_canvas(&u->canvas);
    kz_free(u->tiles);
    kz_free(u->parts);
    kz_free(u);
    *upscaler = NULL;
}

/* ---- run ---- */

static bool meet(const kz_tile *a, const kz_tile *b)
{
    return a->own_x0 < b->own_x1 && b->own_x0 < a->own_x1 && a->own_y0 < b->own_y1 &&
           b->own_y0 < a->own_y1;
}

/* The first of the tiles of which no two decide the same sample: tiles of one run are computed in
 * any order. Regions of a picture that is then scaled overlap by what is read beside a cell. */
static int count_apart(const kz_tile *tiles, int n)
{
    for (int count = 1; count < n; count++)
        for (int i = 0; i < count; i++)
            if (meet(&tiles[i], &tiles[count]))
                return count;
    return n;
}

static int run_network(kz_upscaler *u, const kz_plane *in, const kz_plane *out,
                       const kz_reuse_task *task)
{
    const kz_upscaler_params *p = &u->params;
    kz_run run = {.src = in,
                  .src_levels = kz_luma_levels(p->in.depth, p->in.full_range),
                  .dst = out,
                  .canvas = u->canvas,
                  .dst_levels = kz_luma_levels(p->out.depth, p->out.full_range),
                  .tone = u->has_tone ? &u->tone : NULL,
                  .deferred = true,
                  .cancel = p->cancel};
    int error = 0;
    for (int i = 0; i < task->n_tiles && !error; i += run.n_tiles) {
        run.tiles = task->tiles + i;
        run.n_tiles = task->n_tiles - i;
        if (task->tiles != u->tiles)
            run.n_tiles = count_apart(run.tiles, run.n_tiles);
        error = p->backend->run(u->plan, &run);
    }
    return error;
}

/* From the canvas: all of it, or the cells that were computed. */
static int scale_luma(kz_upscaler *u, const kz_plane *out, const kz_reuse_task *task)
{
    const kz_upscaler_params *p = &u->params;
    const kz_levels levels = kz_luma_levels(p->out.depth, p->out.full_range);
    int parts = 0;
    for (int i = 0; task->tiles != u->tiles && i < kz_reuse_cells(u->reuse)->count; i++) {
        const kz_rect part = kz_reuse_cells(u->reuse)->cells[i].out;
        if (kz_reuse_is_computed(u->reuse, i) && part.x1 > part.x0 && part.y1 > part.y0)
            u->parts[parts++] = part;
    }
    if (task->tiles != u->tiles && !parts)
        return 0;
    return p->backend->scale_canvas(p->device, u->luma, u->canvas, out, levels, u->parts, parts);
}

static int compute_luma(kz_upscaler *u, const kz_plane *in, const kz_plane *out,
                        const kz_reuse_task *task)
{
    int error = task->n_tiles ? run_network(u, in, out, task) : 0;
    return error || !u->luma || !task->n_tiles ? error : scale_luma(u, out, task);
}

static int wait(const kz_upscaler *u, int left)
{
    const kz_backend *backend = u->params.backend;
    return backend->wait ? backend->wait(u->params.device, left) : 0;
}

static int run_luma(kz_upscaler *u, struct started *s, const kz_plane *in)
{
    kz_reuse_task task = {.tiles = u->tiles, .n_tiles = kz_tiling_count(&u->tiling)};
    int error = u->reuse ? kz_reuse_decide(u->reuse, in, &s->out, &task) : 0;
    if (!error)
        error = compute_luma(u, in, &s->out, &task);
    s->decided = !error && u->reuse;
    return error;
}

/* Waits for the oldest picture, and does what is left of it on the host. */
static int complete(kz_upscaler *u)
{
    struct started *s = &u->pictures[u->first];
    int error = s->waited ? 0 : wait(u, u->started - 1);
    s->waited = true;
    if (!error && s->decided)
        kz_reuse_finish(u->reuse, &s->out, false);
    s->decided = false;
    return error;
}

/* Where what came out of the picture under way tells what of the next is reused, it is waited for.
 */
static int begin_next(kz_upscaler *u)
{
    return u->started && u->reuse && !kz_reuse_can_decide(u->reuse) ? complete(u) : 0;
}

static void fill_neutral(const kz_plane *plane, float neutral)
{
    kz_levels levels = {.zero = neutral, .span = 1};
    float zeros[64] = {0};
    for (int y = 0; y < plane->height; y++)
        for (int x = 0; x < plane->width; x += 64)
            kz_levels_store(levels, plane, x, y, plane->width - x < 64 ? plane->width - x : 64,
                            zeros);
}

static int run_chroma(kz_upscaler *u, const kz_picture *in, const kz_picture *out)
{
    const kz_upscaler_params *p = &u->params;
    kz_levels from = kz_chroma_levels(p->in.depth, p->in.full_range);
    kz_levels to = kz_chroma_levels(p->out.depth, p->out.full_range);
    int error = 0;
    for (int i = 1; i < p->out.planes && !error; i++) {
        if (p->in.planes < 3)
            fill_neutral(&out->plane[i], to.zero);
        else
            error =
                p->backend->scale(p->device, u->chroma, &in->plane[i], from, &out->plane[i], to);
    }
    return error;
}

static int say_failed(const kz_upscaler *u)
{
    const kz_backend *backend = u->params.backend;
    const char *why = backend->error ? backend->error(u->params.device) : "";
    return kz_fail(u->log, KZ_ERROR_FAILED, "the network failed on %s%s%s",
                   backend->describe(u->params.device), *why ? ": " : "", why);
}

static int say(kz_upscaler *u, int error)
{
    if (!error || u->told)
        return error;
    u->told = true;
    if (error == KZ_ERROR_MEMORY)
        return kz_fail_memory(u->log, "scaling a picture");
    return error == KZ_ERROR_FAILED ? say_failed(u) : error;
}

bool kz_upscaler_overlaps(const kz_upscaler *u)
{
    return u->params.backend->wait;
}

/* Chroma first: a device has it while the host still looks at luma. */
int kz_upscaler_start(kz_upscaler *u, const kz_picture *in, const kz_picture *out)
{
    const kz_backend *backend = u->params.backend;
    struct started *s = &u->pictures[(u->first + u->started) % 2];
    int error = begin_next(u);
    *s = (struct started){.out = out->plane[0]};
    if (!error)
        error = run_chroma(u, in, out);
    if (!error)
        error = run_luma(u, s, &in->plane[0]);
    if (backend->end_picture)
        backend->end_picture(u->params.device);
    u->started++;
    return say(u, error);
}

int kz_upscaler_finish(kz_upscaler *u)
{
    if (!u->started)
        return 0;
    const int error = complete(u);
    u->first = (u->first + 1) % 2;
    u->started--;
    return say(u, error);
}

int kz_upscaler_run(kz_upscaler *u, const kz_picture *in, const kz_picture *out)
{
    const int error = kz_upscaler_start(u, in, out);
    const int failed = kz_upscaler_finish(u);
    return error ? error : failed;
}

void kz_upscaler_pin(const kz_upscaler *u, void *block, size_t bytes)
{
    if (u->params.backend->pin)
        u->params.backend->pin(u->params.device, block, bytes);
}

void kz_upscaler_unpin(const kz_upscaler *u, void *block)
{
    if (u->params.backend->unpin)
        u->params.backend->unpin(u->params.device, block);
}

static int sample_bytes(int depth)
{
    return depth > 8 ? 2 : 1;
}

void kz_upscaler_begin(kz_upscaler *u)
{
    if (u->reuse)
        kz_reuse_begin(u->reuse);
}

int kz_upscaler_adopt(kz_upscaler *u, const kz_picture *in, const kz_picture *out)
{
    kz_reuse_task task;
    if (!u->reuse)
        return 0;
    if (kz_reuse_decide(u->reuse, &in->plane[0], &out->plane[0], &task))
        return kz_fail_memory(u->log, "reuse");
    kz_reuse_finish(u->reuse, &out->plane[0], true);
    return 0;
}

int kz_upscaler_look(kz_upscaler *u, const kz_picture *in)
{
    const kz_plane out = {.width = u->params.out.width,
                          .height = u->params.out.height,
                          .bytes = sample_bytes(u->params.out.depth),
                          .depth = u->params.out.depth};
    kz_reuse_task task;
    if (!u->reuse)
        return 0;
    if (kz_reuse_decide(u->reuse, &in->plane[0], &out, &task))
        return kz_fail_memory(u->log, "reuse");
    kz_reuse_finish(u->reuse, NULL, true);
    return 0;
}

void kz_upscaler_draw(const kz_upscaler *u, const kz_picture *picture)
{
    if (u->reuse)
        kz_reuse_draw(u->reuse, picture, &u->params.in);
}

kz_reuse_stats kz_upscaler_get_stats(const kz_upscaler *u)
{
    return u->reuse ? kz_reuse_get_stats(u->reuse) : (kz_reuse_stats){0};
}

kz_upscaler_info kz_upscaler_get_info(const kz_upscaler *u)
{
    kz_plan_info plan;
    u->params.backend->info(u->plan, &plan);
    int threads = u->params.backend->threads(u->params.device);
    const size_t computed = plan.memory + u->canvas_bytes; /* what is where the network runs */
    size_t scratch = 0;
    if (u->luma)
        scratch =
            kz_resample_scratch(u->luma) + (u->parts ? kz_reuse_cells(u->reuse)->most_out : 0);
    if (u->chroma && kz_resample_scratch(u->chroma) > scratch)
        scratch = kz_resample_scratch(u->chroma);
    return (kz_upscaler_info){
        .precision = plan.precision,
        .tiling = u->tiling,
        .device_memory = plan.on_device ? computed : 0,
        .memory = (plan.on_device ? 0 : computed) + scratch * sizeof(float) * (size_t)threads +
                  (u->reuse ? kz_reuse_memory(u->reuse, sample_bytes(u->params.in.depth),
                                              sample_bytes(u->params.out.depth))
                            : 0),
        .macs = plan.macs * kz_tiling_count(&u->tiling),
        .tiles_at_once = plan.shared ? 1 : threads,
        .graph_macs = u->graph_macs,
        .scale = u->scale,
    };
}

int kz_upscaler_layers(const kz_upscaler *u, kz_layer *layers, int most)
{
    return u->params.backend->layers(u->plan, layers, most);
}
