/* What the parts of gpu_check share: networks, pictures and how they are run. What can't go on ends
 * the program, with exit code 1. */
#ifndef KZ_TESTS_GPU_CHECK_H
#define KZ_TESTS_GPU_CHECK_H

#include "cuda/device.h"

enum { FEW = 3, NO_DEVICE = 3 /* exit code */ };

_Noreturn void stop(const char *what, const char *detail);
void *taken(size_t count, size_t size); /* cleared; kz_free() it */

struct size {
    int width, height;
};

struct size size_of(const char *text); /* "640x360" */
struct size times(struct size s, int scale);
enum kz_precision precision_of(const char *text);

struct model {
    const char *stem;
    kz_graph *graph; /* rewritten */
    double nominal;  /* multiply-accumulates a pixel of the network as published */
    int scale;
};

/* STEM.param and STEM.bin. */
struct model read_model(const char *stem, kz_log *log);

/* Like kizuna's own, ×2, with random weights; rewritten. */
kz_graph *small_graph(int channels);

/* kz_free() its data. */
kz_plane open_plane(struct size s, int bytes, int depth);
/* A drawing: code values where `bytes` is 1, values from 0 to 1 where it is 4. */
kz_plane draw(struct size s, int bytes);
size_t samples_of(const kz_plane *p);
/* Of float planes: from 0 to 1. */
kz_levels levels_of(const kz_plane *p);

/* Without a device the program ends with NO_DEVICE. */
kz_device *open_device(const kz_backend *backend, kz_log *log);
kz_tiling whole(struct size s);
/* As the back end's run(). */
int run_tiles(const kz_backend *backend, kz_plan *plan, const kz_tiling *tiling, const kz_plane *in,
              const kz_plane *out);
/* Compiles and runs; 0 or what either returned. */
int upscale(const kz_backend *backend, kz_device *device, const struct model *m,
            const kz_tiling *tiling, enum kz_precision precision, const kz_plane *in,
            const kz_plane *out, kz_log *log);

/* Sorts them. */
double median(double *values, int count);

/* Parts: exit codes. */
int part_peak(char **arguments, kz_log *log);
int part_small(char **arguments, kz_log *log);
int part_speed(char **arguments, kz_log *log);
int part_stages(char **arguments, kz_log *log);
int part_tail(char **arguments, kz_log *log);
int part_wgmma(char **arguments, kz_log *log);

#endif
