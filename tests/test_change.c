/* What a reused cell gets, against its definition: its anchor's output, and the difference of the
 * inputs enlarged as a whole. $KIZUNA_SEED makes other pictures. */
#include <math.h>
#include <stdint.h>

#include "base/mem.h"
#include "check.h"
#include "random_graph.h"
#include "upscale/change.h"

enum { FROM_WIDTH = 77, FROM_HEIGHT = 51, TO_WIDTH = 170, TO_HEIGHT = 130 };

/* ---- planes ---- */

static kz_plane open_plane(int width, int height, int bytes)
{
    void *data = kz_alloc((size_t)width * (size_t)height, (size_t)bytes);
    CHECK(data);
    return (kz_plane){.data = data,
                      .stride = (ptrdiff_t)width * bytes,
                      .width = width,
                      .height = height,
                      .bytes = bytes,
                      .depth = bytes == 1 ? 8 : 10};
}

static float get_sample(const kz_plane *plane, int x, int y)
{
    const void *row = kz_plane_row(plane, y);
    return plane->bytes == 1   ? ((const uint8_t *)row)[x]
           : plane->bytes == 2 ? ((const uint16_t *)row)[x]
                               : ((const float *)row)[x];
}

static void set_sample(const kz_plane *plane, int x, int y, float value)
{
    void *row = kz_plane_row(plane, y);
    if (plane->bytes == 1)
        ((uint8_t *)row)[x] = (uint8_t)value;
    else if (plane->bytes == 2)
        ((uint16_t *)row)[x] = (uint16_t)value;
    else
        ((float *)row)[x] = value;
}

/* A code value of 8 bit. */
static float step_of(const kz_plane *plane)
{
    return plane->bytes == 1 ? 1 : plane->bytes == 2 ? 4 : 1.0f / 255;
}

static kz_plane open_noise(int width, int height, int bytes, unsigned *seed)
{
    const kz_plane plane = open_plane(width, height, bytes);
    for (int i = 0; i < width * height; i++)
        set_sample(&plane, i % width, i / width,
                   (125 + floorf(random_unit(seed) * 45)) * step_of(&plane));
    return plane;
}

/* The upper rows get other samples. */
static kz_plane open_changed(const kz_plane *before, unsigned *seed)
{
    const kz_plane now = open_plane(before->width, before->height, before->bytes);
    kz_plane_copy(before, &now);
    for (int i = 0; i < now.width * (now.height / 2); i++) {
        const float change = floorf(random_unit(seed) * 21) * step_of(&now);
        const int x = i % now.width, y = i / now.width;
        set_sample(&now, x, y, get_sample(before, x, y) + change);
    }
    return now;
}

/* ---- against the definition ---- */

/* The difference of two planes, enlarged as a whole. */
static kz_plane open_enlarged(const kz_plane *now, const kz_plane *before)
{
    static const kz_levels values = {0, 1};
    kz_resample_params params = kz_resample_centred(now->width, now->height, TO_WIDTH, TO_HEIGHT);
    params.cubic = KZ_CUBIC_B_SPLINE;
    kz_resampler *resampler;
    CHECK(kz_resample_open(&resampler, &params) == 0);
    const kz_plane difference = open_plane(now->width, now->height, 4);
    const kz_plane enlarged = open_plane(TO_WIDTH, TO_HEIGHT, 4);
    float *scratch = kz_alloc(kz_resample_scratch(resampler), sizeof(*scratch));
    CHECK(scratch);
    for (int i = 0; i < now->width * now->height; i++) {
        const int x = i % now->width, y = i / now->width;
        set_sample(&difference, x, y, get_sample(now, x, y) - get_sample(before, x, y));
    }
    kz_resample_rows(resampler, &difference, values, &enlarged, values, 0, TO_HEIGHT, scratch);
    kz_resample_close(&resampler);
    kz_free(difference.data);
    kz_free(scratch);
    return enlarged;
}

