/* The CUDA back end's device, and what its plans share. */
#ifndef KZ_CUDA_DEVICE_H
#define KZ_CUDA_DEVICE_H

#include "backend/backend.h"
#include "base/pool.h"
#include "cuda/axes.h"
#include "cuda/gpu.h"
#include "cuda/kernels/kernels.h"
#include "cuda/lineup.h"

extern const kz_backend kz_backend_cuda;

/* Scaling goes by bands of rows that fit. Tests have less. */
#ifndef KZ_SCRATCH_BYTES
#define KZ_SCRATCH_BYTES ((size_t)64 << 20)
#endif

struct kz_device {
    kz_gpu *gpu;
    kz_pool *pool; /* for work on planes in host memory */
    char *line;
    char *kind;                  /* what identity() says where our kernels compute everything */
    char *identity;              /* what it says of the last plan */
    kz_rivals *rivals;           /* NULL: none; opened with the first plan: that takes a while, */
    bool asked;                  /* and then this is set */
    enum kz_precision precision; /* of the last plan */
    int one_sided;               /* plans that are: as long as there are any, pictures are, too */
    unsigned *strange;           /* of the host, 1: one of its outputs was infinite, or no number */
    /* For scaling: */
    char *scratch; /* KZ_SCRATCH_BYTES of the device */
    kz_axes *axes; /* at its beginning, at most half of it */
    int half;      /* of the side's part of what is behind them, the next to be used */
};

struct kz_canvas {
    kz_device *device;
    kz_surface surface;
};

/* plan.c: as the back end's table says. */
int kz_cuda_compile(kz_device *device, kz_plan **plan, const kz_graph *graph,
                    const kz_plan_params *params, kz_log *log);
/* With our own kernels alone. */
int kz_cuda_compile_own(kz_device *device, kz_plan **plan, const kz_graph *graph,
                        const kz_plan_params *params, kz_log *log);
void kz_cuda_close_plan(kz_plan **plan);
void kz_cuda_info(const kz_plan *plan, kz_plan_info *info);
kz_plan_need kz_cuda_need(const kz_device *device, const kz_graph *graph,
                          const kz_plan_params *params);
int kz_cuda_run(kz_plan *plan, const kz_run *run);
int kz_cuda_layers(const kz_plan *plan, kz_layer *layers, int most);
/* As kz_net_let_replay(). */
void kz_cuda_let_replay(kz_plan *plan, bool replay);

/* device.c: KZ_ERROR_FAILED where an output of the last plan that has been waited for was none. */
int kz_cuda_numbers(const kz_device *device);

/* scale.c: the same. */
int kz_cuda_scale(kz_device *device, const kz_resampler *resampler, const kz_plane *src,
                  kz_levels src_levels, const kz_plane *dst, kz_levels dst_levels);
int kz_cuda_open_canvas(kz_device *device, kz_canvas **canvas, int width, int height);
void kz_cuda_close_canvas(kz_canvas **canvas);
int kz_cuda_scale_canvas(kz_device *device, const kz_resampler *resampler, const kz_canvas *canvas,
                         const kz_plane *dst, kz_levels dst_levels, const kz_rect *parts,
                         int n_parts);

/* A part of a plane in host memory as a surface of the device's, rows next to each other. */
static inline kz_surface kz_surface_of(const kz_plane *plane, kz_rect part, void *data)
{
    return (kz_surface){.data = data,
                        .pitch = (size_t)(part.x1 - part.x0) * (size_t)plane->bytes,
                        .width = part.x1 - part.x0,
                        .height = part.y1 - part.y0,
                        .bytes = plane->bytes,
                        .step = 1,
                        .depth = plane->depth,
                        .x = part.x0,
                        .y = part.y0};
}

/* The same part where a decoder has left it. */
static inline kz_surface kz_surface_there(const kz_plane *plane, kz_rect part)
{
    const kz_plane_there *there = &plane->there;
    kz_surface s = kz_surface_of(plane, part, NULL);
    s.data = (char *)there->data + (size_t)part.y0 * there->pitch +
             (size_t)part.x0 * (size_t)there->step * (size_t)plane->bytes;
    s.pitch = there->pitch;
    s.step = there->step;
    s.shift = there->shift;
    return s;
}

static inline size_t kz_surface_bytes(const kz_surface *s)
{
    return s->pitch * (size_t)s->height;
}

/* The surface's samples between the device and their place in the plane: kz_gpu_lane_copy_in() and
 * _out(). */
void kz_surface_copy_in(kz_gpu *gpu, int lane, const kz_surface *surface, const kz_plane *plane);
void kz_surface_copy_out(kz_gpu *gpu, int lane, const kz_surface *surface, const kz_plane *plane);

#endif
