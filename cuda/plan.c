/* A network before it enlarges runs on whole tiles, and behind that on bands of their rows
 * (backend/split.h): no value of the 4× picture with 64 channels is ever whole in memory. Small
 * tiles, of which reuse asks for many, are gathered: as many as fit where one of the plan's size
 * would lie, or behind the cut one band, are computed at once. Where a picture alone leaves some of
 * the device idle, two are computed beside each other, each on a side of its own. */
#include <string.h>

#include "backend/split.h"
#include "base/mem.h"
#include "cuda/device.h"
#include "cuda/net.h"

/* Pixels of a band, halo included, where the tile is larger: enough to fill any device, 1 GiB for
 * 64 channels of 16 bits at the fourfold size. Tests have smaller ones. */
#ifndef KZ_BAND_PIXELS
#define KZ_BAND_PIXELS (1 << 19)
#endif

/* A layer's blocks are 16×32 pixels, and a multiprocessor has one at a time: of so many rounds of
 * them the last one is half empty on the average, which is 3 % of the time. Where there are more,
 * pictures come one after the other. */
enum { BLOCK_PIXELS = 16 * 32, MANY_ROUNDS = 16 };

/* Such a picture is small, and so is what a second side takes: but others need the device, too. */
enum { SIDE_SHARE = 4 };

struct kz_plan {
    kz_device *device;
    int sides;
    kz_net *head, *tail; /* tail may be NULL */
    int reach;           /* of the tail */
    int scale;
    int tile_width, tile_height;
    size_t band_pixels; /* of tiles that are computed at once, and of one without a tail */
    kz_plan_info info;
    int in, out; /* lanes, of the side's and of all, that the next tiles and the next rows take */
    kz_surface leaving[KZ_BATCH_MOST];
    int n_leaving;
    /* Of the device: tiles' samples, the same as numbers, what comes out as samples, a curve. */
    char *samples[KZ_LANES_OF_SIDES], *inputs[KZ_SIDES], *outputs[KZ_LANES];
    kz_tone *tone;
    kz_tone tone_there; /* what it has */
    bool has_tone;
};

/* ---- compile ---- */

/* The precision that runs, or KZ_ERROR_USAGE (reported). */
static int resolve_precision(const kz_device *d, enum kz_precision asked, kz_log *log)
{
    const kz_gpu_info *info = kz_gpu_get_info(d->gpu);
    if ((asked == KZ_PRECISION_BF16 || asked == KZ_PRECISION_TF32) && info->major < 8)
        return kz_fail(log, KZ_ERROR_USAGE, "%s has no %s: use fp16", info->name,
                       asked == KZ_PRECISION_TF32 ? "tf32" : "bf16");
    return asked == KZ_PRECISION_AUTO ? KZ_PRECISION_FP16 : (int)asked;
}

/* Bands of a tile, of at most so many pixels; larger ones only where the halo leaves no choice. */
static kz_tiling split_bands(int width, int height, int halo, size_t pixels)
{
    kz_tiling bands, more;
    kz_tiling_split(&bands, width, height, 1, 1, halo);
    for (int rows = 2; (size_t)bands.tile_width * (size_t)bands.tile_height > pixels &&
                       kz_tiling_split(&more, width, height, 1, rows, halo);
         rows++)
        bands = more;
    return bands;
}

struct sizes {
    kz_program_params head, tail;
    kz_tiling bands;
    size_t tile_pixels, band_pixels; /* band: what comes out at once */
};

static struct sizes sizes_of(const kz_device *device, const kz_plan_params *params,
                             enum kz_precision precision, const kz_graph *tail)
{
    const int shared_bytes = kz_gpu_get_info(device->gpu)->shared_bytes;
    struct sizes s = {.head = {params->tile_width, params->tile_height, precision, shared_bytes},
                      .tile_pixels = (size_t)params->tile_width * (size_t)params->tile_height};
    s.band_pixels = s.tile_pixels;
    s.tail = s.head;
    if (!tail)
        return s;
    s.bands =
        split_bands(params->tile_width, params->tile_height, kz_graph_reach(tail), KZ_BAND_PIXELS);
    s.tail.height = s.bands.tile_height;
    s.band_pixels = (size_t)s.tail.width * (size_t)s.tail.height;
    return s;
}

