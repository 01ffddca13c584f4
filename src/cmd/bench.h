/* What the two kinds of `kizuna bench` share. */
#ifndef KZ_CMD_BENCH_H
#define KZ_CMD_BENCH_H

#include "job/job.h"

typedef struct kz_bench_options {
    char *model;
    char *size;   /* of the synthetic picture */
    char *stages; /* a clip: time each stage alone */
    char *input, *dump, *reuse;
    char *device;
    int precision, tile, halo, threads, cpu_level, frames, matrix;
    char *encoder, *encoder_preset, *scale;
    bool layers, precisions, json, help;
} kz_bench_options;

/* A job's options with what the benchmark was told. The strings stay the benchmark's. */
void kz_bench_job_options(kz_job_options *job, const kz_bench_options *options);

/* Lines about the network and where it runs; none where JSON is asked for. */
void kz_bench_print_engine(const kz_bench_options *options, const kz_engine *engine);

/* Runs decoder, network and encoder over a clip one after the other, each alone, with the frames of
 * the stage before kept in memory; prints a line each. 0 or an error code. */
int kz_bench_stages(const kz_bench_options *options, const kz_dirs *dirs, kz_log *log);

/* Runs the network over a clip, each frame with reuse and without, and prints a line each and one
 * for all. 0 or an error code. */
int kz_bench_reuse(const kz_bench_options *options, const char *clip, const kz_dirs *dirs,
                   kz_log *log);

#endif
