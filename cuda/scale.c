#include <string.h>

#include "base/mem.h"
#include "cuda/device.h"

/* Where the surface's first sample lies in the plane. */
static char *place_in(const kz_plane *plane, const kz_surface *s)
{
    return (char *)kz_plane_row(plane, s->y) + (ptrdiff_t)s->x * s->bytes;
}

void kz_surface_copy_in(kz_gpu *gpu, int lane, const kz_surface *s, const kz_plane *plane)
{
    const char *from = place_in(plane, s);
    kz_gpu_lane_copy_in(gpu, lane, s->data, s->pitch, from, plane->stride, s->pitch, s->height);
}

void kz_surface_copy_out(kz_gpu *gpu, int lane, const kz_surface *s, const kz_plane *plane)
{
    char *to = place_in(plane, s);
    kz_gpu_lane_copy_out(gpu, lane, to, plane->stride, s->data, s->pitch, s->pitch, s->height);
}

/* ---- scaling ---- */

/* Some of the scratch, taken piece by piece. */
struct pieces {
    char *at;
    size_t left;
};

static void *take(struct pieces *p, size_t bytes)
{
    void *piece = p->at;
    bytes = kz_gpu_aligned(bytes);
    if (bytes > p->left)
        return NULL;
    p->at += bytes;
    p->left -= bytes;
    return piece;
}

/* What scaling works with. The source is a plane, or a canvas of the device's. */
struct scaling {
    kz_device *device;
    kz_cuda_axis x, y;
    const int *first_row; /* what y.first has, on the host */
    const kz_plane *src;
    const kz_surface *canvas;
    kz_levels src_levels, dst_levels;
    const kz_plane *dst;
};

static int open_scaling(struct scaling *s, kz_device *device, const kz_resampler *resampler)
{
    s->device = device;
    s->first_row = kz_resample_axis_y(resampler).first;
    return kz_axes_get(device->axes, resampler, &s->x, &s->y);
}

/* Which of the scratch's parts is next, and its lane: of a side's two halves one is copied while
 * the stream works on the other. */
static int part_of(const kz_device *d)
{
    return kz_gpu_side(d->gpu) * KZ_LANES + d->half;
}

/* Behind the tables. */
static struct pieces pieces_of(const kz_device *d)
{
    const size_t taken = kz_axes_taken(d->axes);
    const size_t part =
        (KZ_SCRATCH_BYTES - taken) / KZ_LANES_OF_SIDES / KZ_GPU_ALIGNMENT * KZ_GPU_ALIGNMENT;
    return (struct pieces){d->scratch + taken + (size_t)part_of(d) * part, part};
}

/* The source's rows y0 … y1-1; those that are on the host alone are copied. */
static bool take_source(const struct scaling *s, struct pieces *p, int y0, int y1, kz_surface *src)
{
    if (s->canvas) {
        *src = *s->canvas;
        src->data = (char *)src->data + (size_t)y0 * src->pitch;
        src->height = y1 - y0;
        return true;
    }
    const kz_rect part = {0, y0, s->src->width, y1};
    if (s->src->there.data) {
        *src = kz_surface_there(s->src, part);
        return true;
    }
    *src = kz_surface_of(s->src, part, NULL);
    src->data = take(p, kz_surface_bytes(src));
    if (src->data)
        kz_surface_copy_in(s->device->gpu, KZ_LANE_SCALING + part_of(s->device), src, s->src);
    return src->data;
}

/* Scales the source's rows horizontally, then these vertically. false: the scratch is too small for
 * so many rows; nothing was done. */
static bool scale_band(const struct scaling *s, kz_rect part)
{
    kz_gpu *gpu = s->device->gpu;
    const int lane = KZ_LANE_SCALING + part_of(s->device);
    const int y0 = s->first_row[part.y0], y1 = s->first_row[part.y1 - 1] + s->y.taps;
    struct pieces p = pieces_of(s->device);
    kz_surface src, out = kz_surface_of(s->dst, part, NULL);
    kz_view rows = {NULL, KZ_ELEMENT_FP32, 1, 1, part.x1 - part.x0, y1 - y0, 1};
    kz_cuda_axis x = s->x, y = s->y;
    out.data = take(&p, kz_surface_bytes(&out));
    rows.data = take(&p, (size_t)rows.width * (size_t)rows.height * sizeof(float));
    if (!out.data || !rows.data || !take_source(s, &p, y0, y1, &src))
        return false;
    x.first += part.x0;
    x.weights += (size_t)part.x0 * (size_t)x.taps;
    y.first += part.y0;
    y.weights += (size_t)part.y0 * (size_t)y.taps;
    kz_gpu_lane_open(gpu, lane);
    kz_cuda_scale_rows(gpu, &src, s->src_levels, &x, &rows);
    kz_cuda_scale_columns(gpu, &rows, y0, &y, &out, s->dst_levels);
    kz_gpu_lane_close(gpu, lane);
    kz_surface_copy_out(gpu, lane, &out, s->dst);
    s->device->half = (s->device->half + 1) % KZ_LANES;
    return true;
}

