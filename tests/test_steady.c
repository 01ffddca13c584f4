/* What the source holds, the output holds; what moves is the network's. */
#include "repeater.h"
#include "upscale/steady.h"

/* Greys around the middle, so that twice their distance from it is a sample, too. */
static struct movie open_greys(int width, int height, unsigned seed)
{
    struct movie m = open_movie(width, height, seed);
    for (int i = 0; i < width * height; i++)
        m.data[i] = (uint8_t)(110 + m.data[i] % 36);
    return m;
}

/* In every fourth 4x4 square, half of the samples are `by` more than in `still`, half less. */
static void flicker(const struct movie *m, const struct movie *still, int by)
{
    for (int i = 0; i < m->width * m->height; i++) {
        const int x = i % m->width, y = i / m->width;
        const bool is_in = x / 4 % 2 == 0 && y / 4 % 2 == 0;
        m->data[i] = (uint8_t)(still->data[i] + (is_in ? ((x ^ y) & 1 ? by : -by) : 0));
    }
}

/* How far the output is from what the network makes of all: at most. */
static int farthest(const struct repeater *r, const struct movie *m)
{
    int most = 0;
    for (int y = 0; y < 2 * m->height; y++)
        for (int x = 0; x < 2 * m->width; x++) {
            const int off = abs(r->out[y * 2 * m->width + x] - repeated(r, m, x, y));
            most = off > most ? off : most;
        }
    return most;
}

/* A network that doubles what an encoder changes: where the drawing is held, the output changes by
 * less, and is never far from the network's. */
static void held_drawings_hold(void)
{
    const struct movie still = open_greys(96, 64, seed_of(15));
    struct movie m = open_greys(96, 64, seed_of(15));
    struct repeater r;
    open_repeater(&r, m.width, m.height, 5);
    r.gain = 2;
    uint8_t *before = kz_alloc((size_t)m.width * 4, (size_t)m.height);
    CHECK(before);
    double held = 0, made = 0;
    repeat(&r, &m);
    for (int frame = 1; frame < 20; frame++) {
        memcpy(before, r.out, (size_t)m.width * 4 * (size_t)m.height);
        flicker(&m, &still, frame % 2 ? 6 + frame % 3 : 0);
        repeat(&r, &m);
        CHECK(farthest(&r, &m) <= (2 + KZ_STEADY_SHARE) * 5 + 1);
        for (int i = 0; i < m.width * m.height * 4; i++)
            held += abs(r.out[i] - before[i]);
        made += 2.0 * (6 + (frame - (frame % 2 == 0)) % 3) * m.width * m.height;
    }
    CHECK(held > 0 && held < 0.85 * made);
    kz_free(before);
    kz_free(still.data);
    kz_free(m.data);
    close_repeater(&r);
}

/* What moves, and what changes everywhere, as grain does, is the network's. */
static void what_moves_is_the_networks(void)
{
    struct movie m = open_greys(96, 64, seed_of(16));
    struct repeater r;
    open_repeater(&r, m.width, m.height, 5);
    r.gain = 2;
    repeat(&r, &m);
    for (int frame = 1; frame < 9; frame++) {
        for (int i = 0; i < m.width * m.height; i++)
            m.data[i] = (uint8_t)(m.data[i] +
                                  ((i + i / m.width + frame) % 2 ? 7 : -7) * (frame % 2 ? 1 : -1));
        repeat(&r, &m);
        CHECK(farthest(&r, &m) == 0);
    }
    for (int frame = 0; frame < 6; frame++) {
        for (int i = 0; i < m.width * m.height; i += 5)
            m.data[i] = (uint8_t)(m.data[i] < 128 ? m.data[i] + 45 : m.data[i] - 45);
        repeat(&r, &m);
        CHECK(farthest(&r, &m) == 0);
    }
    kz_free(m.data);
    close_repeater(&r);
}

static const struct check_case cases[] = {
    {"held drawings hold", held_drawings_hold},
    {"what moves is the network's", what_moves_is_the_networks},
};

CHECK_CASES(cases)

int main(int argc, char **argv)
{
    return run_cases(argc, argv);
}
