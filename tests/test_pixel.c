#include <math.h>
#include <stdint.h>

#include "base/mem.h"
#include "check.h"
#include "pixel/cut.h"
#include "pixel/levels.h"
#include "pixel/resample.h"
#include "pixel/tiling.h"
#include "pixel/tone.h"

/* ---- levels ---- */

static void store_and_load(int depth_in, int depth_out, bool full)
{
    kz_levels from = kz_luma_levels(depth_in, full), to = kz_luma_levels(depth_out, full);
    uint16_t in[1], out[64];
    kz_plane src = {
        .data = in, .stride = 2, .width = 1, .height = 1, .bytes = 2, .depth = depth_in};
    kz_plane dst = {
        .data = out, .stride = 16, .width = 8, .height = 8, .bytes = 2, .depth = depth_out};
    for (int code = 0; code < 1 << depth_in; code++) {
        float value;
        *in = (uint16_t)code;
        kz_levels_load(from, &src, 0, 0, 1, &value);
        double exact = ((double)code - from.zero) / from.span * to.span + to.zero, sum = 0;
        double most = (1 << depth_out) - 1;
        exact = exact > most ? most : exact; /* clipped */
        for (int y = 0; y < 8; y++)
            for (int x = 0; x < 8; x++)
                kz_levels_store(to, &dst, x, y, 1, &value);
        for (int i = 0; i < 64; i++) {
            CHECK(fabs(out[i] - exact) < 1);
            sum += out[i];
        }
        CHECK_NEAR(sum / 64, exact, 0.01); /* the dither doesn't shift the mean */
    }
}

static void levels_keep_every_code_value(void)
{
    store_and_load(8, 10, false);
    store_and_load(8, 8, false);
    store_and_load(8, 8, true);
    store_and_load(10, 10, true);
    store_and_load(8, 10, true);
    store_and_load(10, 8, false);
}

static void levels_clip_and_survive_nan(void)
{
    uint8_t out[4];
    float values[] = {-9, 9, NAN, 0};
    kz_plane dst = {.data = out, .stride = 4, .width = 4, .height = 1, .bytes = 1, .depth = 8};
    kz_levels_store(kz_luma_levels(8, false), &dst, 0, 0, 4, values);
    CHECK(out[0] == 0 && out[1] == 255 && out[2] == 0 && out[3] == 16);
}

static void dither_is_fixed_to_the_position(void)
{
    uint8_t whole[32], parts[32];
    float values[32];
    kz_plane a = {.data = whole, .stride = 32, .width = 32, .height = 1, .bytes = 1, .depth = 8};
    kz_plane b = {.data = parts, .stride = 32, .width = 32, .height = 1, .bytes = 1, .depth = 8};
    for (int i = 0; i < 32; i++)
        values[i] = 0.3f + (float)i * 0.001f;
    kz_levels_store(kz_luma_levels(8, false), &a, 0, 0, 32, values);
    for (int x = 0; x < 32; x += 5)
        kz_levels_store(kz_luma_levels(8, false), &b, x, 0, x + 5 > 32 ? 32 - x : 5, values + x);
    CHECK(memcmp(whole, parts, 32) == 0);
}

/* In runs of any length, which are vectors and a rest, as sample by sample. */
static void runs_are_stored_as_samples(void)
{
    uint16_t whole[32], parts[32] = {0};
    float values[32];
    kz_plane a = {.data = whole, .stride = 64, .width = 32, .height = 1, .bytes = 2, .depth = 10};
    kz_plane b = a;
    b.data = parts;
    for (int i = 0; i < 32; i++)
        values[i] = i == 9 ? NAN : -0.1f + (float)i * 0.0401f;
    for (int x = 0; x < 32; x++)
        kz_levels_store(kz_luma_levels(10, false), &b, x, 0, 1, values + x);
    for (int x = 0; x < 9; x++)
        for (int count = 1; count <= 32 - x; count++) {
            memcpy(whole, parts, sizeof(whole));
            memset(whole + x, 0x5a, (size_t)count * sizeof(*whole));
            kz_levels_store(kz_luma_levels(10, false), &a, x, 0, count, values + x);
            CHECK(memcmp(whole, parts, sizeof(whole)) == 0);
        }
}

/* ---- resampling ---- */

static const kz_levels plain = {0, 1};