/* Of three anchors, what each cell makes of number `which` and `now`. */
static kz_plane open_rendered(const kz_plane before[KZ_ANCHORS], const kz_plane kept[KZ_ANCHORS],
                              int which, const kz_plane *now)
{
    const kz_upscale_side in = {FROM_WIDTH, FROM_HEIGHT, 1, 0, 0, now->depth, false, KZ_SITE_LEFT};
    const kz_upscale_side out = {TO_WIDTH, TO_HEIGHT, 1, 0, 0, now->depth, true, KZ_SITE_LEFT};
    const kz_plane made = open_plane(TO_WIDTH, TO_HEIGHT, now->bytes);
    kz_change change;
    kz_cells cells;
    kz_anchors *anchors;
    CHECK(kz_change_open(&change, &in, &out) == 0);
    CHECK(kz_cells_even(&cells, &in, &out, 16, 4, change.resampler) == 0);
    CHECK(kz_anchors_open(&anchors, &cells, now, &made, false) == 0);
    float *scratch = kz_alloc(kz_change_scratch(&change, &cells), sizeof(*scratch));
    CHECK(scratch);
    for (int i = 0; i < cells.count * KZ_ANCHORS; i++) {
        const int cell = i / KZ_ANCHORS, anchor = i % KZ_ANCHORS;
        CHECK(kz_anchors_put_input(anchors, cell, &before[anchor], -1, 1 + anchor) == anchor);
        kz_anchors_put_output(anchors, cell, anchor, &kept[anchor]);
    }
    for (int i = 0; i < cells.count; i++) {
        const kz_change_task task = {anchors, &cells.cells[i], i, which, now, &made, scratch};
        kz_change_render(&change, &task);
    }
    kz_free(scratch);
    kz_anchors_close(&anchors);
    kz_cells_close(&cells);
    kz_change_close(&change);
    return made;
}

/* Rounding and dither are below one step of an integer's. */
static void check_change(int bytes, int which)
{
    const char *text = getenv("KIZUNA_SEED");
    unsigned seed = 91 + (unsigned)bytes + (text ? (unsigned)strtoul(text, NULL, 0) : 0) * 1000;
    kz_plane before[KZ_ANCHORS], kept[KZ_ANCHORS];
    for (int i = 0; i < KZ_ANCHORS; i++) {
        before[i] = open_noise(FROM_WIDTH, FROM_HEIGHT, bytes, &seed);
        kept[i] = open_noise(TO_WIDTH, TO_HEIGHT, bytes, &seed);
    }
    const kz_plane now = open_changed(&before[which], &seed);
    const kz_plane enlarged = open_enlarged(&now, &before[which]);
    const kz_plane made = open_rendered(before, kept, which, &now);
    const float gain = bytes == 1 ? 255.0f / 219 : bytes == 2 ? 1023.0f / 876 : 1;
    for (int i = 0; i < TO_WIDTH * TO_HEIGHT; i++) {
        const int x = i % TO_WIDTH, y = i / TO_WIDTH;
        const float change = gain * get_sample(&enlarged, x, y);
        const float found = get_sample(&made, x, y) - get_sample(&kept[which], x, y);
        CHECK(change == 0 ? found == 0 : fabsf(found - change) < (bytes == 4 ? 1e-5f : 1.001f));
    }
    for (int i = 0; i < KZ_ANCHORS; i++) {
        kz_free(before[i].data);
        kz_free(kept[i].data);
    }
    kz_free(now.data);
    kz_free(enlarged.data);
    kz_free(made.data);
}

static void a_change_is_enlarged(void)
{
    for (int which = 0; which < KZ_ANCHORS; which++) {
        check_change(1, which);
        check_change(2, which);
        check_change(4, which);
    }
}

static const struct check_case cases[] = {
    {"a change is enlarged", a_change_is_enlarged},
};

CHECK_CASES(cases)

int main(int argc, char **argv)
{
    return run_cases(argc, argv);
}
