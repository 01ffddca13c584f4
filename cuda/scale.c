#include <string.h>

#include "base/mem.h"
#include "cuda/device.h"

void kz_surface_copy_in(kz_gpu *gpu, const kz_surface *s, const kz_plane *plane)
{
    const char *from = (const char *)kz_plane_row(plane, s->y) + (ptrdiff_t)s->x * s->bytes;
    kz_gpu_copy_in(gpu, s->data, s->pitch, from, plane->stride, s->pitch, s->height);
}

void kz_surface_copy_out(kz_gpu *gpu, const kz_surface *s, const kz_plane *plane)
{
    char *to = (char *)kz_plane_row(plane, s->y) + (ptrdiff_t)s->x * s->bytes;
    kz_gpu_copy_out(gpu, to, plane->stride, s->data, s->pitch, s->pitch, s->height);
}

/* ---- scaling ---- */

static size_t aligned(size_t bytes)
{
    return (bytes + 255) & ~(size_t)255;
}

/* One block of device memory, taken piece by piece. */
struct pieces {
    char *at;
};

static void *take(struct pieces *p, size_t bytes)
{
    void *piece = p->at;
    p->at += aligned(bytes);
    return piece;
}

static size_t axis_bytes(kz_resample_axis a)
{
    return aligned((size_t)a.length * sizeof(int)) +
           aligned((size_t)a.length * (size_t)a.taps * sizeof(float));
}

static kz_cuda_axis upload_axis(kz_gpu *gpu, struct pieces *p, kz_resample_axis a)
{
    const size_t firsts = (size_t)a.length * sizeof(int);
    const size_t weights = (size_t)a.length * (size_t)a.taps * sizeof(float);
    int *first = take(p, firsts);
    float *weight = take(p, weights);
    kz_gpu_copy_in(gpu, first, firsts, a.first, (ptrdiff_t)firsts, firsts, 1);
    kz_gpu_copy_in(gpu, weight, weights, a.weights, (ptrdiff_t)weights, weights, 1);
    return (kz_cuda_axis){first, weight, a.taps};
}

static int need_scratch(kz_device *d, size_t bytes)
{
    if (bytes <= d->scratch_bytes)
        return 0;
    kz_gpu_free(d->gpu, d->scratch);
    d->scratch = kz_gpu_alloc(d->gpu, bytes);
    d->scratch_bytes = d->scratch ? bytes : 0;
    return d->scratch ? 0 : KZ_ERROR_MEMORY;
}

/* What scaling works with: the source on the device, and room for the rest. */
struct scaling {
    kz_device *device;
    kz_resample_axis across, down;
    kz_cuda_axis x, y;
    kz_surface src;
    kz_levels src_levels;
    float *rows; /* scaled horizontally */
    char *out;   /* samples of the destination */
};

static size_t rows_bytes(const struct scaling *s)
{
    return (size_t)s->across.length * (size_t)s->src.height * sizeof(float);
}

static size_t out_bytes(const struct scaling *s, const kz_plane *dst)
{
    return (size_t)s->across.length * (size_t)s->down.length * (size_t)dst->bytes;
}

/* A plane of the host's is copied into the scratch, a canvas is there. */
static int open_scaling(struct scaling *s, const kz_resampler *resampler, const kz_plane *src,
                        const kz_plane *dst)
{
    kz_gpu *gpu = s->device->gpu;
    s->across = kz_resample_axis_x(resampler);
    s->down = kz_resample_axis_y(resampler);
    if (src)
        s->src = kz_surface_of(src, (kz_rect){0, 0, src->width, src->height}, NULL);
    const size_t in = src ? kz_surface_bytes(&s->src) : 0;
    if (need_scratch(s->device, axis_bytes(s->across) + axis_bytes(s->down) + aligned(in) +
                                    aligned(rows_bytes(s)) + aligned(out_bytes(s, dst))))
        return KZ_ERROR_MEMORY;
    struct pieces p = {s->device->scratch};
    s->x = upload_axis(gpu, &p, s->across);
    s->y = upload_axis(gpu, &p, s->down);
    if (src) {
        s->src.data = take(&p, in);
        kz_surface_copy_in(gpu, &s->src, src);
    }
    s->rows = take(&p, rows_bytes(s));
    s->out = take(&p, out_bytes(s, dst));
    return 0;
}

/* A part of the destination: the source's rows that it reads, scaled horizontally, then these
 * vertically. */
static void scale_part(const struct scaling *s, const kz_plane *dst, kz_levels levels, kz_rect part)
{
    kz_gpu *gpu = s->device->gpu;
    const int width = part.x1 - part.x0;
    const int y0 = s->down.first[part.y0], y1 = s->down.first[part.y1 - 1] + s->down.taps;
    kz_surface src = s->src, out = kz_surface_of(dst, part, s->out);
    const kz_view rows = {s->rows, KZ_ELEMENT_FP32, 1, 1, width, y1 - y0};
    kz_cuda_axis x = s->x, y = s->y;
    src.data = (char *)src.data + (size_t)y0 * src.pitch;
    src.height = y1 - y0;
    x.first += part.x0;
    x.weights += (size_t)part.x0 * (size_t)x.taps;
    y.first += part.y0;
    y.weights += (size_t)part.y0 * (size_t)y.taps;
    kz_cuda_scale_rows(gpu, &src, s->src_levels, &x, &rows);
    kz_cuda_scale_columns(gpu, &rows, y0, &y, &out, levels);
    kz_surface_copy_out(gpu, &out, dst);
}

int kz_cuda_scale(kz_device *device, const kz_resampler *resampler, const kz_plane *src,
                  kz_levels src_levels, const kz_plane *dst, kz_levels dst_levels)
{
    struct scaling s = {.device = device, .src_levels = src_levels};
    if (open_scaling(&s, resampler, src, dst))
        return KZ_ERROR_MEMORY;
    scale_part(&s, dst, dst_levels, (kz_rect){0, 0, dst->width, dst->height});
    return kz_gpu_wait(device->gpu);
}

int kz_cuda_scale_canvas(kz_device *device, const kz_resampler *resampler, const kz_canvas *canvas,
                         const kz_plane *dst, kz_levels dst_levels, const kz_rect *parts,
                         int n_parts)
{
    const kz_rect all = {0, 0, dst->width, dst->height};
    struct scaling s = {.device = device, .src = canvas->surface, .src_levels = {0, 1}};
    if (open_scaling(&s, resampler, NULL, dst))
        return KZ_ERROR_MEMORY;
    for (int i = 0; i < (n_parts ? n_parts : 1); i++)
        scale_part(&s, dst, dst_levels, n_parts ? parts[i] : all);
    return kz_gpu_wait(device->gpu);
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