static float *resampled(const float *src, kz_resample_params params, int bands)
{
    kz_resampler *r;
    CHECK(kz_resample_open(&r, &params) == 0);
    size_t count = (size_t)params.dst_width * (size_t)params.dst_height;
    float *dst = kz_alloc(count, sizeof(*dst));
    float *scratch = kz_alloc(kz_resample_scratch(r), sizeof(*scratch));
    CHECK(dst && scratch);
    kz_plane in = {.data = (void *)src,
                   .stride = params.src_width * 4,
                   .width = params.src_width,
                   .height = params.src_height,
                   .bytes = 4,
                   .depth = 8};
    kz_plane out = {.data = dst,
                    .stride = params.dst_width * 4,
                    .width = params.dst_width,
                    .height = params.dst_height,
                    .bytes = 4,
                    .depth = 8};
    for (int b = 0; b < bands; b++)
        kz_resample_rows(r, &in, plain, &out, plain, params.dst_height * b / bands,
                         params.dst_height * (b + 1) / bands, scratch);
    kz_free(scratch);
    kz_resample_close(&r);
    return dst;
}

static void resampling_keeps_flat_and_ramp(void)
{
    float ramp[40 * 30];
    for (int i = 0; i < 40 * 30; i++)
        ramp[i] = (float)(i % 40) * 0.01f + (float)(i / 40) * 0.02f;
    static const int sizes[6][2] = {{160, 120}, {80, 60}, {53, 41}, {20, 15}, {13, 11}, {40, 30}};
    for (int s = 0; s < 12; s++) {
        int w = sizes[s % 6][0], h = sizes[s % 6][1];
        kz_resample_params params = kz_resample_centred(40, 30, w, h);
        params.cubic = s < 6 ? KZ_CUBIC_KEYS : KZ_CUBIC_B_SPLINE;
        float *out = resampled(ramp, params, 1);
        for (int y = h / 4; y < h * 3 / 4; y++)
            for (int x = w / 4; x < w * 3 / 4; x++) {
                double sx = (x + 0.5) * 40 / w - 0.5, sy = (y + 0.5) * 30 / h - 0.5;
                /* Reducing by a fraction, the widened taps sum to one but not to their place. */
                CHECK_NEAR(out[y * w + x], sx * 0.01 + sy * 0.02, w < 40 && w != 20 ? 1e-3 : 1e-5);
            }
        kz_free(out);
    }
}

static void resampling_doesnt_depend_on_bands(void)
{
    float noise[31 * 37];
    for (int i = 0; i < 31 * 37; i++)
        noise[i] = (float)(i * 7919 % 1013) / 1013;
    static const int sizes[][2] = {{124, 148}, {31, 37}, {17, 9}, {1, 1}};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        int w = sizes[s][0], h = sizes[s][1];
        float *one = resampled(noise, kz_resample_centred(31, 37, w, h), 1);
        float *many = resampled(noise, kz_resample_centred(31, 37, w, h), h < 7 ? h : 7);
        CHECK(memcmp(one, many, (size_t)(w * h) * sizeof(*one)) == 0);
        kz_free(one);
        kz_free(many);
    }
}

/* A part, from no more of the source than it reads. */
static void check_part(const float *noise, int w, int h, const float *all)
{
    enum { WIDTH = 31, HEIGHT = 37 };
    kz_resample_params params = kz_resample_centred(WIDTH, HEIGHT, w, h);
    kz_resampler *r;
    CHECK(kz_resample_open(&r, &params) == 0);
    float *scratch = kz_alloc(kz_resample_scratch(r), sizeof(float));
    kz_rect part = {w / 3, h / 4, w / 3 + (w + 1) / 2, h / 4 + (h + 1) / 2};
    kz_rect reads = kz_resample_reads(r, part);
    int width = reads.x1 - reads.x0, height = reads.y1 - reads.y0, out = part.x1 - part.x0;
    CHECK(reads.x0 >= 0 && reads.y0 >= 0 && reads.x1 <= WIDTH && reads.y1 <= HEIGHT);
    float *from = kz_alloc((size_t)width * (size_t)height, sizeof(float));
    float *to = kz_alloc((size_t)out * (size_t)(part.y1 - part.y0), sizeof(float));
    CHECK(scratch && from && to);
    for (int y = 0; y < height; y++)
        memcpy(from + y * width, noise + (reads.y0 + y) * WIDTH + reads.x0,
               (size_t)width * sizeof(float));
    kz_resample_part(r, from, width, reads, part, to, scratch);
    for (int y = part.y0; y < part.y1; y++)
        CHECK(memcmp(to + (y - part.y0) * out, all + y * w + part.x0,
                     (size_t)out * sizeof(float)) == 0);
    kz_free(scratch);
    kz_free(from);
    kz_free(to);
    kz_resample_close(&r);
}

static void a_part_is_as_in_the_whole(void)
{
    float noise[31 * 37];
    for (int i = 0; i < 31 * 37; i++)
        noise[i] = (float)(i * 7919 % 1013) / 1013;
    static const int sizes[][2] = {{124, 148}, {71, 90}, {31, 37}, {17, 9}};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        int w = sizes[s][0], h = sizes[s][1];
        float *all = resampled(noise, kz_resample_centred(31, 37, w, h), 1);
        check_part(noise, w, h, all);
        kz_free(all);
    }
}

