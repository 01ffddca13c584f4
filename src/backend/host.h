/* What the back ends that compute in host memory share: a device is a pool of threads, a plan is
 * a march of our own kernels, where they have all that the network needs, else one or two nets,
 * and every worker takes whole tiles. A net therefore runs on one thread, its values stay in that
 * core's caches, and the result can't depend on the number of threads. */
#ifndef KZ_BACKEND_HOST_H
#define KZ_BACKEND_HOST_H

#include "backend/backend.h"
#include "base/pool.h"

/* A value in memory is [planes][height][width][run] elements: planar is run = 1, NHWC is
 * planes = 1, and blocked layouts lie between. */
typedef struct kz_net_shape {
    int planes;
    size_t row_bytes; /* width × run × element size */
} kz_net_shape;

typedef struct kz_net_params {
    int width, height; /* of the input value */
    enum kz_precision precision;
    enum kz_cpu_level level;
    int workers;
    bool planar_in;  /* the input is planar fp32 (else whatever layout the net prefers) */
    bool planar_out; /* the same for the output */
} kz_net_params;

/* A graph compiled for one shape, with one arena per worker. */
typedef struct kz_net kz_net;

typedef struct kz_net_ops {
    /* KZ_PRECISION_AUTO resolved, or KZ_ERROR_FAILED (reported). */
    int (*precision)(enum kz_precision asked, enum kz_cpu_level level, kz_log *log);
    int (*open)(kz_net **net, const kz_graph *graph, const kz_net_params *params, kz_log *log);
    void (*close)(kz_net **net);
    size_t (*memory)(const kz_net *net);
    /* What memory() would be, weights included, without opening. */
    size_t (*need)(const kz_graph *graph, const kz_net_params *params);
    kz_net_shape (*in_shape)(const kz_net *net);
    kz_net_shape (*out_shape)(const kz_net *net);
    /* `in` and `out` are aligned; different workers may run at once. 0, KZ_ERROR_FAILED, or
     * KZ_ERROR_CANCELLED soon after *cancel (may be NULL) is set. */
    int (*run)(kz_net *net, int worker, const void *in, void *out, const atomic_bool *cancel);
} kz_net_ops;

typedef struct kz_host_params {
    const kz_net_ops *ops;
    enum kz_cpu_level level;   /* resolved */
    bool marches;              /* our own kernels are used where they can be */
    void (*start)(int worker); /* per-thread settings, may be NULL */
    const char *what;          /* "CPU, avx2": the device's line without the threads */
} kz_host_params;

int kz_host_open(kz_device **device, const kz_device_params *params, const kz_host_params *host,
                 kz_log *log);
void kz_host_close(kz_device **device);
const char *kz_host_describe(const kz_device *device);
int kz_host_threads(const kz_device *device);
size_t kz_host_room(const kz_device *device);
enum kz_cpu_level kz_host_level(const kz_device *device);
int kz_host_compile(kz_device *device, kz_plan **plan, const kz_graph *graph,
                    const kz_plan_params *params, kz_log *log);
void kz_host_close_plan(kz_plan **plan);
void kz_host_info(const kz_plan *plan, kz_plan_info *info);
kz_plan_need kz_host_need(const kz_device *device, const kz_graph *graph,
                          const kz_plan_params *params);
int kz_host_run(kz_plan *plan, const kz_run *run);
int kz_host_layers(const kz_plan *plan, kz_layer *layers, int most);
double kz_host_peak(kz_device *device, enum kz_precision precision, double seconds);
double kz_host_bandwidth(kz_device *device, double seconds);
void kz_host_each(kz_device *device, int items, void (*run)(void *context, int worker, int item),
                  void *context);
int kz_host_scale(kz_device *device, const kz_resampler *resampler, const kz_plane *src,
                  kz_levels src_levels, const kz_plane *dst, kz_levels dst_levels);
int kz_host_open_canvas(kz_device *device, kz_canvas **canvas, int width, int height);
void kz_host_close_canvas(kz_canvas **canvas);
int kz_host_scale_canvas(kz_device *device, const kz_resampler *resampler, const kz_canvas *canvas,
                         const kz_plane *dst, kz_levels dst_levels, const kz_rect *parts,
                         int n_parts);

#endif
