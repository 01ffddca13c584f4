/* Models by name: manifests (models/NAME.json) and where their weights lie. */
#ifndef KZ_MODEL_REGISTRY_H
#define KZ_MODEL_REGISTRY_H

#include <stdbool.h>

#include "base/digest.h"
#include "model/graph.h"

typedef struct kz_model_info {
    char *name;         /* "animevideov3" */
    char *architecture; /* "SRVGG", "RRDBNet"; "kizuna": our own */
    char *title;        /* one line for people */
    char *licence;      /* SPDX identifier */
    char *source;       /* where the weights come from */
    int scale;          /* native, 1 to 8 */
    int halo;      /* input pixels around a tile: measured, for a difference below 1/255, and of an
                    * open model no more than a pixel depends on; of our own networks all that, 0
                    * before the model is open */
    int near;      /* measured: code values of 8 bit that a reused input may have changed by */
    int near_halo; /* input pixels around a part that is computed again by itself */
    int bf16; /* measured: dB of bf16 to fp32, of scripts/compare-engines' pictures the worst */
    char *weights;        /* path of the file */
    char *param;          /* path of an ncnn model's .param file; NULL: there is none */
    char *weights_sha256; /* hexadecimal; NULL when the model is a file without a manifest */
    char *param_sha256;
    bool embedded;  /* inside the program: the paths are kz_embedded's */
    bool installed; /* all files are there */
} kz_model_info;

typedef struct kz_model {
    kz_model_info info;
    kz_graph *graph;             /* as read: not rewritten */
    kz_graph *twice;             /* the same applied to its own result; NULL: not made for that */
    char digest[KZ_DIGEST_TEXT]; /* of its files */
} kz_model;

/* The manifests found in DIR/models of each of the `n_dirs` data directories, and those inside the
 * program; weights are expected in DIR/models/weights, of our own networks beside the manifest.
 * Sorted by name, an earlier directory wins, and each before the program. A directory that doesn't
 * exist is skipped; a broken manifest is reported as a warning and skipped. Returns 0 or
 * KZ_ERROR_MEMORY. */
int kz_registry_list(kz_model_info **infos, int *n_infos, char *const *dirs, int n_dirs,
                     kz_log *log);
void kz_registry_free(kz_model_info **infos, int n_infos);

/* Loads a model by its name, or, where `name` ends in .param or .safetensors or has a slash, from
 * that file and, for a .param, the .bin beside it. With a manifest the files' sha256 are checked
 * first. Unknown names return KZ_ERROR_USAGE and list what there is; weights that aren't installed,
 * damaged files: KZ_ERROR_FAILED. */
int kz_model_open(kz_model **model, const char *name, char *const *dirs, int n_dirs, kz_log *log);
void kz_model_close(kz_model **model);

/* How a picture is enlarged. */
typedef struct kz_model_use {
    const kz_graph *graph; /* the model's */
    int scale;
    int halo, near_halo; /* as kz_model_info's */
} kz_model_use;

/* Once where that reaches the output's size or the model can't be applied twice, else twice. */
kz_model_use kz_model_use_for(const kz_model *model, int in_width, int in_height, int out_width,
                              int out_height);

/* As far as a model enlarges. */
int kz_model_most_scale(const kz_model *model);

#endif