/* A point becomes the spline's values at whole numbers. */
static void b_splines_smooth(void)
{
    static const float line[5] = {0, 1.0f / 6, 4.0f / 6, 1.0f / 6, 0};
    float point[25] = {0};
    kz_resample_params params = kz_resample_centred(5, 5, 5, 5);
    params.cubic = KZ_CUBIC_B_SPLINE;
    point[12] = 1;
    float *out = resampled(point, params, 1);
    for (int i = 0; i < 25; i++)
        CHECK_NEAR(out[i], line[i / 5] * line[i % 5], 1e-6);
    kz_free(out);
}

static void resampling_takes_one_pixel(void)
{
    float one = 0.25f;
    float *out = resampled(&one, kz_resample_centred(1, 1, 5, 3), 1);
    for (int i = 0; i < 15; i++)
        CHECK_NEAR(out[i], 0.25, 1e-6);
    kz_free(out);
}

/* Chroma on the left luma column must stay there: a ramp over luma positions comes back. */
static void chroma_stays_on_its_site(void)
{
    float ramp[20 * 4];
    for (int i = 0; i < 80; i++)
        ramp[i] = (float)(2 * (i % 20)); /* luma position of the co-sited sample */
    kz_resample_params params = kz_resample_centred(20, 4, 80, 16);
    params.origin_x = params.dst_origin_x = kz_chroma_origin_x(KZ_SITE_LEFT, 1);
    float *out = resampled(ramp, params, 1);
    for (int x = 16; x < 64; x++) /* output sample x lies on luma column 2x of 160, +0.5 centre */
        CHECK_NEAR(out[8 * 80 + x], (2 * x + 0.5) / 4 - 0.5, 1e-3);
    kz_free(out);
    /* 39 columns of luma have 20 of chroma, too, and become 78, which have 39. */
    params.dst_width = 39;
    params.ratio_x = 0.5;
    out = resampled(ramp, params, 1);
    for (int x = 4; x < 35; x++)
        CHECK_NEAR(out[8 * 39 + x], (2 * x + 0.5) / 2 - 0.5, 1e-3);
    kz_free(out);
}

/* ---- tiling ---- */

static void check_tiling(int width, int height, int tile, int halo)
{
    kz_tiling t;
    if (!kz_tiling_fit(&t, width, height, tile, halo))
        return;
    uint8_t *owned = kz_alloc((size_t)width, (size_t)height);
    CHECK(owned);
    for (int i = 0; i < kz_tiling_count(&t); i++) {
        kz_tile k = kz_tiling_get(&t, i);
        CHECK(k.x >= 0 && k.y >= 0);
        CHECK(k.x + t.tile_width <= width && k.y + t.tile_height <= height);
        CHECK(t.tile_width <= tile && t.tile_height <= tile);
        CHECK(k.own_x0 == 0 || k.own_x0 - k.x >= halo);
        CHECK(k.own_y0 == 0 || k.own_y0 - k.y >= halo);
        CHECK(k.own_x1 == width || k.x + t.tile_width - k.own_x1 >= halo);
        CHECK(k.own_y1 == height || k.y + t.tile_height - k.own_y1 >= halo);
        CHECK(k.own_x0 < k.own_x1 && k.own_y0 < k.own_y1);
        CHECK((k.x == 0) == (k.own_x0 == 0) && (k.y == 0) == (k.own_y0 == 0));
        for (int y = k.own_y0; y < k.own_y1; y++)
            for (int x = k.own_x0; x < k.own_x1; x++)
                owned[(size_t)y * (size_t)width + (size_t)x]++;
    }
    for (int i = 0; i < width * height; i++)
        CHECK(owned[i] == 1);
    kz_free(owned);
}

static void tiles_cover_every_pixel_once(void)
{
    for (int width = 1; width < 140; width += 3)
        for (int height = 1; height < 90; height += 7)
            for (int halo = 0; halo < 20; halo += 4)
                check_tiling(width, height, 43, halo);
    check_tiling(1920, 1080, 256, 18);
    check_tiling(853, 479, 128, 24);
}

static void a_tile_no_larger_than_its_halo_is_refused(void)
{
    kz_tiling t;
    CHECK(!kz_tiling_fit(&t, 100, 100, 32, 16));
    CHECK(kz_tiling_fit(&t, 100, 100, 33, 16));
    CHECK(kz_tiling_fit(&t, 30, 30, 32, 16) && kz_tiling_count(&t) == 1);
}

