/* AMX's tile instructions as the kernels use them: eight tiles of 16 rows of 64 bytes. With
 * KZ_AMX_EMULATED the same names are plain C on tiles in memory, so that a CPU without AMX can test
 * everything around them.
 *
 * A tile is named by a literal number, and every operation is given the struct tiles, which the
 * instructions have no need of. A thread loads the configuration before and releases it after: a
 * thread that sleeps with tiles in use costs 8 KiB at each switch. */
#ifndef KZ_BACKEND_KERNELS_AMX_TILE_H
#define KZ_BACKEND_KERNELS_AMX_TILE_H

#include <stdint.h>

enum { TILES = 8, TILE_ROWS = 16, TILE_ROW_BYTES = 64, TILE_BYTES = TILE_ROWS * TILE_ROW_BYTES };

#if defined(KZ_AMX_EMULATED)

#include <stddef.h>
#include <string.h>

struct tiles {
    _Alignas(64) unsigned char tile[TILES][TILE_ROWS][TILE_ROW_BYTES];
};

static inline void tile_configure(struct tiles *tiles)
{
    memset(tiles, 0, sizeof(*tiles));
}

static inline void tile_release(struct tiles *tiles)
{
    memset(tiles, 0xff, sizeof(*tiles)); /* NaN to whoever goes on */
}

static inline void tile_load(struct tiles *tiles, int tile, const void *from, long stride)
{
    for (int i = 0; i < TILE_ROWS; i++)
        memcpy(tiles->tile[tile][i], (const char *)from + i * stride, TILE_ROW_BYTES);
}

static inline void tile_store(const struct tiles *tiles, int tile, void *to, long stride)
{
    for (int i = 0; i < TILE_ROWS; i++)
        memcpy((char *)to + i * stride, tiles->tile[tile][i], TILE_ROW_BYTES);
}

/* Sanitizers, which find nothing in arithmetic, would take most of a test's time here. */
#define TILE_ARITHMETIC __attribute__((no_sanitize("address", "undefined"))) static inline

TILE_ARITHMETIC float tile_flush(float x)
{
    return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0, x) : x;
}

/* Lane 0, the lower half, or lane 1 of 16 pairs. */
TILE_ARITHMETIC void tile_widen(float wide[16], const unsigned char *row, int lane)
{
    uint32_t pairs[16];
    memcpy(pairs, row, sizeof(pairs));
    for (int i = 0; i < 16; i++) {
        uint32_t bits = lane ? pairs[i] & 0xffff0000 : pairs[i] << 16;
        memcpy(&wide[i], &bits, sizeof(bits));
        wide[i] = tile_flush(wide[i]);
    }
}

/* In the order that Intel's manual gives for TDPBF16PS: even and odd channels have sums of their
 * own, which start at zero and are added to each other and then to the accumulator. All is rounded
 * to nearest, denormals are zero going in and coming out, and MXCSR has no say. */
TILE_ARITHMETIC void tile_dot(struct tiles *tiles, int sums, int a, int b)
{
    float weights[2][TILE_ROWS][16];
    for (int lane = 0; lane < 2; lane++)
        for (int k = 0; k < TILE_ROWS; k++)
            tile_widen(weights[lane][k], tiles->tile[b][k], lane);
    for (int m = 0; m < TILE_ROWS; m++) {
        float part[2][16] = {{0}}, sum[16];
        for (int lane = 0; lane < 2; lane++) {
            float values[16];
            tile_widen(values, tiles->tile[a][m], lane);
            for (int k = 0; k < 16; k++)
                for (int n = 0; n < 16; n++)
                    part[lane][n] =
                        tile_flush(__builtin_fmaf(values[k], weights[lane][k][n], part[lane][n]));
        }
        memcpy(sum, tiles->tile[sums][m], sizeof(sum));
        for (int n = 0; n < 16; n++)
            sum[n] = tile_flush(tile_flush(sum[n]) + tile_flush(part[0][n] + part[1][n]));
        memcpy(tiles->tile[sums][m], sum, sizeof(sum));
    }
}

#elif defined(__AMX_BF16__) || defined(__AMXBF16__) /* else the header is read for its own sake */

#include <immintrin.h>

struct tiles {
    char unused;
};

/* What ldtilecfg reads. */
struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

_Static_assert(sizeof(struct tile_shapes) == 64, "as the instruction reads it");

static const _Alignas(64) struct tile_shapes tile_shapes = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

/* The compiler is told nothing of the memory that tiles are loaded from: what was written before
 * must be there. */
#define tile_configure(tiles)              \
    do {                                   \
        (void)(tiles);                     \
        _tile_loadconfig(&tile_shapes);    \
        __asm__ volatile("" ::: "memory"); \
    } while (0)

#define tile_release(tiles) \
    do {                    \
        (void)(tiles);      \
        _tile_release();    \
    } while (0)

#define tile_load(tiles, tile, from, stride) \
    do {                                     \
        (void)(tiles);                       \
        _tile_loadd(tile, from, stride);     \
    } while (0)

#define tile_store(tiles, tile, to, stride) \
    do {                                    \
        (void)(tiles);                      \
        _tile_stored(tile, to, stride);     \
    } while (0)

#define tile_dot(tiles, sums, a, b) \
    do {                            \
        (void)(tiles);              \
        _tile_dpbf16ps(sums, a, b); \
    } while (0)

#endif
#endif