static size_t input_bytes(const struct sizes *s)
{
    return s->tile_pixels * sizeof(float);
}

/* A side's input, as samples in each of its lanes and as numbers. */
static size_t side_bytes(const struct sizes *s)
{
    return (KZ_LANES + 1) * input_bytes(s);
}

static size_t own_bytes(const struct sizes *s, int scale)
{
    return side_bytes(s) + KZ_LANES * s->band_pixels * (size_t)(scale * scale) * sizeof(float) +
           sizeof(kz_tone);
}

static int open_nets(kz_plan *p, const kz_graph *head, const kz_graph *tail,
                     const struct sizes *sizes, kz_log *log)
{
    kz_gpu *gpu = p->device->gpu;
    int error = kz_net_open(&p->head, gpu, head, &sizes->head, log);
    if (!error && tail)
        error = kz_net_open(&p->tail, gpu, tail, &sizes->tail, log);
    return error;
}

static bool open_inputs(kz_plan *p, const struct sizes *s, int side)
{
    p->inputs[side] = kz_gpu_alloc(p->device->gpu, input_bytes(s));
    bool all = p->inputs[side];
    for (int i = side * KZ_LANES; i < (side + 1) * KZ_LANES; i++) {
        p->samples[i] = kz_gpu_alloc(p->device->gpu, input_bytes(s));
        all = all && p->samples[i];
    }
    return all;
}

static void close_inputs(kz_plan *p, int side)
{
    kz_gpu_free(p->device->gpu, p->inputs[side]);
    p->inputs[side] = NULL;
    for (int i = side * KZ_LANES; i < (side + 1) * KZ_LANES; i++) {
        kz_gpu_free(p->device->gpu, p->samples[i]);
        p->samples[i] = NULL;
    }
}

static int open_buffers(kz_plan *p, const struct sizes *s)
{
    kz_gpu *gpu = p->device->gpu;
    const size_t out_bytes = s->band_pixels * (size_t)(p->scale * p->scale) * sizeof(float);
    bool all = open_inputs(p, s, 0);
    for (int i = 0; i < KZ_LANES; i++) {
        p->outputs[i] = kz_gpu_alloc(gpu, out_bytes);
        all = all && p->outputs[i];
    }
    p->tone = kz_gpu_alloc(gpu, sizeof(*p->tone));
    return all && p->tone ? 0 : KZ_ERROR_ROOM;
}

static void fill_info(kz_plan *p, const struct sizes *s, const kz_graph *head, const kz_graph *tail)
{
    p->tile_width = s->head.width;
    p->tile_height = s->head.height;
    p->band_pixels = s->band_pixels;
    p->reach = tail ? kz_graph_reach(tail) : 0;
    p->info.shared = p->info.any_size = p->info.on_device = true;
    p->info.memory =
        own_bytes(s, p->scale) + kz_net_memory(p->head) + (p->tail ? kz_net_memory(p->tail) : 0);
    if (p->sides > 1)
        p->info.memory += side_bytes(s);
    p->info.macs = kz_graph_macs(head) * (double)s->tile_pixels;
    if (tail)
        p->info.macs += kz_graph_macs(tail) * s->bands.rows * (double)s->band_pixels;
}

static kz_view rows_of(const kz_view *v, int y, int height)
{
    kz_view rows = *v;
    rows.data = (char *)v->data +
                (size_t)y * (size_t)v->width * (size_t)v->pixel * kz_element_bytes(v->element);
    rows.height = height;
    return rows;
}

static kz_view input_of(const kz_plan *p, int width, int height)
{
    char *input = p->inputs[kz_gpu_side(p->device->gpu)];
    return (kz_view){input, KZ_ELEMENT_FP32, 1, 1, width, height, 1};
}

/* Devices on which the same engines compute have the same line. */
static int set_identity(const kz_plan *p)
{
    kz_device *d = p->device;
    const kz_lineup *head = kz_net_lineup(p->head), *tail = p->tail ? kz_net_lineup(p->tail) : NULL;
    kz_free(d->identity);
    d->identity = NULL;
    if (!kz_lineup_differs(head) && !kz_lineup_differs(tail))
        return 0;
    char *engines = kz_lineup_identity(d->rivals, head, tail);
    d->identity = engines ? kz_asprintf("%s, %s", d->kind, engines) : NULL;
    kz_free(engines);
    return d->identity ? 0 : KZ_ERROR_MEMORY;
}

