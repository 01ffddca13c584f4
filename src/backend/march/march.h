/* A network marched over a picture by our own kernels, all threads on one picture.
 *
 * The layers are cut into groups (a dense block, say). A group runs over cells, rectangles of the
 * picture, and a thread takes a whole cell through all the group's layers: it steps down the cell a
 * few rows at a time, each layer as far as its inputs allow, so that what passes from layer to
 * layer is a ring of a few rows that stays in the core's cache. Only what goes from one group to
 * another is a whole plane in memory. Around a cell each layer computes the rows and columns that
 * the later ones need (2 for each layer of F(2×2), 4 of F(4×4)): recomputed, not carried, which
 * costs 2 × 4 / 2 columns on average for a dense block, 1.3 % a side of a cell 320 wide, and leaves
 * the cells independent: no thread waits for another within a group. A row of such a cell is 21 KiB
 * per 32 channels in bf16, and a dense block's rings, 7 to 13 rows of its four inner values, take
 * 0.9 MiB.
 *
 * A tile is any size up to the one that the march was opened for. Of each group only what the
 * wanted part depends on is computed, found from the result backwards: behind a halo the last
 * layers are as small as what the tile decides, whereas a plan of one size would compute all of it.
 *
 * The kernels' groups of pixels hang on the picture's corner, whatever the cell; so neither cells
 * nor threads change a bit of the result. */
#ifndef KZ_BACKEND_MARCH_MARCH_H
#define KZ_BACKEND_MARCH_MARCH_H

#include "backend/backend.h"
#include "base/pool.h"

typedef struct kz_march kz_march;

typedef struct kz_march_params {
    int width, height;           /* of the largest picture, pixels */
    enum kz_precision precision; /* not AUTO */
    enum kz_cpu_level level;
    int threads;
} kz_march_params;

/* Packs weights and lays out memory; the graph may be closed afterwards. The planes are cleared on
 * `pool`, of params->threads, on which the march then runs. 0, KZ_ERROR_MEMORY, or KZ_ERROR_FAILED
 * when our kernels lack something that the network needs at this level; neither is reported. */
int kz_march_open(kz_march **march, const kz_graph *graph, const kz_march_params *params,
                  kz_pool *pool);
void kz_march_close(kz_march **march); /* NULL is legal */

/* Bytes held while open; kz_march_need() is the same without opening, with the same errors. */
size_t kz_march_memory(const kz_march *march);
int kz_march_need(size_t *bytes, const kz_graph *graph, const kz_march_params *params);

/* Executed multiply-accumulates per picture, of direct convolutions, halos included. */
double kz_march_macs(const kz_march *march);

/* As kz_backend's layers(). */
int kz_march_layers(const kz_march *march, kz_layer *layers, int most);

/* Runs a tile of at most the size given at opening on the threads of the pool it was opened with.
 * 0, KZ_ERROR_CANCELLED, KZ_ERROR_MEMORY, or KZ_ERROR_FAILED (a larger tile). */
int kz_march_run(kz_march *march, kz_pool *pool, const kz_run *run, kz_tile tile);

#endif
