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

/* The difference, its enlargement, two rows of outputs, and what the enlargement needs. */
size_t kz_change_scratch(const kz_change *c, const kz_cells *cells)
{
    size_t most = 0;
    for (int i = 0; i < cells->count; i++) {
        const kz_cell *cell = &cells->cells[i];
        size_t row = (size_t)(cell->out.x1 - cell->out.x0);
        size_t floats = area(cell->read) + area(cell->out) + 2 * row;
        most = floats > most ? floats : most;
    }
    return most + kz_resample_scratch(c->resampler);
}

static float span(const kz_plane *plane, float of_codes)
{
    return plane->bytes == 4 ? 1 : of_codes;
}

void kz_change_enlarge(const kz_change *c, const kz_change_task *t, const float *of, kz_rect from,
                       float *enlarged, float *scratch)
{
    const kz_rect part = t->cell->out;
    const float gain = span(t->out, c->out_span) / span(t->in, c->in_span);
    kz_resample_part(c->resampler, of, from.x1 - from.x0, from, part, enlarged, scratch);
    for (size_t i = 0; i < area(part); i++)
        enlarged[i] *= gain;
}

void kz_change_render(const kz_change *c, const kz_change_task *t)
{
    static const kz_levels codes = {0, 1};
    const kz_plane before = kz_anchors_output(t->anchors, t->index, t->slot);
    const kz_rect part = t->cell->out;
    if (area(part) == 0)
        return;
    const kz_rect reads = kz_resample_reads(c->resampler, part);
    const int width = part.x1 - part.x0;
    float *enlarged = t->scratch + area(t->cell->read), *row = enlarged + area(part);
    if (kz_anchors_change(t->anchors, t->index, t->slot, t->in, reads, t->scratch) ==
        (int)area(reads)) {
        kz_anchors_copy(t->anchors, t->index, t->slot, t->out);
        return;
    }
    kz_change_enlarge(c, t, t->scratch, reads, enlarged, row + width);
    for (int y = part.y0; y < part.y1; y++, enlarged += width) {
        kz_levels_load(codes, &before, 0, y - part.y0, width, row);
        for (int x = 0; x < width; x++)
            enlarged[x] += row[x];
        kz_levels_store(codes, t->out, part.x0, y, width, enlarged);
    }
}
