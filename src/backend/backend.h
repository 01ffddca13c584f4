/* What every back end can do: compile a graph for a tile shape, run it over the tiles of a plane,
 * and scale planes, where the samples lie. A table of functions; the names in it mean the same
 * everywhere. Objects aren't thread-safe: one caller at a time uses a device and its plans. */
#ifndef KZ_BACKEND_BACKEND_H
#define KZ_BACKEND_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cpu.h"
#include "base/log.h"
#include "model/graph.h"
#include "pixel/levels.h"
#include "pixel/resample.h"
#include "pixel/tiling.h"
#include "pixel/tone.h"

enum kz_precision {
    KZ_PRECISION_AUTO, /* the fastest that stays within the stated bound of fp32 */
    KZ_PRECISION_FP32,
    KZ_PRECISION_BF16,
    KZ_PRECISION_FP16,
    KZ_PRECISION_TF32, /* values in fp32, factors rounded to 11 bits */
    KZ_PRECISIONS
};

/* "auto", "fp32", … */
const char *kz_precision_name(enum kz_precision precision);

typedef struct kz_device kz_device;
typedef struct kz_plan kz_plan;

/* A plane of fp32 where the device computes: what the network makes before it is resampled. */
typedef struct kz_canvas kz_canvas;

typedef struct kz_device_params {
    int threads;             /* 0: as many as there are processors */
    enum kz_cpu_level level; /* at most this; the machine may have less */
    int index;               /* which of several devices, from 0; a CPU is one */
} kz_device_params;

typedef struct kz_plan_params {
    int tile_width, tile_height; /* pixels, halo included */
    enum kz_precision precision;
} kz_plan_params;

typedef struct kz_plan_info {
    enum kz_precision precision; /* never AUTO */
    size_t memory;               /* bytes of arena, weights and scratch, all threads together */
    double macs;                 /* executed multiply-accumulates per tile */
    bool shared;                 /* as in kz_plan_need */
    bool on_device;              /* memory is the device's own, as that of canvases */
    bool any_size;               /* runs tiles of every size up to the plan's, else only that */
} kz_plan_info;

/* One layer of a plan, over all runs so far. */
typedef struct kz_layer {
    char name[KZ_NAME_SIZE]; /* as in the model file */
    const char *kernel;      /* what computes it */
    double macs;             /* a run's multiply-accumulates, of a direct convolution */
    double executed;         /* those that the kernel really does */
    double seconds;          /* of a run, all threads together */
} kz_layer;

/* What a plan would take at least: where there is plenty compile() may take more, and info() tells.
 */
typedef struct kz_plan_need {
    size_t bytes; /* (size_t)-1: memory is short even for finding out */
    bool shared;  /* all threads work on one tile; else each takes tiles of its own */
} kz_plan_need;

/* Which samples a run reads and writes. */
typedef struct kz_run {
    const kz_plane *src; /* luma of the input; from `there` where the device has a context() */
    kz_levels src_levels;
    const kz_plane *dst; /* the same picture times the network's scale */
    kz_levels dst_levels;
    kz_canvas *canvas;    /* in place of dst: gets values; NULL: dst */
    const kz_tone *tone;  /* applied to the network's output; NULL: none */
    const kz_tile *tiles; /* of the plan's size, or as kz_plan_info's any_size allows */
    int n_tiles;
    bool deferred;             /* it may return before it is done, where there is a wait() */
    const atomic_bool *cancel; /* ends the run soon after it is set, with KZ_ERROR_CANCELLED; NULL:
                                * never */
} kz_run;

