/* Direct convolution with AMX. A tile product takes 16 pixels × 32 channels and 32 channels × 16
 * outputs in bf16 to 16 pixels × 16 outputs in fp32: 8192 multiply-adds in 16 cycles. A pixel's
 * block is 64 bytes, so that 16 pixels of a row, wherever they start, are a tile as they lie in
 * memory: a tap is no more than an address.
 *
 * A unit is 4 rows × 16 pixels × 16 outputs of a convolution, four tiles of sums. A step of it is
 * one column of taps of one block of channels: its weights (three tiles) are held while the rows
 * pass, and a row feeds each sum that has a tap on it.
 *
 *          tiles      rows read   loads   products   loads' share of a product's time
 *   3×3    4 + 3 + 1  6           9       12         9 × 8 / (12 × 16) = 0.38
 *   2×2    4 + 2 + 1  5           7       8          7 × 8 / (8 × 16)  = 0.44
 *
 * (sums + weights + values; by Intel's optimization manual a load takes 8 cycles from L1 and a
 * product 16). The usual two tiles of pixels by two of outputs load 4 for 4 products, 0.5. A sum's
 * next product may start 52 cycles after its last: a step gives it three in 192 cycles, or two in
 * 128.
 *
 * Upsampling by two is four convolutions of 2×2, one for each phase: pixel (2 y + a, 2 x + b) has
 * its taps at rows y + a - 1 and y + a and columns x + b - 1 and x + b of the input. A unit is one
 * phase of 4 × 16 pixels of the input; its pixels lie apart in the output.
 *
 * Units go through all pixels of the row for the same outputs, so that their weights (18 KiB for 64
 * channels, 32 KiB for the four phases) stay in the nearest cache they fit while the values come
 * from L2: 6 rows × 18 pixels × 64 bytes in 576 cycles, 12 bytes a cycle. The bias is what the sums
 * start from. Sums are stored to a buffer in L1 and finished (activation, residuals, rounding) a
 * few pixels after each step of the next unit, while its products run.
 *
 * A call loads the tiles' configuration and releases it: two instructions in some 50 µs, and no
 * caller needs to know of tiles.
 *
 * Half a block may be padding, as with 16 channels; it isn't computed, and zeros are written there:
 * a product with whatever was there before might be no number, though its weights are zero.
 *
 * Pixels beyond the last column are computed from whatever is there, and dropped: a tile's rows
 * don't mix. */
#include "backend/kernels/amx_tile.h"
#include "backend/kernels/kernel.h"
#include "backend/kernels/table.h"
#include "backend/kernels/vector.h"
#include "base/mem.h"
#include "base/thread.h"

enum { ROWS = 4, PIXELS = TILE_ROWS, OUTPUTS = 16, PHASES = 4 };

struct unit {
    int n;     /* its first output */
    int x;     /* its first pixel: of the output, with phases of the input */
    int phase; /* 2 a + b */
};

/* The unit whose sums are in the buffer. */
struct unfinished {
    struct unit unit;
    int pixels; /* to finish at a time, all of one row */
    int times;  /* after each step */
    int next, end;
};

/* ---- output ---- */

INLINE vec load_residual(const void *p, bool narrow)
{
    return narrow ? load_half(p, 0) : vec_load(p);
}

INLINE void store_output(void *p, vec v, bool narrow)
{
    if (narrow)
        store_half(p, v);
    else
        vec_store(p, v);
}

/* Pixels `first` … `first + count - 1` of one of the unit's rows, as far as the output has them. */
INLINE void finish_pixels(const kz_kernel *k, const kz_kernel_run *run, const struct unit *u,
                          int row, int first, int count, bool phases, bool narrow)
{
    const int step = phases ? 2 : 1, n_residuals = k->n_residuals;
    const int y = row * step + (phases ? u->phase / 2 : 0);
    const int x = (u->x + first) * step + (phases ? u->phase % 2 : 0);
    if (y >= run->rows || x >= run->columns)
        return;
    const int left = (run->columns - x + step - 1) / step;
    const int block = u->n / (narrow ? 32 : 16);
    const size_t at = (size_t)x * KZ_PIXEL_BYTES + (narrow && u->n % 32 ? KZ_PIXEL_BYTES / 2 : 0);
    const size_t stride = (size_t)step * KZ_PIXEL_BYTES;
    const bool pads = narrow && u->n % 32 == 0 && u->n + OUTPUTS >= k->out_channels;
    const float *sums = (const float *)run->scratch + (row * PIXELS + first) * OUTPUTS;
    const char *residuals[KZ_KERNEL_RESIDUALS];
    vec coefs[KZ_KERNEL_RESIDUALS], slopes = vec_load(k->slopes + u->n);
    for (int r = 0; r < n_residuals; r++) {
        int index = (r * k->ops->out_rows + y) * k->out_blocks + block;
        residuals[r] = (const char *)run->residuals[index] + at;
        coefs[r] = vec_set(k->coefs[r]);
    }
    char *to = (char *)run->dst[y * k->out_blocks + block] + at;
    for (int i = 0; i < count && i < left; i++) {
        vec v = vec_slope(vec_load(sums + i * OUTPUTS), slopes); /* 1 where not activated */
        for (int r = 0; r < n_residuals; r++)
            v = vec_fma(coefs[r], load_residual(residuals[r] + (size_t)i * stride, narrow), v);
        store_output(to + (size_t)i * stride, v, narrow);
        if (pads)
            store_half(to + (size_t)i * stride + KZ_PIXEL_BYTES / 2, vec_set(0));
    }
}