/* Once all memory of the plan's own is there. */
static int compete(kz_plan *p, const kz_graph *head, const kz_graph *tail,
                   const struct sizes *sizes, kz_log *log)
{
    kz_device *d = p->device;
    int error = d->asked ? 0 : kz_rivals_open(&d->rivals, d->gpu, log);
    d->asked = d->asked || !error;
    const kz_view in = input_of(p, sizes->head.width, sizes->head.height);
    if (!error)
        error = kz_net_compete(p->head, d->rivals, head, &in, log);
    if (!error && tail) {
        const kz_view cut = kz_net_output(p->head, &in);
        const kz_view band = rows_of(&cut, 0, sizes->tail.height);
        error = kz_net_compete(p->tail, d->rivals, tail, &band, log);
    }
    return error ? error : set_identity(p);
}

static bool is_small(const kz_plan *p, const struct sizes *s)
{
    const size_t blocks = (s->tile_pixels + BLOCK_PIXELS - 1) / BLOCK_PIXELS;
    return blocks < (size_t)kz_gpu_get_info(p->device->gpu)->processors * MANY_ROUNDS;
}

static size_t side_need(const kz_plan *p, const struct sizes *s)
{
    return side_bytes(s) + kz_net_side_need(p->head) + (p->tail ? kz_net_side_need(p->tail) : 0);
}

static void close_side(kz_plan *p)
{
    kz_net_close_side(p->head);
    if (p->tail)
        kz_net_close_side(p->tail);
    close_inputs(p, 1);
}

/* Once all that has to be there is there. Beside a plan of one side it would never be taken. */
static void open_side(kz_plan *p, const struct sizes *s)
{
    p->sides = 1;
    if (p->device->one_sided || !is_small(p, s) ||
        kz_gpu_free_bytes(p->device->gpu) / SIDE_SHARE < side_need(p, s))
        return;
    if (open_inputs(p, s, 1) && !kz_net_open_side(p->head) &&
        (!p->tail || !kz_net_open_side(p->tail)))
        p->sides = KZ_SIDES;
    else
        close_side(p);
}

static int compile_parts(kz_plan *p, const kz_graph *head, const kz_graph *tail,
                         const kz_plan_params *params, kz_log *log)
{
    const struct sizes sizes = sizes_of(p->device, params, p->info.precision, tail);
    int error = open_nets(p, head, tail, &sizes, log);
    if (!error)
        error = open_buffers(p, &sizes);
    if (!error && compete(p, head, tail, &sizes, log))
        error = kz_fail_memory(log, "the device's engines");
    if (!error) {
        open_side(p, &sizes);
        fill_info(p, &sizes, head, tail);
    }
    return error;
}

int kz_cuda_compile(kz_device *device, kz_plan **plan, const kz_graph *graph,
                    const kz_plan_params *params, kz_log *log)
{
    kz_graph *head = NULL, *tail = NULL;
    kz_plan *p = *plan = kz_alloc(1, sizeof(*p));
    if (!p)
        return kz_fail_memory(log, "the plan");
    p->device = device;
    p->scale = graph->nodes[graph->output].scale;
    const int precision = resolve_precision(device, params->precision, log);
    int error = precision < 0 ? precision : 0;
    p->info.precision = error ? KZ_PRECISION_AUTO : (enum kz_precision)precision;
    device->precision = p->info.precision;
    kz_gpu_take_side(device->gpu, 0);
    *device->strange = 0;
    if (!error && kz_graph_split(graph, &head, &tail))
        error = kz_fail_memory(log, "the network");
    if (!error)
        error = compile_parts(p, head, tail, params, log);
    kz_graph_close(&head);
    kz_graph_close(&tail);
    device->one_sided += p->sides == 1;
    if (error)
        kz_cuda_close_plan(plan);
    return error;
}

int kz_cuda_compile_own(kz_device *device, kz_plan **plan, const kz_graph *graph,
                        const kz_plan_params *params, kz_log *log)
{
    device->asked = true;
    return kz_cuda_compile(device, plan, graph, params, log);
}

