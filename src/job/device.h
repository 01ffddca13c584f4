/* Where the network runs: what --device says, and what there is. */
#ifndef KZ_JOB_DEVICE_H
#define KZ_JOB_DEVICE_H

#include "backend/module.h"

enum { KZ_NOTE_SIZE = KZ_WHY_SIZE + 20 };

/* The back end that was found. */
typedef struct kz_found_device {
    const kz_backend *backend;
    int index; /* as in kz_device_params */
    /* " (no CUDA: no NVIDIA driver)" where the CPU was taken for want of better, else "". */
    char note[KZ_NOTE_SIZE];
} kz_found_device;

/* Whether `text` is auto, cpu, reference, cuda or cuda:N. 0 or KZ_ERROR_USAGE (reported). */
int kz_device_check(const char *text, kz_log *log);

/* The back end for it. Returns 0, KZ_ERROR_USAGE as above, or KZ_ERROR_FAILED (reported) where the
 * one asked for by name can't be had. */
int kz_device_find(kz_found_device *found, const char *text, kz_log *log);

#endif
