/* A back end that is loaded while the program runs, so that the program itself doesn't need the
 * libraries it stands on: kizuna-cuda.so. */
#ifndef KZ_BACKEND_MODULE_H
#define KZ_BACKEND_MODULE_H

#include "backend/backend.h"

enum { KZ_WHY_SIZE = 400 }; /* room for a line that says why not */

/* What such a file exports. It has all else that it needs of
 * kizuna linked into itself, built from the same sources as the program. */
typedef struct kz_module {
    /* The first two are what a program of another version can still read. */
    size_t table_bytes;  /* sizeof(kz_backend) */
    const char *version; /* KZ_VERSION */
    const kz_backend *backend;
    /* Whether the device of that index can be used: 0, or KZ_ERROR_FAILED with why not in `why`,
     * one line without its end, as "no NVIDIA driver". */
    int (*check)(int index, char *why, size_t size);
} kz_module;

/* Defined in a module, not in the program. */
extern const kz_module kz_backend_module __attribute__((visibility("default")));

/* Loads kizuna-cuda.so: the one beside the running program, else the one that was installed with
 * it; never one that an environment variable or the working directory leads to. Returns 0 or
 * KZ_ERROR_FAILED with a line in `why` (not reported: who can do without isn't in trouble). The
 * module stays for as long as the process: CUDA's libraries don't bear being unloaded. Loading it
 * again gives the same. Thread-safe. */
int kz_module_load(const kz_module **module, char *why, size_t size);

#endif