typedef struct kz_backend {
    const char *name;

    /* 0, KZ_ERROR_MEMORY or KZ_ERROR_FAILED (no such device; reported). */
    int (*open)(kz_device **device, const kz_device_params *params, kz_log *log);
    void (*close)(kz_device **device); /* after its plans; NULL is legal */
    /* One line for people: what runs here, with how many threads. Owned by the device. */
    const char *(*describe)(const kz_device *device);
    int (*threads)(const kz_device *device);
    /* Bytes that a plan may take where the caller hasn't said. */
    size_t (*room)(const kz_device *device);
    /* The kernels' instructions: the results of two devices of one back end may differ in the last
     * bits where this does. */
    enum kz_cpu_level (*level)(const kz_device *device);
    /* What else they depend on: the kind of device and the libraries that compute there, in one
     * line (describe() is for people, and tells threads too). Devices with the same line and level
     * give the same bits. It is that of the last plan, for compiling may choose libraries; before
     * the first, of none. Owned by the device, until it compiles the next. NULL: the level says it
     * all. */
    const char *(*identity)(const kz_device *device);

    /* Packs weights and lays out memory once; nothing is allocated by run(). The graph has one
     * channel in and out and may be closed afterwards. KZ_ERROR_FAILED names a layer that can't be
     * run, KZ_ERROR_USAGE a precision that the device lacks; KZ_ERROR_ROOM (not reported): a
     * smaller tile may fit. `log` stays until the plan is closed. */
    int (*compile)(kz_device *device, kz_plan **plan, const kz_graph *graph,
                   const kz_plan_params *params, kz_log *log);
    void (*close_plan)(kz_plan **plan); /* NULL is legal */
    void (*info)(const kz_plan *plan, kz_plan_info *info);

    /* Without compiling: to choose a tile that fits. */
    kz_plan_need (*need)(const kz_device *device, const kz_graph *graph,
                         const kz_plan_params *params);

    /* Runs the tiles. The result is the same for any number of threads. 0, KZ_ERROR_CANCELLED or
     * KZ_ERROR_FAILED (not reported: what the library says is error()'s). */
    int (*run)(kz_plan *plan, const kz_run *run);
    /* Why a run failed, "" where there is no more to say. NULL: there never is. */
    const char *(*error)(const kz_device *device);

    /* Fills at most `most` layers with means of the runs so far; returns how many there are. 0
     * where the plan doesn't know. */
    int (*layers)(const kz_plan *plan, kz_layer *layers, int most);

    /* What the device can do at most, measured in `seconds`, on all threads at once: multiply-
     * accumulates per second from registers alone, 0 where that isn't known; and bytes per second
     * read and written, of a copy in memory. */
    double (*peak)(kz_device *device, enum kz_precision precision, double seconds);
    double (*bandwidth)(kz_device *device, double seconds);

    /* Calls run() for every item, on several threads at once; `worker` is below threads(). For work
     * on planes in host memory. */
    void (*each)(kz_device *device, int items, void (*run)(void *context, int worker, int item),
                 void *context);

    /* The CUDA context (a CUcontext) in which others of this process may put pictures into the
     * device's memory: what they have put there must be complete when run() or scale() are called,
     * and stay until they return. Owned by the device. NULL, as a result too: planes are read from
     * the host's memory alone. */
    void *(*context)(kz_device *device);

    /* Memory of the host's that pictures lie in, from pin() to unpin(): the device copies from and
     * to it faster, and beside what else it does. Where that can't be had nothing happens. unpin()
     * is thread-safe. NULL: neither. */
    void (*pin)(kz_device *device, void *block, size_t bytes);
    void (*unpin)(kz_device *device, void *block);

    /* Resamples a plane on the device's threads; `src` as kz_run's. May return before it is done,
     * where there is a wait(). 0 or KZ_ERROR_MEMORY (not reported). */
    int (*scale)(kz_device *device, const kz_resampler *resampler, const kz_plane *src,
                 kz_levels src_levels, const kz_plane *dst, kz_levels dst_levels);

    /* What was asked of scale(), scale_canvas() and deferred runs since the last call makes one
     * picture. */
    void (*end_picture)(kz_device *device);
    /* Until what was asked for is done, but for the last `left` pictures, 0 or 1: planes and
     * canvases stay until then. 0 or KZ_ERROR_FAILED as run() has it. NULL, as end_picture(): all
     * is done when a function returns. */
    int (*wait)(kz_device *device, int left);

    /* 0 or KZ_ERROR_MEMORY (not reported). */
    int (*open_canvas)(kz_device *device, kz_canvas **canvas, int width, int height);
    void (*close_canvas)(kz_canvas **canvas); /* NULL is legal */
    /* Resamples a canvas: all of it, or where n_parts isn't 0, only what these rectangles of dst
     * show. May return before it is done, where there is a wait(). 0 or KZ_ERROR_MEMORY (not
     * reported). */
    int (*scale_canvas)(kz_device *device, const kz_resampler *resampler, const kz_canvas *canvas,
                        const kz_plane *dst, kz_levels dst_levels, const kz_rect *parts,
                        int n_parts);
} kz_backend;

/* "reference": plain C in fp32, the oracle. "cpu": oneDNN and our own code. */
extern const kz_backend kz_backend_reference;
extern const kz_backend kz_backend_cpu;

/* The back end of that name, or NULL. */
const kz_backend *kz_backend_by_name(const char *name);

#endif
