/* NVIDIA's cuDNN, loaded when it is wanted: nothing here links to it, and a machine without it
 * loses only its engines. Every object is used by one caller at a time; two libraries, devices or
 * convolutions are independent. */
#ifndef KZ_CUDA_CUDNN_LIBRARY_H
#define KZ_CUDA_CUDNN_LIBRARY_H

#include <stddef.h>

#include "base/log.h"

typedef struct kz_cudnn kz_cudnn;

/* Loads libcudnn.so.9, found by the dynamic linker and nowhere else. Returns 0, KZ_ERROR_MEMORY, or
 * KZ_ERROR_FAILED with one line: it isn't installed, it is too old, it isn't whole. */
int kz_cudnn_open(kz_cudnn **cudnn, kz_log *log);

/* Sets *cudnn to NULL; NULL is legal. After everything that was opened with it. */
void kz_cudnn_close(kz_cudnn **cudnn);

/* As cuDNN writes it: 91900 is 9.19.0. Engines and their numbers change with it. */
size_t kz_cudnn_version(const kz_cudnn *cudnn);

/* A GPU that engines are chosen for. */
typedef struct kz_cudnn_device kz_cudnn_device;

/* The calling thread's current CUDA device, which must be current in every later call that takes
 * this device, too. Returns 0, KZ_ERROR_MEMORY or KZ_ERROR_FAILED (no GPU, no driver; reported). */
int kz_cudnn_device_open(kz_cudnn_device **device, kz_cudnn *cudnn, kz_log *log);

/* A GPU that isn't here, as cuDNN describes one in JSON: engines can be listed for it, nothing can
 * run. Which engines are listed is a hint: those that ask the driver about the GPU are missing. */
int kz_cudnn_device_describe(kz_cudnn_device **device, kz_cudnn *cudnn, const char *json,
                             size_t length, kz_log *log);

/* Sets *device to NULL; NULL is legal. After the plans that run on it. */
void kz_cudnn_device_close(kz_cudnn_device **device);

#endif
