/* A value as the kernels see it, in memory of a test's own: rows of blocks or planar, with margins.
 */
#ifndef KZ_TESTS_KERNEL_VALUE_H
#define KZ_TESTS_KERNEL_VALUE_H

#include <stdint.h>
#include <string.h>

#include "backend/kernels/kernel.h"
#include "base/mem.h"
#include "check.h"

enum { MARGIN = 24 };

/* ---- elements ---- */

static inline float round_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000;
    memcpy(&x, &bits, 4);
    return x;
}

static inline void put(void *data, bool bf16, size_t at, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (bf16)
        ((uint16_t *)data)[at] = (uint16_t)(bits >> 16); /* x is rounded already */
    else
        ((float *)data)[at] = x;
}

static inline float get(const void *data, bool bf16, size_t at)
{
    if (!bf16)
        return ((const float *)data)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)data)[at] << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* ---- a value: rows of blocks, or planar ---- */

struct value {
    int channels, rows, columns; /* columns without the margins */
    int block;                   /* channels of a block; 1: planar */
    bool bf16;
    size_t row_bytes; /* of one block */
    char *data;       /* [blocks][rows][row_bytes] */
};

static inline int blocks(const struct value *v)
{
    return (v->channels + v->block - 1) / v->block;
}

static inline char *row(const struct value *v, int block, int y)
{
    return v->data + (size_t)(block * v->rows + y) * v->row_bytes;
}

static inline size_t pixel_bytes(const struct value *v)
{
    return v->block == 1 ? sizeof(float) : KZ_PIXEL_BYTES;
}

/* Column 0. */
static inline char *start(const struct value *v, int block, int y)
{
    return row(v, block, y) + MARGIN * pixel_bytes(v);
}

static inline struct value open_value(int channels, int rows, int columns, bool planar, bool bf16,
                                      int fill)
{
    struct value v = {.channels = channels,
                      .rows = rows,
                      .columns = columns,
                      .block = planar ? 1 : kz_block_channels(bf16),
                      .bf16 = bf16};
    v.row_bytes = (size_t)(columns + 2 * MARGIN) * pixel_bytes(&v);
    size_t bytes = v.row_bytes * (size_t)(blocks(&v) * rows);
    v.data = kz_alloc_raw(bytes, 1);
    CHECK(v.data);
    memset(v.data, fill, bytes);
    return v;
}

static inline float read_value(const struct value *v, int channel, int y, int x)
{
    if (x < 0 || x >= v->columns)
        return 0;
    return get(start(v, channel / v->block, y), v->bf16,
               (size_t)(x * v->block + channel % v->block));
}

#endif
