/* Separable resampling with a cubic, widened when it reduces, so that nothing aliases. Edges repeat
 * the outermost sample. */
#ifndef KZ_PIXEL_RESAMPLE_H
#define KZ_PIXEL_RESAMPLE_H

#include "base/log.h"
#include "pixel/levels.h"
#include "pixel/tiling.h"

typedef struct kz_resampler kz_resampler;

enum kz_cubic {
    KZ_CUBIC_KEYS,    /* interpolates (R. Keys, "Cubic convolution interpolation for digital image
                       * processing", 1981; a = -1/2) */
    KZ_CUBIC_B_SPLINE /* smooths */
};

typedef struct kz_resample_params {
    int src_width, src_height, dst_width, dst_height;
    /* Where sample 0 lies, in samples from the plane's edge: 0.5 is the usual centre, 0.25
     * horizontally for 4:2:0 chroma that lies on the left luma column. */
    double origin_x, origin_y;         /* of the source */
    double dst_origin_x, dst_origin_y; /* of the destination */
    enum kz_cubic cubic;
    /* Samples of the source for one of the destination; 0: as many as the sizes say. Chroma's are
     * luma's, and differ from that where luma's size is odd: the last sample lies half outside. */
    double ratio_x, ratio_y;
} kz_resample_params;

/* Of two planes whose samples lie in the middle of their places, as luma's do; Keys' cubic. */
kz_resample_params kz_resample_centred(int src_width, int src_height, int dst_width,
                                       int dst_height);

/* Returns 0 or KZ_ERROR_MEMORY. */
int kz_resample_open(kz_resampler **resampler, const kz_resample_params *params);
void kz_resample_close(kz_resampler **resampler);

/* One direction: dst[i] = Σ weights[i × taps + t] × src[first[i] + t], for who resamples elsewhere.
 * The arrays are the resampler's. */
typedef struct kz_resample_axis {
    int length, taps; /* of dst */
    const int *first;
    const float *weights;
} kz_resample_axis;

kz_resample_axis kz_resample_axis_x(const kz_resampler *resampler);
kz_resample_axis kz_resample_axis_y(const kz_resampler *resampler);

/* Floats of scratch that one call of kz_resample_rows() needs. */
size_t kz_resample_scratch(const kz_resampler *resampler);

/* Writes rows y0 … y1-1 of `dst`. Thread-safe: different rows may be written at once, each call
 * with a scratch of its own. The result doesn't depend on how the rows are grouped. */
void kz_resample_rows(const kz_resampler *resampler, const kz_plane *src, kz_levels src_levels,
                      const kz_plane *dst, kz_levels dst_levels, int y0, int y1, float *scratch);

/* The samples of the source that a part of the destination is made of. */
kz_rect kz_resample_reads(const kz_resampler *resampler, kz_rect part);

/* Makes a part of the destination, as values: rows of `dst` lie `part`'s width apart. `src` is
 * sample (from.x0, from.y0) of the source; `from` holds what the part reads, and its rows lie
 * `stride` samples apart. The same values as kz_resample_rows(), with a scratch as large;
 * thread-safe likewise. */
void kz_resample_part(const kz_resampler *resampler, const float *src, ptrdiff_t stride,
                      kz_rect from, kz_rect part, float *dst, float *scratch);

/* Origins of chroma samples in kz_resample_params' terms. */
double kz_chroma_origin_x(enum kz_chroma_site site, int shift_x);
double kz_chroma_origin_y(enum kz_chroma_site site, int shift_y);

#endif
