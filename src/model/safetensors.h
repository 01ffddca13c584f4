/* Reader for safetensors files: named arrays of numbers and a few texts. Files are hostile. The
 * format: a 64-bit little-endian length, a JSON object of that length (name: dtype, shape, and
 * where its bytes begin and end; `__metadata__`: texts), then the arrays' bytes, without gaps. */
#ifndef KZ_MODEL_SAFETENSORS_H
#define KZ_MODEL_SAFETENSORS_H

#include "base/reader.h"

enum { KZ_TENSOR_RANK = 4 };

typedef struct kz_tensor {
    const char *name;
    int rank, shape[KZ_TENSOR_RANK]; /* every length at least 1 */
    size_t count;                    /* of numbers: the shape's product */
    int number_bytes;                /* 2: F16, 4: F32 */
    size_t begin;                    /* bytes from the first array's */
    const uint8_t *data;
} kz_tensor;

typedef struct kz_safetensors kz_safetensors;

/* `bytes` must outlive the result; `name` stands in messages only. Each array has a name of its
 * own, and together they are all that follows the header. Returns 0, KZ_ERROR_MEMORY or
 * KZ_ERROR_FAILED with a line that begins with `name`; then *file is NULL. */
int kz_safetensors_open(kz_safetensors **file, kz_bytes bytes, const char *name, kz_log *log);
void kz_safetensors_close(kz_safetensors **file); /* NULL is legal */

/* How many arrays there are, and the one of that name; NULL where there is none. */
int kz_safetensors_count(const kz_safetensors *file);
const kz_tensor *kz_safetensors_find(const kz_safetensors *file, const char *name);

/* A text of `__metadata__`, or NULL. */
const char *kz_safetensors_text(const kz_safetensors *file, const char *key);

/* The numbers, [count], the caller's to kz_free(); NULL where there is no memory. */
float *kz_tensor_numbers(const kz_tensor *tensor);

#endif
