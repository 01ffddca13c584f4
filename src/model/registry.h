/* Models by name: manifests (models/NAME.json) and where their weights lie. */
#ifndef KZ_MODEL_REGISTRY_H
#define KZ_MODEL_REGISTRY_H

#include <stdbool.h>

#include "base/digest.h"
#include "model/graph.h"

typedef struct kz_model_info {
    char *name;         /* "animevideov3" */
    char *architecture; /* "SRVGG", "RRDBNet" */
    char *title;        /* one line for people */
    char *licence;      /* SPDX identifier */
    char *source;       /* where the weights come from */
    int scale;          /* native, 1 to 8 */
    int halo;           /* measured: input pixels around a tile for a difference below 1/255 */
    int near;           /* measured: code values of 8 bit that a reused input may have changed by */
    int near_halo;      /* input pixels around a part that is computed again by itself */
    int bf16;    /* measured: dB of bf16 to fp32, of scripts/compare-engines' pictures the worst */
    char *param; /* path of the .param file */
    char *bin;   /* path of the .bin file */
    char *param_sha256; /* hexadecimal; NULL when the model is a file without a manifest */
    char *bin_sha256;
    bool installed; /* both files are there */
} kz_model_info;

typedef struct kz_model {
    kz_model_info info;
    kz_graph *graph;             /* as read: not rewritten */
    char digest[KZ_DIGEST_TEXT]; /* of its files */
} kz_model;

/* The manifests found in DIR/models of each of the `n_dirs` data directories, weights expected in
 * DIR/models/weights; sorted by name, an earlier directory wins. A directory that doesn't exist is
 * skipped; a broken manifest is reported as a warning and skipped. Returns 0 or KZ_ERROR_MEMORY. */
int kz_registry_list(kz_model_info **infos, int *n_infos, char *const *dirs, int n_dirs,
                     kz_log *log);
void kz_registry_free(kz_model_info **infos, int n_infos);

/* Loads a model by its name, or, where `name` ends in .param or has a slash, from that file and the
 * .bin beside it. With a manifest the files' sha256 are checked first. Unknown names return
 * KZ_ERROR_USAGE and list what there is; weights that aren't installed, damaged files:
 * KZ_ERROR_FAILED. */
int kz_model_open(kz_model **model, const char *name, char *const *dirs, int n_dirs, kz_log *log);
void kz_model_close(kz_model **model);

#endif
