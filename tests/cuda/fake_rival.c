#include "fake_rival.h"

#include <math.h>
#include <time.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/half.h"

struct fake_rival fake;

struct kz_rival_library {
    int unused;
};

struct kz_rival_engine {
    char text[20];
    kz_rival_layer layer;
    int runs;
};

static int fake_open(kz_rival_library **library, kz_gpu *gpu)
{
    (void)gpu;
    *library = fake.absent ? NULL : kz_alloc(1, sizeof(**library));
    return *library ? 0 : KZ_ERROR_FAILED;
}

static void fake_close(kz_rival_library **library)
{
    kz_free(*library);
    *library = NULL;
}

static size_t fake_version(const kz_rival_library *library)
{
    (void)library;
    return fake.version;
}

static bool fake_fits(const kz_conv_task *t)
{
    return kz_rival_one_type(t) && t->n_residuals <= 2;
}

static int fake_list(kz_rival_library *library, const kz_rival_layer *layer,
                     char (*engines)[KZ_CHOICE_ENGINE], int most)
{
    int n = 0;
    CHECK(library && layer->task.in.width > 0);
    fake.lists++;
    for (; n < most && n < FAKE_MOST && fake.list[n]; n++)
        snprintf(engines[n], KZ_CHOICE_ENGINE, "%s", fake.list[n]);
    return fake.no_memory ? KZ_ERROR_MEMORY : n;
}

static int fake_open_engine(kz_rival_engine **engine, kz_rival_library *library,
                            const kz_rival_layer *layer, const char *text, kz_log *log)
{
    (void)log;
    *engine = NULL;
    CHECK(library);
    if (strlen(text) >= sizeof((*engine)->text) || strcmp(text, "unknown") == 0)
        return KZ_ERROR_FAILED;
    *engine = kz_alloc(1, sizeof(**engine));
    CHECK(*engine);
    (*engine)->layer = *layer;
    snprintf((*engine)->text, sizeof((*engine)->text), "%s", text);
    return 0;
}

static void fake_close_engine(kz_rival_engine **engine)
{
    kz_free(*engine);
    *engine = NULL;
}

static size_t place(const kz_view *v, int x, int y, int channel)
{
    return ((size_t)y * (size_t)v->width + (size_t)x) * (size_t)v->pixel + (size_t)channel;
}

/* Weights are [phase][out][row][column][in]. */
static float sum_of(const kz_conv_task *t, int phase, int x, int y, int out)
{
    const int k = t->kernel;
    size_t at = (size_t)(phase * t->out.channels + out) * (size_t)(k * k * t->in.channels);
    float sum = t->bias[out];
    for (int tap = 0; tap < k * k; tap++) {
        const int from_x = x + tap % k - t->pad_left + phase % 2;
        const int from_y = y + tap / k - t->pad_top + phase / 2;
        const bool there =
            from_x >= 0 && from_x < t->in.width && from_y >= 0 && from_y < t->in.height;
        for (int c = 0; c < t->in.channels; c++, at++)
            if (there)
                sum += kz_get_element(t->weights, t->in.element, at) *
                       kz_get_element(t->in.data, t->in.element, place(&t->in, from_x, from_y, c));
    }
    return sum;
}

static void compute_one(const kz_rival_layer *l, const kz_conv_task *t, int x, int y, int out)
{
    const int step = t->phases ? 2 : 1, phase = t->phases ? y % 2 * 2 + x % 2 : 0;
    float value = sum_of(t, phase, x / step, y / step, out);
    if (value < 0 && l->act == KZ_ACT_LEAKY)
        value *= l->slope;
    else if (value < 0 && l->act == KZ_ACT_PRELU)
        value *= t->slopes[out];
    for (int i = 0; i < t->n_residuals; i++)
        value += t->coefs[i] * kz_get_element(t->residuals[i].data, t->out.element,
                                              place(&t->residuals[i], x, y, out));
    kz_put_element(t->out.data, t->out.element, place(&t->out, x, y, out), value + fake.marks);
}

static void spoil(const kz_rival_engine *e, const kz_conv_task *t)
{
    const size_t last = place(&t->out, t->out.width - 1, t->out.height - 1, t->out.channels - 1);
    if (strcmp(e->text, "wrong") == 0)
        kz_put_element(t->out.data, t->out.element, last,
                       kz_get_element(t->out.data, t->out.element, last) + 0.25f);
    if (strcmp(e->text, "nan") == 0)
        kz_put_element(t->out.data, t->out.element, last, NAN);
}

/* Something that the device does, and nothing like a convolution. */
static int clear(kz_gpu *gpu, const kz_view *out)
{
    CHECK(out->pixel == out->channels);
    kz_gpu_clear(gpu, out->data, place(out, 0, out->height, 0) * kz_element_bytes(out->element));
    return 0;
}

/* The first run of an engine is compared. Of those that are timed "slow" ones sleep, others do
 * nothing at all, which is faster than anything. Engines compute on the host, at once: what is on
 * the stream before them comes first, which can't be waited for while it is captured. "clears" does
 * no more than that, on the device, once it is chosen. */
static int fake_run(kz_rival_engine *e, kz_gpu *gpu, const kz_conv_task *t)
{
    fake.runs++;
    if (fake.fails || strcmp(e->text, "fails") == 0)
        return KZ_ERROR_FAILED;
    if (!fake.measuring && strcmp(e->text, "clears") == 0)
        return clear(gpu, &t->out);
    if (kz_gpu_wait(gpu))
        return KZ_ERROR_FAILED;
    if (fake.measuring && e->runs++ > 0) {
        if (strcmp(e->text, "slow") == 0)
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        return 0;
    }
    for (int y = 0; y < t->out.height; y++)
        for (int x = 0; x < t->out.width; x++)
            for (int c = 0; c < t->out.channels; c++)
                compute_one(&e->layer, t, x, y, c);
    spoil(e, t);
    return 0;
}

static const kz_rival_table table = {
    .name = "fake",
    .open = fake_open,
    .close = fake_close,
    .version = fake_version,
    .fits = fake_fits,
    .list = fake_list,
    .open_engine = fake_open_engine,
    .close_engine = fake_close_engine,
    .run = fake_run,
};

const kz_rival_table *const kz_rival_linked = &table;
