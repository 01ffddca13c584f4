/* What small networks' convolutions begin with: tiles of 6×6 pixels, transformed.
 *
 * All of it is compiled for a number of lanes, so that what lies where is known: otherwise
 * addresses of six rows and 36 positions take more registers and loads than there are. */
#ifndef KZ_BACKEND_KERNELS_SMALL_TILES_H
#define KZ_BACKEND_KERNELS_SMALL_TILES_H

#include "backend/kernels/kernel.h"
#include "backend/kernels/near.h"
#include "backend/kernels/vector.h"

#if defined(__AVX2__) /* else the header is read for its own sake */

enum { TILE = KZ_NEAR_TILE, OUT = KZ_NEAR_OUT, POSITIONS = TILE * TILE };

/* Tiles that are worked on together, and of which a rest is a multiple. */
#if defined(__AVX512F__)
enum { CHUNK = 12, TILE_STEP = 4 };
#else
enum { CHUNK = 6, TILE_STEP = 2 };
#endif

#if defined(KZ_BF16)
typedef uint16_t element;
enum { STEP = 2 };
#else
typedef float element;
enum { STEP = 1 };
#endif

/* ---- input ---- */

INLINE void store_element(element *p, vec v)
{
#if defined(KZ_BF16)
    store_half(p, v);
#else
    vec_store(p, v);
#endif
}

/* Column `at` of the tile, transformed downwards, as column `to` of `d`. */
INLINE void load_column(vec d[TILE][TILE], int to, const char *const *rows, size_t at)
{
    vec column[TILE];
    UNROLLED_FOR (int y = 0; y < TILE; y++)
        column[y] = vec_load((const float *)(const void *)(rows[y] + at));
    forward_near(column);
    UNROLLED_FOR (int y = 0; y < TILE; y++)
        d[y][to] = column[y];
}

/* One vector of channels of all the chunk's tiles: [position][CHUNK][LANES]. */
INLINE void forward_vector(element *out, const char *const *rows, size_t at, int tiles)
{
    enum { POSITION = CHUNK * LANES };
    vec d[TILE][TILE];
    load_column(d, 0, rows, at);
    load_column(d, 1, rows, at + KZ_PIXEL_BYTES);
    for (int t = 0; t < tiles; t++) {
        size_t left = at + (size_t)(t * OUT) * KZ_PIXEL_BYTES;
        UNROLLED_FOR (int x = 2; x < TILE; x++)
            load_column(d, x, rows, left + (size_t)x * KZ_PIXEL_BYTES);
        UNROLLED_FOR (int y = 0; y < TILE; y++) {
            vec line[TILE];
            UNROLLED_FOR (int x = 0; x < TILE; x++)
                line[x] = d[y][x];
            d[y][0] = line[4];
            d[y][1] = line[5];
            forward_near(line);
            element *p = out + y * TILE * POSITION + t * LANES;
            UNROLLED_FOR (int x = 0; x < TILE; x++)
                store_element(p + x * POSITION, line[x]);
        }
    }
}

/* Of one vector of channels. */
enum { VALUES = POSITIONS * CHUNK * LANES };

/* Tiles `first` …, `tiles` of them, at most CHUNK: [lanes / LANES][position][CHUNK][LANES]. A line
 * of the cache is written once: by tiles that follow each other, not by one vector of channels and
 * then by the next. */
INLINE void forward_tiles(element *out, int lanes, const kz_kernel *k, const kz_kernel_run *run,
                          int first, int tiles)
{
    const size_t at = (size_t)(first * OUT) * KZ_PIXEL_BYTES;
    for (int lane = 0; lane < lanes; lane += LANES) {
        const char *rows[TILE];
        for (int y = 0; y < TILE; y++)
            rows[y] = run->src[y * k->in_blocks + lane / 16];
        forward_vector(out, rows, at + (size_t)(lane % 16) * sizeof(float), tiles);
        out += VALUES;
    }
}

static inline size_t value_bytes(const kz_kernel *k)
{
    return (size_t)(VALUES * (k->in_lanes / LANES)) * sizeof(element);
}

#endif
#endif