void kz_cuda_close_plan(kz_plan **plan)
{
    kz_plan *p = *plan;
    if (!p)
        return;
    kz_gpu *gpu = p->device->gpu;
    p->device->one_sided -= p->sides == 1;
    kz_net_close(&p->head);
    kz_net_close(&p->tail);
    for (int i = 0; i < KZ_SIDES; i++)
        close_inputs(p, i);
    for (int i = 0; i < KZ_LANES; i++)
        kz_gpu_free(gpu, p->outputs[i]);
    kz_gpu_free(gpu, p->tone);
    kz_free(p);
    *plan = NULL;
}

void kz_cuda_info(const kz_plan *plan, kz_plan_info *info)
{
    *info = plan->info;
}

kz_plan_need kz_cuda_need(const kz_device *device, const kz_graph *graph,
                          const kz_plan_params *params)
{
    kz_graph *head = NULL, *tail = NULL;
    kz_plan_need need = {.bytes = (size_t)-1, .shared = true};
    const int precision = resolve_precision(device, params->precision, NULL);
    if (kz_graph_split(graph, &head, &tail))
        return need;
    const struct sizes sizes = sizes_of(
        device, params, precision < 0 ? KZ_PRECISION_FP16 : (enum kz_precision)precision, tail);
    const size_t first = kz_net_need(head, &sizes.head);
    const size_t second = tail ? kz_net_need(tail, &sizes.tail) : 0;
    if (first != (size_t)-1 && second != (size_t)-1)
        need.bytes = first + second + own_bytes(&sizes, graph->nodes[graph->output].scale);
    kz_graph_close(&head);
    kz_graph_close(&tail);
    return need;
}

static void upload_tone(kz_plan *p, const kz_tone *tone)
{
    kz_gpu *gpu = p->device->gpu;
    if (!tone || (p->has_tone && memcmp(tone, &p->tone_there, sizeof(*tone)) == 0))
        return;
    kz_gpu_wait(gpu); /* whoever reads the one before */
    p->tone_there = *tone;
    p->has_tone = true;
    kz_gpu_copy_in(gpu, p->tone, sizeof(*tone), &p->tone_there, sizeof(*tone), sizeof(*tone), 1);
    kz_gpu_wait(gpu); /* for both sides */
}

/* ---- tiles that are computed at once ---- */

/* Where each begins, in pixels: rows of one channel's samples or numbers then lie as in memory of
 * their own. */
enum { TILE_ALIGNMENT = 64 };

struct group {
    const kz_tile *tiles;
    kz_batch batch;
};

static size_t pixels_of(const kz_tile *tile)
{
    return (size_t)tile->width * (size_t)tile->height;
}

/* The first of these tiles, and those behind it that fit beside it. */
static void gather(const kz_plan *p, const kz_tile *tiles, int n, struct group *g)
{
    size_t end = 0;
    g->tiles = tiles;
    g->batch.n = 0;
    for (int i = 0; i < n && i < KZ_BATCH_MOST; i++) {
        const size_t first = (end + TILE_ALIGNMENT - 1) / TILE_ALIGNMENT * TILE_ALIGNMENT;
        end = first + pixels_of(&tiles[i]);
        if (i && end > p->band_pixels)
            return;
        g->batch.tiles[g->batch.n++] =
            (struct kz_batch_tile){first, tiles[i].width, tiles[i].height};
    }
}

/* A tile's part of a value, of which `first` is the first tile's. */
static kz_view view_of(const kz_view *first, const struct kz_batch_tile *tile)
{
    kz_view v = *first;
    const size_t pixels = tile->first * (size_t)(v.scale * v.scale);
    v.data = (char *)v.data + pixels * (size_t)v.pixel * kz_element_bytes(v.element);
    v.width = tile->width * v.scale;
    v.height = tile->height * v.scale;
    return v;
}

/* ---- in ---- */

static int lane_in(const kz_plan *p)
{
    return kz_gpu_side(p->device->gpu) * KZ_LANES + p->in;
}

/* Where a decoder hasn't left them on the device, the samples come while the tiles before, perhaps
 * another picture's, are computed. */
static kz_surface fetch_tile(kz_plan *p, const kz_run *run, const kz_tile *tile, size_t first)
{
    const kz_rect part = {tile->x, tile->y, tile->x + tile->width, tile->y + tile->height};
    if (run->src->there.data)
        return kz_surface_there(run->src, part);
    const kz_surface samples =
        kz_surface_of(run->src, part, p->samples[lane_in(p)] + first * (size_t)run->src->bytes);
    kz_surface_copy_in(p->device->gpu, KZ_LANE_TILES_IN + lane_in(p), &samples, run->src);
    return samples;
}

