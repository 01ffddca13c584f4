#include "pixel/resample.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* One direction: dst[i] = sum over t of weights[i * taps + t] * src[first[i] + t]. */
struct axis {
    int length, taps;
    int *first;
    float *weights;
};

struct kz_resampler {
    kz_resample_params params;
    struct axis x, y;
};

static double keys_cubic(double x)
{
    x = fabs(x);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    if (x < 2)
        return ((-0.5 * x + 2.5) * x - 4) * x + 2;
    return 0;
}

static double b_spline(double x)
{
    x = fabs(x);
    if (x < 1)
        return (0.5 * x - 1) * x * x + 2.0 / 3;
    if (x < 2)
        return (2 - x) * (2 - x) * (2 - x) / 6;
    return 0;
}

/* The taps of one output sample; those outside the source fall to its outermost sample. */
static void fill_taps(struct axis *axis, int index, double centre, double widen, int src,
                      enum kz_cubic cubic)
{
    double (*const weight)(double) = cubic == KZ_CUBIC_KEYS ? keys_cubic : b_spline;
    int begin = (int)floor(centre - 2 * widen) + 1;
    int first = begin < 0 ? 0 : begin;
    if (first > src - axis->taps)
        first = src - axis->taps;
    float *weights = axis->weights + (size_t)index * (size_t)axis->taps;
    double sum = 0;
    for (int t = 0; t < (int)ceil(4 * widen); t++)
        sum += weight((begin + t - centre) / widen);
    for (int t = 0; t < (int)ceil(4 * widen); t++) {
        int at = begin + t;
        at = at < 0 ? 0 : at > src - 1 ? src - 1 : at;
        weights[at - first] += (float)(weight((begin + t - centre) / widen) / sum);
    }
    axis->first[index] = first;
}

static int axis_open(struct axis *axis, int src, int dst, double given, double src_origin,
                     double dst_origin, enum kz_cubic cubic)
{
    double ratio = given > 0 ? given : (double)src / dst, widen = ratio > 1 ? ratio : 1;
    int taps = (int)ceil(4 * widen);
    axis->length = dst;
    axis->taps = taps < src ? taps : src;
    axis->first = kz_alloc((size_t)dst, sizeof(*axis->first));
    axis->weights = kz_alloc((size_t)dst * (size_t)axis->taps, sizeof(*axis->weights));
    if (!axis->first || !axis->weights)
        return KZ_ERROR_MEMORY;
    for (int i = 0; i < dst; i++)
        fill_taps(axis, i, (i + dst_origin) * ratio - src_origin, widen, src, cubic);
    return 0;
}

kz_resample_params kz_resample_centred(int src_width, int src_height, int dst_width, int dst_height)
{
    return (kz_resample_params){.src_width = src_width,
                                .src_height = src_height,
                                .dst_width = dst_width,
                                .dst_height = dst_height,
                                .origin_x = 0.5,
                                .origin_y = 0.5,
                                .dst_origin_x = 0.5,
                                .dst_origin_y = 0.5,
                                .cubic = KZ_CUBIC_KEYS};
}

int kz_resample_open(kz_resampler **resampler, const kz_resample_params *params)
{
    kz_resampler *r = *resampler = kz_alloc(1, sizeof(*r));
    if (!r)
        return KZ_ERROR_MEMORY;
    r->params = *params;
    if (axis_open(&r->x, params->src_width, params->dst_width, params->ratio_x, params->origin_x,
                  params->dst_origin_x, params->cubic) ||
        axis_open(&r->y, params->src_height, params->dst_height, params->ratio_y, params->origin_y,
                  params->dst_origin_y, params->cubic)) {
        kz_resample_close(resampler);
        return KZ_ERROR_MEMORY;
    }
    return 0;
}

void kz_resample_close(kz_resampler **resampler)
{
    kz_resampler *r = *resampler;
    if (!r)
        return;
    kz_free(r->x.first);
    kz_free(r->x.weights);
    kz_free(r->y.first);
    kz_free(r->y.weights);
    kz_free(r);
    *resampler = NULL;
}

static kz_resample_axis view_of(const struct axis *a)
{
    return (kz_resample_axis){a->length, a->taps, a->first, a->weights};
}

kz_resample_axis kz_resample_axis_x(const kz_resampler *r)
{
    return view_of(&r->x);
}

kz_resample_axis kz_resample_axis_y(const kz_resampler *r)
{
    return view_of(&r->y);
}

