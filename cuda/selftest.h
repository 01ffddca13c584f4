/* Does a device compute what it should? A network with every kind of layer, and one that runs in
 * one kernel, are compared with the reference, before a film is given to it: a driver, a card or a
 * kernel may be wrong. */
#ifndef KZ_CUDA_SELFTEST_H
#define KZ_CUDA_SELFTEST_H

#include "backend/backend.h"

/* 0, or KZ_ERROR_FAILED with a few words why not. Takes some 50 ms. */
int kz_cuda_selftest(const kz_backend *backend, int index, char *why, size_t size);

#endif
