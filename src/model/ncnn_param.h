/* The text half of an ncnn model, as a list of layers; what they mean is ncnn.c's business. */
#ifndef KZ_MODEL_NCNN_PARAM_H
#define KZ_MODEL_NCNN_PARAM_H

#include "base/reader.h"

enum { KZ_NCNN_IDS = 24, KZ_NCNN_ARRAY = 4, KZ_NCNN_BLOBS = 16 };

typedef struct kz_ncnn_layer {
    char type[32], name[64];
    int line; /* in the file */
    int n_in, n_out;
    int in[KZ_NCNN_BLOBS], out[KZ_NCNN_BLOBS]; /* blob numbers */
    double value[KZ_NCNN_IDS];                 /* key id=value; 0 where absent */
    int array_length[KZ_NCNN_IDS];             /* key -23300-id=length,…; 0 where absent */
    double array[KZ_NCNN_IDS][KZ_NCNN_ARRAY];
} kz_ncnn_layer;

typedef struct kz_ncnn_param {
    kz_ncnn_layer *layers;
    int n_layers, n_blobs;
    int output; /* the blob called "output", or the last layer's first */
} kz_ncnn_param;

/* Returns 0, KZ_ERROR_MEMORY or KZ_ERROR_FAILED with the file's name and the line. */
int kz_ncnn_param_parse(kz_ncnn_param *param, kz_bytes text, const char *name, kz_log *log);
void kz_ncnn_param_free(kz_ncnn_param *param);

#endif