INLINE void finish_some(const kz_kernel *k, const kz_kernel_run *run, struct unfinished *u,
                        int times, bool phases, bool narrow)
{
    for (; times > 0 && u->next < u->end; times--, u->next++) {
        int first = u->next * u->pixels;
        finish_pixels(k, run, &u->unit, first / PIXELS, first % PIXELS, u->pixels, phases, narrow);
    }
}

/* So many pixels at a time that all are finished when the steps are done. */
static struct unfinished plan_finish(int steps)
{
    struct unfinished u = {.pixels = PIXELS};
    while (u.pixels > 1 && ROWS * PIXELS / (u.pixels / 2) <= steps)
        u.pixels /= 2;
    u.next = u.end = ROWS * PIXELS / u.pixels; /* nothing yet */
    u.times = (u.end + steps - 1) / steps;
    return u;
}

/* ---- products ---- */

/* Tiles 0 to 3 hold the rows' sums, 4 the values, 5 to 7 the weights. `rows` are `blocks` pointers
 * apart. */
#define VALUES(row) tile_load(t, 4, rows[(row)*blocks] + at, KZ_PIXEL_BYTES)
#define WEIGHTS(tile, tap) tile_load(t, tile, weights + (tap)*TILE_BYTES, TILE_ROW_BYTES)
#define PRODUCT(row, tile) tile_dot(t, row, 4, tile)

INLINE void conv_step(struct tiles *t, const char *const *rows, int blocks, size_t at,
                      const char *weights)
{
    WEIGHTS(5, 0);
    VALUES(0);
    PRODUCT(0, 5);
    WEIGHTS(6, 1);
    VALUES(1);
    PRODUCT(1, 5);
    PRODUCT(0, 6);
    WEIGHTS(7, 2);
    VALUES(2);
    PRODUCT(2, 5);
    PRODUCT(1, 6);
    PRODUCT(0, 7);
    VALUES(3);
    PRODUCT(3, 5);
    PRODUCT(2, 6);
    PRODUCT(1, 7);
    VALUES(4);
    PRODUCT(3, 6);
    PRODUCT(2, 7);
    VALUES(5);
    PRODUCT(3, 7);
}

INLINE void phase_step(struct tiles *t, const char *const *rows, int blocks, size_t at,
                       const char *weights)
{
    WEIGHTS(5, 0);
    VALUES(0);
    PRODUCT(0, 5);
    WEIGHTS(6, 1);
    VALUES(1);
    PRODUCT(1, 5);
    PRODUCT(0, 6);
    VALUES(2);
    PRODUCT(2, 5);
    PRODUCT(1, 6);
    VALUES(3);
    PRODUCT(3, 5);
    PRODUCT(2, 6);
    VALUES(4);
    PRODUCT(3, 6);
}

INLINE void start_sums(struct tiles *t, const float *bias)
{
    tile_load(t, 0, bias, 0); /* the same for each pixel */
    tile_load(t, 1, bias, 0);
    tile_load(t, 2, bias, 0);
    tile_load(t, 3, bias, 0);
}

INLINE void store_sums(struct tiles *t, char *sums)
{
    tile_store(t, 0, sums, TILE_ROW_BYTES);
    tile_store(t, 1, sums + TILE_BYTES, TILE_ROW_BYTES);
    tile_store(t, 2, sums + 2 * TILE_BYTES, TILE_ROW_BYTES);
    tile_store(t, 3, sums + 3 * TILE_BYTES, TILE_ROW_BYTES);
}