static void a_tone_is_followed_and_continued(void)
{
    kz_tone tone = {.low = 0.1f, .scale = KZ_TONE_STEPS / 0.8f};
    float values[] = {-0.4f, 0.1f, 0.3f, 0.50078125f, 0.9f, 1.4f, NAN};
    for (int i = 0; i <= KZ_TONE_STEPS; i++)
        tone.table[i] = 2 * (0.1f + (float)i / tone.scale);
    kz_tone_apply(&tone, values, 7);
    CHECK_NEAR(values[0], 0.2f - 0.5f, 1e-5);
    CHECK_NEAR(values[1], 0.2f, 1e-5);
    CHECK_NEAR(values[2], 0.6f, 1e-5);
    CHECK_NEAR(values[3], 1.0015625f, 1e-5);
    CHECK_NEAR(values[4], 1.8f, 1e-5);
    CHECK_NEAR(values[5], 1.8f + 0.5f, 1e-5);
    CHECK(isnan(values[6]));
}

/* A scene of flat brightness with a little movement in it. */
static void draw_scene(kz_plane *luma, int scene, int frame)
{
    for (int y = 0; y < luma->height; y++)
        for (int x = 0; x < luma->width; x++)
            ((uint8_t *)kz_plane_row(luma, y))[x] =
                (uint8_t)(60 + 90 * (scene & 1) + (x + frame) % 16 * ((y / 8 + scene) % 2));
}

/* The frames that begin a segment, of scenes that change at `changes`, at 25 frames a second. */
static int find_cuts(int cuts[64], const int *changes, int n_changes, int first, int frames)
{
    static uint8_t samples[64 * 36];
    kz_plane luma = {
        .data = samples, .stride = 64, .width = 64, .height = 36, .bytes = 1, .depth = 8};
    kz_cutter *cutter = NULL;
    int found = 0, scene = 0;
    CHECK(kz_cutter_open(&cutter) == 0);
    for (int i = 0; i < frames; i++) {
        while (scene < n_changes && changes[scene] <= i)
            scene++;
        draw_scene(&luma, scene, i);
        if (i >= first && kz_cutter_next(cutter, &luma, i / 25.0) && found < 64)
            cuts[found++] = i;
    }
    kz_cutter_close(&cutter);
    return found;
}

static void films_are_cut_where_scenes_change(void)
{
    static const int changes[] = {20, 60, 130, 150, 290, 300, 1500};
    /* 20 and 60 are too early, 150 and 300 too soon after a cut; from 290 on nothing changes. */
    static const int expected[] = {0, 130, 290, 790, 1290, 1500};
    int cuts[64];
    const int found = find_cuts(cuts, changes, 7, 0, 1600);
    CHECK(found == 6);
    for (int i = 0; i < found; i++)
        CHECK(cuts[i] == expected[i]);
    /* Whoever begins at a cut finds the same ones behind it. */
    for (int i = 1; i < 6; i++) {
        int later[64];
        CHECK(find_cuts(later, changes, 7, expected[i], 1600) == found - i);
        CHECK(memcmp(later, cuts + i, sizeof(int) * (size_t)(found - i)) == 0);
    }
}

static void segments_hold_so_many_frames(void)
{
    static uint8_t samples[64 * 36];
    kz_plane luma = {
        .data = samples, .stride = 64, .width = 64, .height = 36, .bytes = 1, .depth = 8};
    kz_cutter *cutter = NULL;
    int cuts = 0;
    CHECK(kz_cutter_open(&cutter) == 0);
    for (int i = 0; i < 3 * KZ_CUT_MOST_FRAMES; i++)
        cuts += kz_cutter_next(cutter, &luma, i * 1e-6);
    kz_cutter_close(&cutter);
    CHECK(cuts == 3);
}

static const struct check_case cases[] = {
    {"levels keep every code value", levels_keep_every_code_value},
    {"levels clip and survive NaN", levels_clip_and_survive_nan},
    {"dither is fixed to the position", dither_is_fixed_to_the_position},
    {"runs are stored as samples", runs_are_stored_as_samples},
    {"resampling keeps flat and ramp", resampling_keeps_flat_and_ramp},
    {"resampling doesn't depend on bands", resampling_doesnt_depend_on_bands},
    {"a part is as in the whole", a_part_is_as_in_the_whole},
    {"B-splines smooth", b_splines_smooth},
    {"resampling takes one pixel", resampling_takes_one_pixel},
    {"chroma stays on its site", chroma_stays_on_its_site},
    {"tiles cover every pixel once", tiles_cover_every_pixel_once},
    {"a tile no larger than its halo is refused", a_tile_no_larger_than_its_halo_is_refused},
    {"a tone is followed and continued", a_tone_is_followed_and_continued},
    {"films are cut where scenes change", films_are_cut_where_scenes_change},
    {"segments hold so many frames", segments_hold_so_many_frames},
};

CHECK_MAIN(cases)
