/* Which tiles a picture is cut into. */
#ifndef KZ_UPSCALE_CHOOSE_H
#define KZ_UPSCALE_CHOOSE_H

#include "upscale/upscaler.h"

/* With a tile size given, the fewest tiles of at most that size. Else the tiling whose slowest
 * thread has the fewest pixels to compute, among those that fit the memory limit. 0 or
 * KZ_ERROR_USAGE. */
int kz_choose_tiling(kz_tiling *tiling, const kz_upscaler_params *params, const kz_graph *graph,
                     kz_log *log);

#endif