/* Returns the first tile. */
static kz_view load_tiles(kz_plan *p, const kz_run *run, const struct group *g)
{
    kz_gpu *gpu = p->device->gpu;
    const kz_view input = input_of(p, g->tiles->width, g->tiles->height);
    const int lane = KZ_LANE_TILES_IN + lane_in(p);
    const bool there = run->src->there.data;
    kz_patch patches[KZ_BATCH_MOST];
    for (int i = 0; i < g->batch.n; i++) {
        const struct kz_batch_tile *tile = &g->batch.tiles[i];
        patches[i] =
            (kz_patch){fetch_tile(p, run, &g->tiles[i], tile->first), view_of(&input, tile), 0, 0};
    }
    if (!there)
        kz_gpu_lane_open(gpu, lane);
    kz_cuda_load(gpu, patches, g->batch.n, run->src_levels);
    if (there)
        return input;
    kz_gpu_lane_close(gpu, lane);
    p->in = (p->in + 1) % KZ_LANES;
    return input;
}

/* ---- out ---- */

/* Where a part of the output is made: on the canvas, or behind so many samples of those that leave
 * together. */
static kz_surface place_of(const kz_plan *p, const kz_run *run, kz_rect part, size_t before)
{
    if (run->canvas)
        return kz_surface_part(&run->canvas->surface, part);
    return kz_surface_of(run->dst, part, p->outputs[p->out] + before * (size_t)run->dst->bytes);
}

/* What the tile owns of its rows y0 … y1-1 (in input pixels), from `out`, whose first row is the
 * tile's row `first`. Returns how many patches that is. */
static int find_patch(const kz_plan *p, const kz_run *run, const kz_tile *tile, const kz_view *out,
                      int first, int y0, int y1, size_t before, kz_patch *patch)
{
    const int scale = p->scale;
    y0 = tile->y + y0 > tile->own_y0 ? tile->y + y0 : tile->own_y0;
    y1 = tile->y + y1 < tile->own_y1 ? tile->y + y1 : tile->own_y1;
    if (y0 >= y1 || tile->own_x0 >= tile->own_x1)
        return 0;
    const kz_rect part = {tile->own_x0 * scale, y0 * scale, tile->own_x1 * scale, y1 * scale};
    *patch = (kz_patch){.samples = place_of(p, run, part, before),
                        .numbers = *out,
                        .x = (tile->own_x0 - tile->x) * scale,
                        .y = (y0 - tile->y - first) * scale};
    return 1;
}

/* Copies the rows that wait for it. */
static void let_leave(kz_plan *p, const kz_run *run)
{
    const int last = (p->out + KZ_LANES - 1) % KZ_LANES;
    for (int i = 0; i < p->n_leaving; i++)
        kz_surface_copy_out(p->device->gpu, KZ_LANE_TILES_OUT + last, &p->leaving[i], run->dst);
    p->n_leaving = 0;
}

/* The patches to their places in dst. They leave while the next ones are computed: the copy waits
 * in `leaving` until these are on the stream, for one to ordinary memory of the host holds up
 * whoever asks for it. */
static void send_patches(kz_plan *p, const kz_run *run, const kz_patch *patches, int n)
{
    kz_gpu *gpu = p->device->gpu;
    const int lane = KZ_LANE_TILES_OUT + p->out;
    kz_gpu_lane_open(gpu, lane);
    kz_cuda_store(gpu, patches, n, run->tone ? p->tone : NULL, run->dst_levels, p->device->strange);
    kz_gpu_lane_close(gpu, lane);
    let_leave(p, run);
    for (int i = 0; i < n; i++)
        p->leaving[i] = patches[i].samples;
    p->n_leaving = n;
    p->out = (p->out + 1) % KZ_LANES;
}

/* The picture before must have left the canvas: it may be under way on the other side. */
static void store_on_canvas(const kz_plan *p, const kz_run *run, const kz_patch *patches, int n)
{
    kz_gpu_join(p->device->gpu);
    kz_cuda_store(p->device->gpu, patches, n, run->tone ? p->tone : NULL, run->dst_levels,
                  p->device->strange);
}

