/* Where a network's time goes: a line for each kind of layer, beside what the machine can do. */
#ifndef KZ_CMD_BENCH_LAYERS_H
#define KZ_CMD_BENCH_LAYERS_H

#include "upscale/upscaler.h"

/* What the machine can do, measured beside the runs. */
typedef struct kz_roofline {
    double peak;      /* multiply-accumulates per second, all threads; 0: unknown */
    double bandwidth; /* bytes per second that a copy reads and writes, all threads */
    int threads;
} kz_roofline;

/* Prints a table, or with `json` the members "peak_gflops", "copy_gbytes" and "layers" of an object
 * that the caller has begun. Where the device has no times for its layers the table says so. 0 or
 * KZ_ERROR_MEMORY, reported. */
int kz_bench_layers(const kz_upscaler *upscaler, const kz_roofline *roofline, bool json,
                    kz_log *log);

#endif
