/* What one job can be told: the values and their table. */
#ifndef KZ_JOB_OPTIONS_H
#define KZ_JOB_OPTIONS_H

#include <stdint.h>

#include "base/option.h"

typedef struct kz_job_options {
    char *output;
    char *scale;
    char *model;
    char *preset;
    char *encoder;                                /* libavcodec's name, or auto */
    double crf;                                   /* < 0: not given */
    char *encoder_preset;                         /* NULL: not given */
    bool from_user_crf, from_user_encoder_preset; /* given by hand, not by a preset */
    char *x265_params;
    char *pix_fmt;
    char *format;
    char *device;  /* auto, cpu, reference, cuda or cuda:N */
    int precision; /* enum kz_precision */
    int tile, halo;
    char *reuse; /* off, exact, near or near=T; NULL: exact */
    char *reuse_map;
    int threads;
    int cpu_level; /* 0: all this machine has; else enum kz_cpu_level + 1 */
    char *audio, *subs, *drop;
    char *size; /* of a raw input; NULL: not raw */
    char *fps;
    int deinterlace; /* enum kz_deinterlace */
    bool ivtc;
    char *vf;
    double start, duration;
    int frames;
    bool overwrite, keep_existing;
    bool no_verify;
    bool strict;
    bool restart, no_resume;
    int on_change;  /* refuse, restart */
    char *progress; /* auto, bar, json, off, a URL or a file descriptor */
    bool verbose, quiet;
    bool help;
    /* No options. */
    bool network_tone; /* for measuring the network itself */
    /* Of tiles, as a run that goes on had them; columns 0: by `tile` and `halo`. */
    int columns, rows, tiles_halo;
} kz_job_options;

kz_option_table kz_job_option_table(void);

/* Defaults, then the preset that the arguments name (or the default preset), then the arguments.
 * `dirs` are the data directories whose presets/NAME.json is looked for, before the program's own.
 * Same results as kz_options_parse(). Free the values with kz_options_free() in any case. */
int kz_job_options_parse(kz_job_options *options, int argc, char **argv, char **arguments,
                         int *n_arguments, char *const *dirs, int n_dirs, kz_log *log);

#endif
