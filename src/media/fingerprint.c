#include "media/fingerprint.h"

#include <libavutil/pixdesc.h>
#include <stdlib.h>

/* Every line counts: of a picture made of fine lines some would tell something else than those that
 * were made of others. */
enum { COLUMNS = 4, ROWS = 2 };

static double sum_line(const AVFrame *frame, int bytes, int y, int x0, int x1)
{
    const uint8_t *line = frame->data[0] + (ptrdiff_t)y * frame->linesize[0];
    const uint16_t *wide = (const uint16_t *)(const void *)line;
    uint32_t sum = 0; /* holds 65536 samples of 16 bit, and is fast */
    for (int x = x0; x < x1; x++)
        sum += bytes == 1 ? line[x] : wide[x];
    return sum;
}

/* Limited-range 8 bit steps. */
static double cell(const AVFrame *frame, const AVComponentDescriptor *luma, int column, int row)
{
    const int x0 = frame->width * column / COLUMNS, x1 = frame->width * (column + 1) / COLUMNS;
    const int y0 = frame->height * row / ROWS, y1 = frame->height * (row + 1) / ROWS;
    double sum = 0;
    for (int y = y0; y < y1; y++)
        sum += sum_line(frame, luma->step, y, x0, x1);
    const double mean = y1 > y0 && x1 > x0 ? sum / ((double)(y1 - y0) * (x1 - x0)) : 0;
    const double scale = (double)((1 << luma->depth) - 1);
    if (kz_format_is_full(frame->format, frame->color_range))
        return 16 + 219 * mean / scale;
    return mean / (1 << (luma->depth - 8));
}

uint64_t kz_fingerprint(const AVFrame *frame)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(frame->format);
    kz_video_format unused;
    uint64_t print = 0;
    if (!desc || kz_format_by_name(&unused, desc->name) != 0)
        return 0;
    for (int i = 0; i < COLUMNS * ROWS; i++) {
        const double value = cell(frame, &desc->comp[0], i % COLUMNS, i / COLUMNS);
        print = print << 8 | (uint64_t)(value < 1 ? 1 : value > 255 ? 255 : value + 0.5);
    }
    return print;
}

int kz_fingerprint_distance(uint64_t a, uint64_t b)
{
    int worst = 0;
    for (int shift = 0; a && b && shift < 64; shift += 8)
        worst = FFMAX(worst, abs((int)(a >> shift & 255) - (int)(b >> shift & 255)));
    return worst;
}
