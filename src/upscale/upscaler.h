/* Planes in, planes out: luma through the network in tiles, chroma by bicubic scaling. Synchronous;
 * the device's threads work inside. Not thread-safe. */
#ifndef KZ_UPSCALE_UPSCALER_H
#define KZ_UPSCALE_UPSCALER_H

#include <stdint.h>

#include "backend/backend.h"

typedef struct kz_upscaler kz_upscaler;

/* The shape of the pictures on one side; samples lie as in kz_plane. */
typedef struct kz_upscale_side {
    int width, height; /* of luma */
    int planes;        /* 1 or 3 */
    int shift_x, shift_y;
    int depth;
    bool full_range;
    enum kz_chroma_site site;
} kz_upscale_side;

/* What of earlier pictures is used again: reuse.h. */
enum kz_reuse_mode { KZ_REUSE_OFF, KZ_REUSE_EXACT, KZ_REUSE_NEAR };

/* Over all pictures so far. */
typedef struct kz_reuse_stats {
    int64_t frames;
    int64_t cells, new_cells;           /* seen; those like no earlier one */
    int64_t checked_cells, wrong_cells; /* reusable ones that were computed to see; found wrong */
    double computed_pixels, all_pixels; /* that the network ran on, halos included; without reuse */
    double error_sum, worst_error;      /* of the checked cells: root mean squares over a cell, code
                                         * values of 8 bit */
} kz_reuse_stats;

/* Of the pixels that the network would run on without reuse. */
static inline double kz_reuse_share(const kz_reuse_stats *stats)
{
    return stats->all_pixels > 0 ? stats->computed_pixels / stats->all_pixels : 1;
}

/* What checked cells could have reused was off by so much on average. */
static inline double kz_reuse_error(const kz_reuse_stats *stats)
{
    return stats->checked_cells ? stats->error_sum / (double)stats->checked_cells : 0;
}

typedef struct kz_upscaler_params {
    const kz_backend *backend;
    kz_device *device;     /* outlives the upscaler */
    const kz_graph *graph; /* as read from its file; copied */
    kz_luma_weights luma;  /* of the pictures' matrix */
    kz_upscale_side in, out;
    enum kz_precision precision;
    int tile;            /* largest tile, halo included; 0: the fastest within memory_limit */
    int columns, rows;   /* of tiles, whatever `tile` says; 0: not given */
    int halo;            /* pixels around what a tile decides */
    size_t memory_limit; /* for tile 0; 0: the device's room */
    enum kz_reuse_mode reuse;
    double reuse_tolerance;    /* NEAR: code values of 8 bit */
    int reuse_halo;            /* NEAR: around a part that is computed by itself */
    bool network_tone;         /* leave the brightness as the network makes it */
    const atomic_bool *cancel; /* ends a run soon after it is set; NULL: never */
} kz_upscaler_params;

/* Rewrites and compiles the network and allocates everything a run needs. Returns 0,
 * KZ_ERROR_USAGE (a tile too small for its halo), KZ_ERROR_FAILED, KZ_ERROR_MEMORY; reported. */
int kz_upscaler_open(kz_upscaler **upscaler, const kz_upscaler_params *params, kz_log *log);
void kz_upscaler_close(kz_upscaler **upscaler);

/* Upscales one picture into `out`'s planes. Returns 0, KZ_ERROR_CANCELLED or KZ_ERROR_FAILED
 * (reported). */
int kz_upscaler_run(kz_upscaler *upscaler, const kz_picture *in, const kz_picture *out);

/* The same in two steps, of which the second waits for the picture that was started first: its
 * planes stay until then, also where a step failed. What reuse tells is of the last one that was
 * finished. Where pictures overlap, a second one may be started before the first is finished;
 * kz_upscaler_run() is for when none is under way. */
bool kz_upscaler_overlaps(const kz_upscaler *upscaler);
int kz_upscaler_start(kz_upscaler *upscaler, const kz_picture *in, const kz_picture *out);
int kz_upscaler_finish(kz_upscaler *upscaler);

/* As kz_backend's, for memory that pictures will lie in; unpin before the upscaler is closed. */
void kz_upscaler_pin(const kz_upscaler *upscaler, void *block, size_t bytes);
void kz_upscaler_unpin(const kz_upscaler *upscaler, void *block);

/* The next picture begins a segment: it and all that follow come out as if there were none before.
 * Without reuse nothing happens. */
void kz_upscaler_begin(kz_upscaler *upscaler);

/* Tells of a picture that kz_upscaler_run() would be given now, and what it would make of it, known
 * from an earlier run: later ones come out as if it had been called. 0 or KZ_ERROR_FAILED
 * (reported). */
int kz_upscaler_adopt(kz_upscaler *upscaler, const kz_picture *in, const kz_picture *out);

/* Counts what kz_upscaler_run() would compute of the picture, without computing: for plans, on
 * their own after kz_upscaler_begin(). 0 or KZ_ERROR_MEMORY (reported). */
int kz_upscaler_look(kz_upscaler *upscaler, const kz_picture *in);

/* Draws what reuse did with the last picture over a copy of that: draw.h. Without reuse nothing. */
void kz_upscaler_draw(const kz_upscaler *upscaler, const kz_picture *picture);

/* All 0 without reuse. */
kz_reuse_stats kz_upscaler_get_stats(const kz_upscaler *upscaler);

typedef struct kz_upscaler_info {
    enum kz_precision precision;
    kz_tiling tiling;
    size_t memory;        /* bytes held while open */
    size_t device_memory; /* and such of a device that has memory of its own */
    double macs;          /* executed per picture, halos included */
    int tiles_at_once;    /* that are computed side by side: one where all threads share it */
    double graph_macs;    /* per input pixel, without halos */
    int scale;            /* the network's own */
} kz_upscaler_info;

kz_upscaler_info kz_upscaler_get_info(const kz_upscaler *upscaler);

/* As kz_backend's layers(). */
int kz_upscaler_layers(const kz_upscaler *upscaler, kz_layer *layers, int most);

#endif