static void store_patches(kz_plan *p, const kz_run *run, const kz_patch *patches, int n)
{
    if (n && run->canvas)
        store_on_canvas(p, run, patches, n);
    else if (n)
        send_patches(p, run, patches, n);
}

static void store_tiles(kz_plan *p, const kz_run *run, const struct group *g, const kz_view *out)
{
    kz_patch patches[KZ_BATCH_MOST];
    int n = 0;
    for (int i = 0; i < g->batch.n; i++) {
        const struct kz_batch_tile *tile = &g->batch.tiles[i];
        const kz_view from = view_of(out, tile);
        n += find_patch(p, run, &g->tiles[i], &from, 0, 0, tile->height,
                        tile->first * (size_t)(p->scale * p->scale), &patches[n]);
    }
    store_patches(p, run, patches, n);
}

/* ---- run ---- */

static bool is_cancelled(const kz_run *run)
{
    return run->cancel && atomic_load(run->cancel);
}

/* Bands that the tile owns nothing of are skipped: they lie in its halo. */
static int run_bands(kz_plan *p, const kz_run *run, const kz_tile *tile, const kz_view *cut)
{
    const kz_tiling bands = split_bands(tile->width, tile->height, p->reach, p->band_pixels);
    for (int i = 0; i < kz_tiling_count(&bands); i++) {
        const kz_tile band = kz_tiling_get(&bands, i);
        kz_patch patch;
        if (tile->y + band.own_y1 <= tile->own_y0 || tile->y + band.own_y0 >= tile->own_y1)
            continue;
        if (is_cancelled(run))
            return KZ_ERROR_CANCELLED;
        const kz_view in = rows_of(cut, band.y, band.height);
        const kz_view out = kz_net_run(p->tail, &in, NULL);
        const int n = find_patch(p, run, tile, &out, band.y, band.own_y0, band.own_y1, 0, &patch);
        store_patches(p, run, &patch, n);
    }
    return 0;
}

static int run_group(kz_plan *p, const kz_run *run, const struct group *g)
{
    const kz_view in = load_tiles(p, run, g);
    kz_view out = kz_net_run(p->head, &in, &g->batch);
    if (p->tail && pixels_of(g->tiles) > p->band_pixels)
        return run_bands(p, run, g->tiles, &out);
    if (p->tail)
        out = kz_net_run(p->tail, &out, &g->batch);
    store_tiles(p, run, g, &out);
    return 0;
}

int kz_cuda_run(kz_plan *p, const kz_run *run)
{
    struct group g;
    int error = 0;
    upload_tone(p, run->tone);
    for (int i = 0; i < run->n_tiles && !error; i += g.batch.n) {
        gather(p, run->tiles + i, run->n_tiles - i, &g);
        error = is_cancelled(run) ? KZ_ERROR_CANCELLED : run_group(p, run, &g);
    }
    let_leave(p, run);
    if (run->deferred && !error)
        return 0;
    /* Also when it was cancelled: nobody may write to the planes afterwards. */
    const int failed = kz_gpu_wait(p->device->gpu);
    return error ? error : failed ? failed : kz_cuda_numbers(p->device);
}

void kz_cuda_let_replay(kz_plan *p, bool replay)
{
    kz_net_let_replay(p->head, replay);
    if (p->tail)
        kz_net_let_replay(p->tail, replay);
}

/* A run over what lies in memory since the last one. */
int kz_cuda_layers(const kz_plan *p, kz_layer *layers, int most)
{
    const kz_view in = input_of(p, p->tile_width, p->tile_height);
    int count = kz_net_layers(p->head, &in, layers, most);
    if (!p->tail || !count)
        return count;
    const kz_view out = kz_net_run(p->head, &in, NULL);
    const kz_tiling bands = split_bands(in.width, in.height, p->reach, p->band_pixels);
    const kz_view band = rows_of(&out, 0, bands.tile_height);
    const int more = kz_net_layers(p->tail, &band, layers + count, most - count);
    for (int i = count; i < count + more; i++) {
        layers[i].macs *= bands.rows;
        layers[i].executed *= bands.rows;
        layers[i].seconds *= bands.rows;
    }
    return kz_gpu_wait(p->device->gpu) ? 0 : count + more;
}
