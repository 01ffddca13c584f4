/* Pictures that change, and reuse with a network that enlarges by repeating samples: it shows what
 * an output was made of. $KIZUNA_SEED: other pictures. */
#ifndef KZ_TESTS_REPEATER_H
#define KZ_TESTS_REPEATER_H

#include <stdint.h>

#include "base/mem.h"
#include "check.h"
#include "random_graph.h"
#include "upscale/reuse.h"

static unsigned seed_of(unsigned number)
{
    const char *text = getenv("KIZUNA_SEED");
    return number + (text ? (unsigned)strtoul(text, NULL, 0) : 0) * 1000;
}

static int random_below(unsigned *seed, int limit)
{
    int n = (int)((random_unit(seed) * 0.5f + 0.5f) * (float)limit);
    return n < limit ? n : limit - 1;
}

struct movie {
    uint8_t *data;
    int width, height;
    unsigned seed;
};

static struct movie open_movie(int width, int height, unsigned seed)
{
    struct movie m = {kz_alloc((size_t)width, (size_t)height), width, height, seed};
    CHECK(m.data);
    for (int i = 0; i < width * height; i++)
        m.data[i] = (uint8_t)(16 + random_below(&m.seed, 220));
    return m;
}

static kz_plane plane_of(void *data, int width, int height, int bytes)
{
    return (kz_plane){.data = data,
                      .stride = (ptrdiff_t)width * bytes,
                      .width = width,
                      .height = height,
                      .bytes = bytes,
                      .depth = bytes == 1 ? 8 : 10};
}

struct repeater {
    kz_reuse *reuse;
    kz_device *device;
    kz_tile tile;
    uint8_t *out;
    int gain; /* it makes more of what differs from grey; 0: it doesn't */
};

static void open_repeater(struct repeater *r, int width, int height, double tolerance)
{
    *r = (struct repeater){.out = kz_alloc((size_t)width * 4, (size_t)height)};
    kz_device_params device = {.threads = 2};
    CHECK(r->out && kz_backend_reference.open(&r->device, &device, NULL) == 0);
    r->tile = kz_tile_around(width, height, (kz_rect){0, 0, width, height}, 0);
    kz_reuse_params params = {
        .mode = KZ_REUSE_NEAR,
        .tolerance = tolerance,
        .backend = &kz_backend_reference,
        .device = r->device,
        .in = {width, height, 1, 0, 0, 8, true, KZ_SITE_LEFT},
        .out = {2 * width, 2 * height, 1, 0, 0, 8, true, KZ_SITE_LEFT},
        .tiles = &r->tile,
        .columns = 1,
        .rows = 1,
        .costs = {width, height, 4, width, height, true},
    };
    CHECK(kz_reuse_open(&r->reuse, &params) == 0);
}

static uint8_t repeated(const struct repeater *r, const struct movie *m, int x, int y)
{
    const int sample = m->data[y / 2 * m->width + x / 2];
    return (uint8_t)(r->gain ? 128 + r->gain * (sample - 128) : sample);
}

static void expand(const struct repeater *r, uint8_t *out, const struct movie *m,
                   const kz_reuse_task *task)
{
    for (int i = 0; i < task->n_tiles; i++)
        for (int y = 2 * task->tiles[i].own_y0; y < 2 * task->tiles[i].own_y1; y++)
            for (int x = 2 * task->tiles[i].own_x0; x < 2 * task->tiles[i].own_x1; x++)
                out[y * 2 * m->width + x] = repeated(r, m, x, y);
}

static void repeat(struct repeater *r, const struct movie *m)
{
    kz_plane in = plane_of(m->data, m->width, m->height, 1);
    kz_plane out = plane_of(r->out, 2 * m->width, 2 * m->height, 1);
    kz_reuse_task task;
    CHECK(kz_reuse_decide(r->reuse, &in, &out, &task) == 0);
    expand(r, r->out, m, &task);
    kz_reuse_finish(r->reuse, &out, false);
}

static void close_repeater(struct repeater *r)
{
    kz_reuse_close(&r->reuse);
    kz_backend_reference.close(&r->device);
    kz_free(r->out);
}

#endif
