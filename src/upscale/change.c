#include "upscale/change.h"

int kz_change_open(kz_change *c, const kz_upscale_side *in, const kz_upscale_side *out)
{
    kz_resample_params params = kz_resample_centred(in->width, in->height, out->width, out->height);
    params.cubic = KZ_CUBIC_B_SPLINE;
    *c = (kz_change){.in_span = kz_luma_levels(in->depth, in->full_range).span,
                     .out_span = kz_luma_levels(out->depth, out->full_range).span};
    return kz_resample_open(&c->resampler, &params);
}

void kz_change_close(kz_change *c)
{
    kz_resample_close(&c->resampler);
}

static size_t area(kz_rect r)
{
    return (size_t)(r.x1 - r.x0) * (size_t)(r.y1 - r.y0);
}

/* The difference, its enlargement, a row of the anchor's output, and what the enlargement needs. */
size_t kz_change_scratch(const kz_change *c, const kz_cells *cells)
{
    size_t most = 0;
    for (int i = 0; i < cells->count; i++) {
        const kz_cell *cell = &cells->cells[i];
        size_t row = (size_t)(cell->out.x1 - cell->out.x0);
        size_t floats = area(cell->read) + area(cell->out) + row;
        most = floats > most ? floats : most;
    }
    return most + kz_resample_scratch(c->resampler);
}

static float span(const kz_plane *plane, float of_codes)
{
    return plane->bytes == 4 ? 1 : of_codes;
}

void kz_change_render(const kz_change *c, const kz_anchors *anchors, const kz_cell *cell, int index,
                      int anchor, const kz_plane *in, const kz_plane *out, float *scratch)
{
    static const kz_levels codes = {0, 1};
    const kz_plane before = kz_anchors_output(anchors, index, anchor);
    const kz_rect part = cell->out;
    if (area(part) == 0)
        return;
    const kz_rect reads = kz_resample_reads(c->resampler, part);
    const int width = part.x1 - part.x0;
    float *enlarged = scratch + area(cell->read), *row = enlarged + area(part);
    if (!kz_anchors_change(anchors, index, anchor, in, reads, scratch)) {
        kz_anchors_copy(anchors, index, anchor, out);
        return;
    }
    const float gain = span(out, c->out_span) / span(in, c->in_span);
    kz_resample_part(c->resampler, scratch, reads.x1 - reads.x0, reads, part, enlarged,
                     row + width);
    for (int y = part.y0; y < part.y1; y++, enlarged += width) {
        kz_levels_load(codes, &before, 0, y - part.y0, width, row);
        for (int x = 0; x < width; x++)
            enlarged[x] = row[x] + gain * enlarged[x];
        kz_levels_store(codes, out, part.x0, y, width, enlarged);
    }
}
