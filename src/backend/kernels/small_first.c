/* The beginning of a small network: 3×3 convolution of the picture to blocks in fp32, direct. In a
 * larger network it hardly counts; here it does, so four rows are made together, and a pixel of the
 * picture, spread over a vector, serves nine sums. */
#include "backend/kernels/kernel.h"
#include "backend/kernels/table.h"
#include "backend/kernels/vector.h"

enum { ROWS = 4, TAPS = 3 };

#if defined(__AVX512F__)
enum { COLUMNS = 4 };
#else
enum { COLUMNS = 2 };
#endif

/* Adds column `x` of the picture, which is column `i` of those that the sums need. */
INLINE void add_column(vec sums[ROWS][COLUMNS], const float *const *rows, int x, int i,
                       const vec *weights)
{
    UNROLLED_FOR (int y = 0; y < ROWS + TAPS - 1; y++) {
        const vec pixel = vec_set(rows[y][x]);
        UNROLLED_FOR (int tap = 0; tap < TAPS * TAPS; tap++) {
            const int row = y - tap / TAPS, column = i - tap % TAPS;
            if (row >= 0 && row < ROWS && column >= 0 && column < COLUMNS)
                sums[row][column] = vec_fma(weights[tap], pixel, sums[row][column]);
        }
    }
}

/* A vector of outputs, from lane n on. */
INLINE void run_vector(const kz_kernel *k, const kz_kernel_run *run, const float *const *rows,
                       int n)
{
    const vec bias = vec_load(k->bias + n), slopes = vec_load(k->slopes + n);
    vec weights[TAPS * TAPS];
    for (int tap = 0; tap < TAPS * TAPS; tap++)
        weights[tap] = vec_load((const float *)k->weights + tap * k->out_lanes + n);
    for (int x = 0; x < run->columns; x += COLUMNS) {
        const int columns = run->columns - x < COLUMNS ? run->columns - x : COLUMNS;
        vec sums[ROWS][COLUMNS];
        UNROLLED_FOR (int i = 0; i < ROWS * COLUMNS; i++)
            sums[i / COLUMNS][i % COLUMNS] = bias;
        UNROLLED_FOR (int i = 0; i < COLUMNS + TAPS - 1; i++)
            add_column(sums, rows, x + i, i, weights);
        UNROLLED_FOR (int y = 0; y < ROWS; y++) {
            if (y >= run->rows)
                break;
            float *to = (float *)run->dst[y * k->out_blocks + n / 16] + x * 16 + n % 16;
            UNROLLED_FOR (int i = 0; i < COLUMNS; i++)
                if (i < columns)
                    vec_store(to + i * 16,
                              k->activated ? vec_slope(sums[y][i], slopes) : sums[y][i]);
        }
    }
}

static void run_first(const kz_kernel *k, const kz_kernel_run *run)
{
    const float *rows[ROWS + TAPS - 1];
    for (int y = 0; y < ROWS + TAPS - 1; y++)
        rows[y] = run->src[y];
    for (int n = 0; n < k->out_lanes; n += LANES)
        run_vector(k, run, rows, n);
}

const kz_kernel_ops KZ_KERNEL(small_first) = {.name = "first, direct, four rows",
                                              .in_rows = ROWS + TAPS - 1,
                                              .in_step = ROWS,
                                              .out_rows = ROWS,
                                              .grain = 1,
                                              .overread = COLUMNS,
                                              .run = run_first};