/* A source row, an output row, and the horizontally scaled rows that one output row reads. */
size_t kz_resample_scratch(const kz_resampler *r)
{
    return (size_t)r->params.src_width + (size_t)r->params.dst_width * (size_t)(r->y.taps + 1);
}

/* Samples x0 … x1-1 of the row, from a source whose first sample is number `left`. */
static void scale_row(const struct axis *axis, const float *src, int left, int x0, int x1,
                      float *dst)
{
    int taps = axis->taps;
    const float *w = axis->weights + (size_t)x0 * (size_t)taps;
    if (taps == 4) { /* every enlargement: worth its own unrolled loop */
        for (int i = x0; i < x1; i++, w += 4) {
            const float *s = src + (axis->first[i] - left);
            *dst++ = w[0] * s[0] + w[1] * s[1] + w[2] * s[2] + w[3] * s[3];
        }
        return;
    }
    for (int i = x0; i < x1; i++, w += taps) {
        const float *s = src + (axis->first[i] - left);
        float sum = 0;
        for (int t = 0; t < taps; t++)
            sum += w[t] * s[t];
        *dst++ = sum;
    }
}

/* The rows are kept in a ring of `taps` slots: source row n lies in slot n % taps. */
static void combine_rows(const struct axis *axis, int index, const float *rows, float *dst,
                         int width)
{
    const float *w = axis->weights + (size_t)index * (size_t)axis->taps;
    memset(dst, 0, (size_t)width * sizeof(*dst));
    for (int t = 0; t < axis->taps; t++) {
        const float *row = rows + (size_t)((axis->first[index] + t) % axis->taps) * (size_t)width;
        float weight = w[t];
        for (int x = 0; x < width; x++)
            dst[x] += weight * row[x];
    }
}

void kz_resample_rows(const kz_resampler *r, const kz_plane *src, kz_levels src_levels,
                      const kz_plane *dst, kz_levels dst_levels, int y0, int y1, float *scratch)
{
    int width = r->params.dst_width, taps = r->y.taps;
    float *in = scratch, *out = in + r->params.src_width, *rows = out + width;
    int have = -1; /* source rows below this are in the ring, as far as it reaches back */
    for (int y = y0; y < y1; y++) {
        int first = r->y.first[y];
        for (int s = have > first ? have : first; s < first + taps; s++) {
            kz_levels_load(src_levels, src, 0, s, r->params.src_width, in);
            scale_row(&r->x, in, 0, 0, width, rows + (size_t)(s % taps) * (size_t)width);
            have = s + 1;
        }
        combine_rows(&r->y, y, rows, out, width);
        kz_levels_store(dst_levels, dst, 0, y, width, out);
    }
}

kz_rect kz_resample_reads(const kz_resampler *r, kz_rect part)
{
    return (kz_rect){r->x.first[part.x0], r->y.first[part.y0], r->x.first[part.x1 - 1] + r->x.taps,
                     r->y.first[part.y1 - 1] + r->y.taps};
}

void kz_resample_part(const kz_resampler *r, const float *src, ptrdiff_t stride, kz_rect from,
                      kz_rect part, float *dst, float *scratch)
{
    int width = part.x1 - part.x0, taps = r->y.taps;
    int have = -1; /* as in kz_resample_rows() */
    for (int y = part.y0; y < part.y1; y++) {
        int first = r->y.first[y];
        for (int s = have > first ? have : first; s < first + taps; s++) {
            scale_row(&r->x, src + (s - from.y0) * stride, from.x0, part.x0, part.x1,
                      scratch + (size_t)(s % taps) * (size_t)width);
            have = s + 1;
        }
        combine_rows(&r->y, y, scratch, dst, width);
        dst += width;
    }
}

/* A chroma sample on the first of its 2^shift luma samples. */
static double on_first(int shift)
{
    return 0.5 / (1 << shift);
}

double kz_chroma_origin_x(enum kz_chroma_site site, int shift_x)
{
    const bool left =
        site == KZ_SITE_LEFT || site == KZ_SITE_TOP_LEFT || site == KZ_SITE_BOTTOM_LEFT;
    return left ? on_first(shift_x) : 0.5;
}

double kz_chroma_origin_y(enum kz_chroma_site site, int shift_y)
{
    if (site == KZ_SITE_TOP_LEFT || site == KZ_SITE_TOP)
        return on_first(shift_y);
    if (site == KZ_SITE_BOTTOM_LEFT || site == KZ_SITE_BOTTOM)
        return 1 - on_first(shift_y);
    return 0.5;
}