/* One unit's sums, while the one before is finished. */
INLINE void run_unit(struct tiles *t, const kz_kernel *k, const kz_kernel_run *run,
                     const struct unit *u, const char *weights, struct unfinished *before,
                     bool phases, bool narrow)
{
    const int taps = phases ? 2 : 3, blocks = k->in_blocks;
    const char *const *rows = (const char *const *)run->src + (phases ? u->phase / 2 : 0) * blocks;
    const size_t left = (size_t)(u->x + (phases ? u->phase % 2 : 0)) * KZ_PIXEL_BYTES;
    start_sums(t, k->bias + u->n);
    for (int b = 0; b < blocks; b++)
        for (int tap = 0; tap < taps; tap++) {
            size_t at = left + (size_t)tap * KZ_PIXEL_BYTES;
            if (phases)
                phase_step(t, rows + b, blocks, at, weights);
            else
                conv_step(t, rows + b, blocks, at, weights);
            weights += taps * TILE_BYTES;
            finish_some(k, run, before, before->times, phases, narrow);
        }
    store_sums(t, run->scratch);
    before->unit = *u;
    before->next = 0;
}

INLINE void run_units(const kz_kernel *k, const kz_kernel_run *run, bool phases, bool narrow)
{
    const int taps = phases ? 2 : 3, n_phases = phases ? PHASES : 1;
    const int columns = phases ? (run->columns + 1) / 2 : run->columns;
    const size_t unit_bytes = (size_t)(k->in_blocks * taps * taps) * TILE_BYTES;
    struct unfinished before = plan_finish(k->in_blocks * taps);
    struct tiles tiles;
    tile_configure(&tiles);
    for (int n = 0; n < k->out_channels; n += OUTPUTS) {
        const char *weights =
            (const char *)k->weights + (size_t)(n / OUTPUTS * n_phases) * unit_bytes;
        for (int x = 0; x < columns; x += PIXELS)
            for (int phase = 0; phase < n_phases; phase++) {
                struct unit unit = {.n = n, .x = x, .phase = phase};
                run_unit(&tiles, k, run, &unit, weights + (size_t)phase * unit_bytes, &before,
                         phases, narrow);
            }
    }
    tile_release(&tiles);
    finish_some(k, run, &before, before.end, phases, narrow);
}

/* ---- calls ---- */

static void run_conv(const kz_kernel *k, const kz_kernel_run *run)
{
    if (k->wide)
        run_units(k, run, false, false);
    else
        run_units(k, run, false, true);
}

static void run_phase(const kz_kernel *k, const kz_kernel_run *run)
{
    run_units(k, run, true, true);
}

static size_t scratch(const kz_kernel *k)
{
    (void)k;
    return ROWS * TILE_BYTES;
}

#define OPS \
    .in_rows = ROWS + 2, .in_step = ROWS, .overread = PIXELS - 1, .scratch = scratch, .bf16 = true

const kz_kernel_ops KZ_KERNEL(conv) = {
    .name = "direct 3×3, AMX", OPS, .out_rows = ROWS, .grain = 1, .run = run_conv};
const kz_kernel_ops KZ_KERNEL(phase) = {
    .name = "upsampling 3×3, AMX", OPS, .out_rows = 2 * ROWS, .grain = 2, .run = run_phase};

/* ---- peak ---- */

#if !defined(KZ_AMX_EMULATED)

double KZ_KERNEL(peak)(double seconds)
{
    enum { STEPS = 1024, PRODUCTS = 4, MACS = 16 * 16 * 32 };
    _Alignas(64) static const char zeros[TILE_BYTES];
    struct tiles tiles;
    double began = kz_now(), passed;
    long rounds = 0;
    tile_configure(&tiles);
    tile_load(&tiles, 0, zeros, TILE_ROW_BYTES);
    tile_load(&tiles, 1, zeros, TILE_ROW_BYTES);
    tile_load(&tiles, 2, zeros, TILE_ROW_BYTES);
    tile_load(&tiles, 3, zeros, TILE_ROW_BYTES);
    tile_load(&tiles, 4, zeros, TILE_ROW_BYTES);
    tile_load(&tiles, 5, zeros, TILE_ROW_BYTES);
    do {
        for (int step = 0; step < STEPS; step++) {
            tile_dot(&tiles, 0, 4, 5);
            tile_dot(&tiles, 1, 4, 5);
            tile_dot(&tiles, 2, 4, 5);
            tile_dot(&tiles, 3, 4, 5);
        }
        rounds++;
        passed = kz_now() - began;
    } while (passed < seconds);
    tile_release(&tiles);
    return (double)rounds * STEPS * PRODUCTS * MACS / passed;
}

#endif