/* In as few bands as the scratch allows. 0 or KZ_ERROR_MEMORY. */
static int scale_part(const struct scaling *s, kz_rect part)
{
    int rows = part.y1 - part.y0;
    for (int y = part.y0; y < part.y1;) {
        const int end = y + rows < part.y1 ? y + rows : part.y1;
        if (scale_band(s, (kz_rect){part.x0, y, part.x1, end}))
            y = end;
        else if ((rows /= 2) == 0)
            return KZ_ERROR_MEMORY;
    }
    return 0;
}

int kz_cuda_scale(kz_device *device, const kz_resampler *resampler, const kz_plane *src,
                  kz_levels src_levels, const kz_plane *dst, kz_levels dst_levels)
{
    struct scaling s = {.src = src, .src_levels = src_levels, .dst = dst, .dst_levels = dst_levels};
    const int error = open_scaling(&s, device, resampler);
    return error ? error : scale_part(&s, (kz_rect){0, 0, dst->width, dst->height});
}

/* Cells that were computed, row by row: a few rectangles of them are cheaper than each alone. */
enum { MOST_OPEN = 16 };

struct joined {
    kz_rect open[MOST_OPEN]; /* that may grow downwards */
    int count;
};

static int add_run(const struct scaling *s, struct joined *j, kz_rect run)
{
    int error = 0;
    for (int i = 0; i < j->count; i++) {
        kz_rect *r = &j->open[i];
        if (r->x0 != run.x0 || r->x1 != run.x1 || r->y1 != run.y0)
            continue;
        r->y1 = run.y1;
        return 0;
    }
    if (j->count == MOST_OPEN) {
        error = scale_part(s, j->open[0]);
        memmove(j->open, j->open + 1, (size_t)--j->count * sizeof(*j->open));
    }
    j->open[j->count++] = run;
    return error;
}

static int scale_parts(const struct scaling *s, const kz_rect *parts, int n_parts)
{
    struct joined j = {.count = 0};
    kz_rect run = parts[0];
    int error = 0;
    for (int i = 1; i < n_parts && !error; i++) {
        const kz_rect *part = &parts[i];
        if (part->y0 == run.y0 && part->y1 == run.y1 && part->x0 == run.x1) {
            run.x1 = part->x1;
            continue;
        }
        error = add_run(s, &j, run);
        run = *part;
    }
    if (!error)
        error = add_run(s, &j, run);
    for (int i = 0; i < j.count && !error; i++)
        error = scale_part(s, j.open[i]);
    return error;
}

int kz_cuda_scale_canvas(kz_device *device, const kz_resampler *resampler, const kz_canvas *canvas,
                         const kz_plane *dst, kz_levels dst_levels, const kz_rect *parts,
                         int n_parts)
{
    const kz_rect all = {0, 0, dst->width, dst->height};
    struct scaling s = {
        .canvas = &canvas->surface, .src_levels = {0, 1}, .dst = dst, .dst_levels = dst_levels};
    const int error = open_scaling(&s, device, resampler);
    return error ? error : scale_parts(&s, n_parts ? parts : &all, n_parts ? n_parts : 1);
}

/* ---- canvases ---- */

int kz_cuda_open_canvas(kz_device *device, kz_canvas **canvas, int width, int height)
{
    kz_canvas *c = *canvas = kz_alloc(1, sizeof(*c));
    if (!c)
        return KZ_ERROR_MEMORY;
    c->device = device;
    c->surface = (kz_surface){.pitch = (size_t)width * sizeof(float),
                              .width = width,
                              .height = height,
                              .bytes = sizeof(float),
                              .step = 1};
    c->surface.data = kz_gpu_alloc(device->gpu, kz_surface_bytes(&c->surface));
    if (!c->surface.data)
        kz_cuda_close_canvas(canvas);
    return *canvas ? 0 : KZ_ERROR_MEMORY;
}

void kz_cuda_close_canvas(kz_canvas **canvas)
{
    if (*canvas)
        kz_gpu_free((*canvas)->device->gpu, (*canvas)->surface.data);
    kz_free(*canvas);
    *canvas = NULL;
}
