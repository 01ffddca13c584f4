/* Every kernel against the definition in plain C: odd sizes, odd numbers of channels, sentinels
 * around all that is written. Where the CPU has no AMX, its kernels run with its instructions in
 * plain C. $KIZUNA_CPU_LEVEL runs a lower level's; $KIZUNA_SEED repeats a run; --bench prints the
 * speed of the shapes that matter instead. */
#include <math.h>
#include <stdint.h>
#include <time.h>

#include "backend/kernels/kernel.h"
#include "backend/kernels/round.h"
#include "backend/kernels/table.h"
#include "base/mem.h"
#include "check.h"
#include "cpu_level.h"
#include "kernel_problem.h"
#include "kernel_value.h"
#include "random_graph.h"

enum { SENTINEL = 0xff, MOST_ROWS = 8 }; /* what isn't written is no number */

static unsigned seed;

static int random_int(int least, int most)
{
    int n = least + (int)((random_unit(&seed) * 0.5f + 0.5f) * (float)(most - least + 1));
    return n > most ? most : n;
}

/* ---- tables ---- */

typedef const kz_kernel_ops *const *table;

#if defined(__x86_64__)
static const kz_kernel_ops *const emulated_amx[KZ_KERNEL_KINDS] = {
    [KZ_KERNEL_CONV] = &kz_kernel_conv_amx_emulated,
    [KZ_KERNEL_PHASE] = &kz_kernel_phase_amx_emulated,
};
#endif

/* Some kernels, by their kinds. */
struct some {
    const kz_kernel_ops *kernels[KZ_KERNEL_END + 1];
};

/* Those of small networks. */
static bool find_small(struct some *to, bool bf16)
{
    const kz_small_kernels *small = kz_kernel_small_for(level(), bf16);
    if (small)
        *to = (struct some){{[KZ_KERNEL_FIRST] = small->first,
                             [KZ_KERNEL_CONV] = small->conv,
                             [KZ_KERNEL_END] = small->end}};
    return small != NULL;
}

/* That with larger tiles, in bf16. */
static bool find_large(struct some *to)
{
    *to = (struct some){{[KZ_KERNEL_CONV] = kz_kernel_large_for(level(), true)}};
    return to->kernels[KZ_KERNEL_CONV] != NULL;
}

/* The level's own, or NULL. */
static table own(bool bf16)
{
    return kz_kernel_table_for(level(), bf16);
}

/* Convolutions with AMX's instructions in plain C, or NULL: the rest of them is AVX-512. */
static table emulated(void)
{
#if defined(__x86_64__)
    return level() >= KZ_CPU_AVX512_BF16 ? emulated_amx : NULL;
#else
    return NULL;
#endif
}

/* Values between -1 and 1 inside; zeros around and in the padding of the last block. */
static struct value random_value(int channels, int rows, int columns, bool planar, bool bf16)
{
    struct value v = open_value(channels, rows, columns, planar, bf16, 0);
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < columns; x++) {
                float u = random_unit(&seed);
                put(start(&v, c / v.block, y), bf16, (size_t)(x * v.block + c % v.block),
                    bf16 ? round_bf16(u) : u);
            }
    return v;
}

/* Nothing is written outside `rows` rows of the columns. */
static void check_margins(const struct value *v, int rows)
{
    for (int b = 0; b < blocks(v); b++)
        for (int y = 0; y < v->rows; y++) {
            const char *p = row(v, b, y);
            size_t first = MARGIN * pixel_bytes(v),
                   after = first + (size_t)v->columns * pixel_bytes(v);
            for (size_t i = 0; i < v->row_bytes; i++)
                if (y >= rows || i < first || i >= after)
                    CHECK((unsigned char)p[i] == SENTINEL);
        }
}

/* What reads whole blocks multiplies the last one's padding by zero, so it must be a number. */
static void check_padding(const struct value *v, int rows)
{
    for (int c = v->channels; c < blocks(v) * v->block; c++)
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < v->columns; x++)
                CHECK(isfinite(read_value(v, c, y, x)));
}

/* ---- problems ---- */

static float *random_array(int count, float scale)
{
    float *a = kz_alloc((size_t)count, sizeof(*a));
    CHECK(a);
    for (int i = 0; i < count; i++)
        a[i] = random_unit(&seed) * scale;
    return a;
}

/* Phases come from one 3×3 filter: see kz_rewrite_phase(). */
static float *random_phases(int outs, int ins)
{
    int filters = outs * ins;
    float *w = random_array(filters * 9, 1 / sqrtf((float)ins * 9));
    float *phases = kz_alloc((size_t)filters * 16, sizeof(*phases));
    CHECK(phases);
    for (int phase = 0; phase < 4; phase++)
        for (int f = 0; f < filters; f++)
            for (int tap = 0; tap < 9; tap++) {
                int y = phase / 2 ? tap / 3 == 2 : tap / 3 > 0;
                int x = phase % 2 ? tap % 3 == 2 : tap % 3 > 0;
                phases[(phase * filters + f) * 4 + y * 2 + x] += w[f * 9 + tap];
            }
    kz_free(w);
    return phases;
}

static void round_weights(struct problem *p)
{
    const kz_kernel_params *q = &p->params;
    int count = total_in(q) * q->out_channels * (q->kind == KZ_KERNEL_PHASE ? 16 : 9);
    for (int i = 0; i < count; i++)
        p->weights[i] = round_bf16(p->weights[i]);
}

static void open_problem(struct problem *p, int in_rows, int out_rows, int width)
{
    kz_kernel_params *q = &p->params;
    bool planar_in = q->kind == KZ_KERNEL_FIRST, shuffle = q->kind == KZ_KERNEL_SHUFFLE;
    int ins = total_in(q);
    p->width = width;
    for (int i = 0; i < q->n_inputs && !shuffle; i++)
        p->inputs[i] =
            random_value(q->in_channels[i], in_rows, width,
                         planar_in || (i == 1 && q->kind == KZ_KERNEL_END), q->bf16 && !planar_in);
    if (shuffle) {
        p->inputs[0] = random_value(q->in_channels[0], in_rows, width, false, false);
        p->inputs[1] = random_value(1, in_rows, width, true, false);
        return;
    }
    q->weights = p->weights = q->kind == KZ_KERNEL_PHASE ? random_phases(q->out_channels, ins)
                                                         : random_array(q->out_channels * ins * 9,
                                                                        1 / sqrtf((float)ins * 9));
    if (p->direct)
        round_weights(p);
    q->bias = p->bias = random_array(q->out_channels, 1);
    if (random_int(0, 2))
        q->slopes = p->slopes = random_array(q->out_channels, 1.5f);
    for (int r = 0; r < q->n_residuals; r++) {
        p->residuals[r] =
            random_value(q->out_channels, out_rows, width, false, q->bf16 && !q->wide);
        q->coefs[r] = random_unit(&seed);
    }
}

static void close_problem(struct problem *p)
{
    for (int i = 0; i < KZ_KERNEL_INPUTS; i++)
        kz_free(p->inputs[i].data);
    for (int r = 0; r < KZ_KERNEL_RESIDUALS; r++)
        kz_free(p->residuals[r].data);
    kz_free(p->weights);
    kz_free(p->bias);
    kz_free(p->slopes);
}

struct pointers {
    const void *src[MOST_ROWS * 32];
    void *dst[MOST_ROWS * 8];
    const void *residuals[KZ_KERNEL_RESIDUALS * MOST_ROWS * 8];
};

static kz_kernel_run point(struct pointers *to, const struct problem *p, const struct value *out,
                           const kz_kernel *k)
{
    const kz_kernel_params *q = &p->params;
    int n = 0, inputs = q->kind == KZ_KERNEL_SHUFFLE ? 2 : q->n_inputs;
    size_t left = q->kind == KZ_KERNEL_SHUFFLE ? 0 : 1;
    for (int y = 0; y < k->ops->in_rows; y++)
        for (int i = 0; i < inputs; i++)
            for (int b = 0; b < blocks(&p->inputs[i]); b++)
                to->src[n++] = start(&p->inputs[i], b, y) - left * pixel_bytes(&p->inputs[i]);
    if (q->kind == KZ_KERNEL_SHUFFLE && q->coefs[0] == 0)
        to->src[1] = NULL;
    n = 0;
    for (int y = 0; y < out->rows - 1; y++)
        for (int b = 0; b < k->out_blocks; b++)
            to->dst[n++] = start(out, b, y);
    n = 0;
    for (int r = 0; r < q->n_residuals; r++)
        for (int y = 0; y < k->ops->out_rows; y++)
            for (int b = 0; b < k->out_blocks; b++)
                to->residuals[n++] = start(&p->residuals[r], b, y);
    return (kz_kernel_run){
        .src = to->src, .dst = to->dst, .residuals = to->residuals, .columns = out->columns};
}

/* One random problem of the given sizes and a kernel that can run it. */
struct trial {
    struct problem p;
    struct value out; /* the row after the last is a sentinel */
    struct pointers to;
    kz_kernel k;
    void *memory;         /* the kernel's */
    size_t scratch_bytes; /* a sentinel follows */
    kz_kernel_run run;
};

static void open_trial(struct trial *t, const kz_kernel_ops *ops, kz_kernel_params params,
                       int width)
{
    bool end = params.kind == KZ_KERNEL_END, shuffle = params.kind == KZ_KERNEL_SHUFFLE;
    int factor = shuffle ? params.factor : end ? 2 : 1;
    int out_rows = ops->out_rows * factor, columns = width * factor;
    bool phase = params.kind == KZ_KERNEL_PHASE, conv = params.kind == KZ_KERNEL_CONV;
    bool planar = params.kind == KZ_KERNEL_LAST || shuffle || end;
    if (phase)
        columns = 2 * width - random_int(0, 1);
    t->p = (struct problem){.params = params,
                            .direct = ops->bf16 && ops->positions == 0 && (conv || phase),
                            .narrow = ops->bf16 && !params.bf16};
    open_problem(&t->p, ops->in_rows, out_rows, width);
    t->out = open_value(planar ? 1 : params.out_channels, out_rows + 1, columns, planar,
                        params.bf16 && !params.wide && !planar, SENTINEL);
    kz_kernel_measure(&t->k, ops, &t->p.params);
    t->memory = kz_alloc(t->k.bytes, 1);
    CHECK(t->memory);
    kz_kernel_pack(&t->k, ops, &t->p.params, t->memory);
    t->run = point(&t->to, &t->p, &t->out, &t->k);
    t->run.rows = shuffle ? out_rows : random_int(1, out_rows);
    t->scratch_bytes = kz_kernel_scratch(&t->k);
    t->run.scratch = kz_alloc(t->scratch_bytes + 64, 1);
    CHECK(t->run.scratch);
    memset((char *)t->run.scratch + t->scratch_bytes, SENTINEL, 64);
}

static void close_trial(struct trial *t)
{
    kz_free(t->run.scratch);
    kz_free(t->memory);
    kz_free(t->out.data);
    close_problem(&t->p);
}

static void try(table kernels, kz_kernel_params params, int width)
{
    struct trial t;
    open_trial(&t, kernels[params.kind], params, width);
    t.k.ops->run(&t.k, &t.run);
    for (size_t i = 0; i < 64; i++)
        CHECK(((unsigned char *)t.run.scratch)[t.scratch_bytes + i] == SENTINEL);
    compare(&t.p, &t.out, t.run.rows);
    check_margins(&t.out, t.run.rows);
    check_padding(&t.out, t.run.rows);
    close_trial(&t);
}

static kz_kernel_params random_params(enum kz_kernel_kind kind, bool bf16)
{
    kz_kernel_params p = {.kind = kind, .bf16 = bf16, .n_inputs = random_int(1, 4)};
    for (int i = 0; i < p.n_inputs; i++)
        p.in_channels[i] = random_int(1, 70);
    p.out_channels = random_int(1, 70);
    return p;
}

static kz_kernel_params random_convolution(enum kz_kernel_kind kind, bool bf16)
{
    kz_kernel_params p = random_params(kind, bf16);
    p.n_residuals = kind == KZ_KERNEL_CONV ? random_int(0, 2) : 0;
    p.wide = kind == KZ_KERNEL_CONV && bf16 && random_int(0, 3) == 0;
    p.exact = bf16 && random_int(0, 1);
    return p;
}

static void convolutions(table kernels, enum kz_kernel_kind kind, bool bf16)
{
    for (int i = 0; i < 24 && kernels; i++)
        try(kernels, random_convolution(kind, bf16), i < 8 ? i + 1 : random_int(9, 150));
}

static void convolution_agrees(void)
{
    convolutions(own(false), KZ_KERNEL_CONV, false);
    convolutions(own(true), KZ_KERNEL_CONV, true);
}

static void large_convolution_agrees(void)
{
    struct some large;
    if (find_large(&large))
        convolutions(large.kernels, KZ_KERNEL_CONV, true);
}

static void upsampling_agrees(void)
{
    convolutions(own(false), KZ_KERNEL_PHASE, false);
    convolutions(own(true), KZ_KERNEL_PHASE, true);
}

/* ---- rounded weights ---- */

enum { FLATS = 5, COUNT = 97 };

static double sum_error(const double *weights, const double *rounded, const float *inputs)
{
    double worst = 0;
    for (int i = 0; i < FLATS; i++) {
        double sum = 0;
        for (int c = 0; c < COUNT; c++)
            sum += (rounded[c] - weights[c]) * (double)inputs[i * COUNT + c];
        worst = fmax(worst, fabs(sum));
    }
    return worst;
}

static void weights_are_rounded_together(void)
{
    double weights[COUNT], nearest[COUNT], together[COUNT], error[2] = {0};
    bool room[COUNT];
    float inputs[FLATS * COUNT];
    for (int trial = 0; trial < 20; trial++) {
        for (int i = 0; i < FLATS * COUNT; i++)
            inputs[i] = random_unit(&seed);
        for (int c = 0; c < COUNT; c++)
            weights[c] = nearest[c] = together[c] = c ? (double)random_unit(&seed) : 0;
        kz_round_weights(nearest, COUNT, NULL, 0, room);
        kz_round_weights(together, COUNT, inputs, FLATS, room);
        for (int c = 0; c < COUNT; c++) {
            /* Of two equally near ones, either. */
            CHECK(fabs(nearest[c] - weights[c]) ==
                  fabs((double)round_bf16((float)weights[c]) - weights[c]));
            CHECK(together[c] == (double)round_bf16((float)together[c]));
            CHECK(fabs(together[c] - weights[c]) <= fabs(weights[c]) / 128);
        }
        error[0] += sum_error(weights, nearest, inputs);
        error[1] += sum_error(weights, together, inputs);
    }
    CHECK(error[1] < error[0] / 4);
}

/* Every channel has one value, on a picture so wide that some tiles see no border. */
static void flatten(struct problem *p, const float *values)
{
    for (int i = 0; i < p->params.n_inputs; i++) {
        struct value *v = &p->inputs[i];
        for (int c = 0; c < v->channels; c++, values++)
            for (int y = 0; y < v->rows; y++)
                for (int x = 0; x < v->columns; x++)
                    put(start(v, c / v->block, y), v->bf16, (size_t)(x * v->block + c % v->block),
                        *values);
    }
}

/* The largest error away from the borders. */
static double flat_error(const kz_kernel_ops *ops, kz_kernel_params params, const float *values)
{
    struct trial t;
    double worst = 0;
    open_trial(&t, ops, params, 30);
    flatten(&t.p, values);
    t.k.ops->run(&t.k, &t.run);
    for (int n = 0; n < params.out_channels; n++)
        for (int y = 0; y < t.run.rows; y++)
            for (int x = 8; x < t.out.columns - 8; x++)
                worst = fmax(worst,
                             fabs((double)read_value(&t.out, n, y, x) - expected(&t.p, n, y, x)));
    close_trial(&t);
    return worst;
}

static void flat_picture(float *values)
{
    for (int c = 0; c < COUNT; c++)
        values[c] = round_bf16(random_unit(&seed));
}

static const kz_kernel_params flat_params = {.kind = KZ_KERNEL_CONV,
                                             .bf16 = true,
                                             .wide = true,
                                             .n_inputs = 2,
                                             .in_channels = {64, 33},
                                             .out_channels = 70};

/* Weights that are rounded for it, against such that aren't. */
static void flat_weights_come_out_right(const kz_kernel_ops *ops)
{
    kz_kernel_params p = flat_params;
    float values[COUNT];
    flat_picture(values);
    const double before = flat_error(ops, p, values);
    p.flat = values;
    p.n_flat = 1;
    CHECK(flat_error(ops, p, values) < before / 4);
}

static void flat_pictures_come_out_right(void)
{
    kz_kernel_params p = flat_params;
    float values[COUNT];
    if (!own(true) || !own(true)[KZ_KERNEL_CONV]->positions)
        return;
    flat_picture(values);
    p.exact = true;
    CHECK(flat_error(own(true)[KZ_KERNEL_CONV], p, values) < 1e-5);
    flat_weights_come_out_right(own(true)[KZ_KERNEL_CONV]);
}

static void large_tiles_keep_flat_pictures(void)
{
    struct some large;
    if (find_large(&large))
        flat_weights_come_out_right(large.kernels[KZ_KERNEL_CONV]);
}

static void emulated_convolution_agrees(void)
{
    convolutions(emulated(), KZ_KERNEL_CONV, true);
}

static void emulated_upsampling_agrees(void)
{
    convolutions(emulated(), KZ_KERNEL_PHASE, true);
}

static void first_agrees(void)
{
    for (int i = 0; i < 24; i++)
        for (int bf16 = 0; bf16 < 2; bf16++)
            if (own(bf16))
                try(own(bf16),
                    (kz_kernel_params){.kind = KZ_KERNEL_FIRST,
                                       .bf16 = bf16,
                                       .n_inputs = 1,
                                       .in_channels = {1},
                                       .out_channels = random_int(1, 70)},
                    random_int(1, 70));
}

static void last_agrees(void)
{
    for (int i = 0; i < 24; i++)
        for (int bf16 = 0; bf16 < 2; bf16++)
            if (own(bf16)) {
                kz_kernel_params p = random_params(KZ_KERNEL_LAST, bf16);
                p.out_channels = 1;
                try(own(bf16), p, random_int(1, 70));
            }
}

static void shuffle_agrees(void)
{
    for (int factor = 2; factor <= 4; factor++)
        for (int i = 0; i < 6 && own(false); i++)
            try(own(false),
                (kz_kernel_params){.kind = KZ_KERNEL_SHUFFLE,
                                   .n_inputs = 1,
                                   .in_channels = {factor * factor},
                                   .out_channels = 1,
                                   .coefs = {i % 2 ? 0 : random_unit(&seed)},
                                   .factor = factor},
                random_int(1, 70));
}

static kz_kernel_params small_first(void)
{
    return (kz_kernel_params){.kind = KZ_KERNEL_FIRST,
                              .n_inputs = 1,
                              .in_channels = {1},
                              .out_channels = random_int(1, KZ_SMALL_CHANNELS)};
}

static void small_first_agrees(void)
{
    struct some small;
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int i = 0; i < 24 && find_small(&small, bf16); i++)
            try(small.kernels, small_first(), i < 8 ? i + 1 : random_int(9, 150));
}

static kz_kernel_params small_convolution(void)
{
    return (kz_kernel_params){.kind = KZ_KERNEL_CONV,
                              .n_inputs = 1,
                              .in_channels = {random_int(1, KZ_SMALL_CHANNELS)},
                              .out_channels = random_int(1, KZ_SMALL_CHANNELS),
                              .n_residuals = random_int(0, 2)};
}

static void small_convolution_agrees(void)
{
    struct some small;
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int i = 0; i < 24 && find_small(&small, bf16); i++)
            try(small.kernels, small_convolution(), i < 8 ? i + 1 : random_int(9, 150));
}

static kz_kernel_params small_end(void)
{
    const bool based = random_int(0, 2);
    return (kz_kernel_params){.kind = KZ_KERNEL_END,
                              .n_inputs = 1 + based,
                              .in_channels = {random_int(1, KZ_SMALL_CHANNELS), 1},
                              .out_channels = 4,
                              .coefs = {based ? random_unit(&seed) : 0}};
}

static void small_end_agrees(void)
{
    struct some small;
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int i = 0; i < 24 && find_small(&small, bf16); i++)
            try(small.kernels, small_end(), i < 8 ? i + 1 : random_int(9, 150));
}

static void tone_agrees(void)
{
    float values[100], expected[100];
    kz_tone tone = {.low = -0.01f, .scale = 505};
    for (int i = 0; i <= KZ_TONE_STEPS; i++)
        tone.table[i] = (float)i / KZ_TONE_STEPS + 0.01f * random_unit(&seed);
    for (int i = 0; i < 100; i++)
        values[i] = expected[i] = 0.5f + 0.7f * random_unit(&seed);
    values[3] = expected[3] = tone.low;
    values[40] = expected[40] = INFINITY;
    kz_tone_apply(&tone, expected, 97);
    kz_kernel_tone_for(level())(&tone, values, 97);
    CHECK(memcmp(values, expected, sizeof(values)) == 0);
    values[5] = NAN;
    kz_kernel_tone_for(level())(&tone, values, 97);
    CHECK(isnan(values[5]));
}

/* ---- bits ---- */

/* Output columns `first` … of the trial, `count` of them. */
static void run_columns(const struct trial *t, int first, int count)
{
    const kz_kernel *k = &t->k;
    const bool end = t->p.params.kind == KZ_KERNEL_END;
    struct pointers to = t->to;
    kz_kernel_run run = t->run;
    size_t out = (size_t)first * pixel_bytes(&t->out), in = (size_t)first * KZ_PIXEL_BYTES;
    if (end || t->p.params.kind == KZ_KERNEL_PHASE)
        in /= 2;
    for (int i = 0; i < k->ops->in_rows * k->in_blocks; i++) {
        bool planar = end && t->p.params.n_inputs > 1 && i % k->in_blocks == k->in_blocks - 1;
        to.src[i] = (const char *)to.src[i] + (planar ? in / KZ_PIXEL_BYTES * sizeof(float) : in);
    }
    for (int i = 0; i < k->ops->out_rows * k->factor * k->out_blocks; i++)
        to.dst[i] = (char *)to.dst[i] + out;
    for (int i = 0; i < k->n_residuals * k->ops->out_rows * k->out_blocks; i++)
        to.residuals[i] = (const char *)to.residuals[i] + out;
    run.src = to.src;
    run.dst = to.dst;
    run.residuals = to.residuals;
    run.columns = count;
    k->ops->run(k, &run);
}

/* In one run, in one run again, and in pieces that start at multiples of the grain. */
static void cut(table kernels, kz_kernel_params params)
{
    struct trial t;
    open_trial(&t, kernels[params.kind], params, random_int(1, 100));
    size_t bytes = t.out.row_bytes * (size_t)(blocks(&t.out) * t.out.rows);
    char *whole = kz_alloc_raw(bytes, 1);
    CHECK(whole);
    t.k.ops->run(&t.k, &t.run);
    memcpy(whole, t.out.data, bytes);
    memset(t.out.data, SENTINEL, bytes);
    t.k.ops->run(&t.k, &t.run);
    CHECK(memcmp(whole, t.out.data, bytes) == 0);
    memset(t.out.data, SENTINEL, bytes);
    for (int first = 0, count; first < t.out.columns; first += count) {
        count = random_int(1, 20) * t.k.ops->grain * t.k.factor;
        count = count < t.out.columns - first ? count : t.out.columns - first;
        run_columns(&t, first, count);
    }
    CHECK(memcmp(whole, t.out.data, bytes) == 0);
    kz_free(whole);
    close_trial(&t);
}

static void cuts(table kernels, bool bf16)
{
    for (int i = 0; i < 12 && kernels; i++) {
        cut(kernels, random_convolution(KZ_KERNEL_CONV, bf16));
        cut(kernels, random_convolution(KZ_KERNEL_PHASE, bf16));
    }
}

static void cuts_do_not_matter(void)
{
    cuts(own(false), false);
    cuts(own(true), true);
}

static void large_cuts_do_not_matter(void)
{
    struct some large;
    for (int i = 0; i < 12 && find_large(&large); i++)
        cut(large.kernels, random_convolution(KZ_KERNEL_CONV, true));
}

static void small_cuts_do_not_matter(void)
{
    struct some small;
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int i = 0; i < 12 && find_small(&small, bf16); i++)
            cut(small.kernels, i % 2 ? small_convolution() : small_end());
}

static void emulated_cuts_do_not_matter(void)
{
    cuts(emulated(), true);
}

/* ---- speed ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void bench_kernel(const kz_kernel_ops *ops, kz_kernel_params params, int width)
{
    struct trial t;
    open_trial(&t, ops, params, width);
    t.run.rows = ops->out_rows;
    double best = 1e9;
    for (int i = 0; i < 50; i++) {
        double from = now();
        for (int j = 0; j < 4; j++)
            ops->run(&t.k, &t.run);
        best = fmin(best, (now() - from) / 4);
    }
    double macs = (double)(ops->in_step * width) * total_in(&params) * params.out_channels;
    macs *= params.kind == KZ_KERNEL_PHASE ? 16 : 9;
    printf("%-28s %3d -> %2d, %4d columns: %7.1f us, %6.1f GFLOP/s of the direct convolution\n",
           ops->name, total_in(&params), params.out_channels, width, best * 1e6,
           2 * macs / best * 1e-9);
    close_trial(&t);
}

static void bench(kz_kernel_params params, int width)
{
    const kz_kernel_ops *large = kz_kernel_large_for(level(), params.bf16);
    bench_kernel(own(params.bf16)[params.kind], params, width);
    if (params.kind == KZ_KERNEL_CONV && large)
        bench_kernel(large, params, width);
}

static void bench_all(void)
{
    static const int shapes[][2] = {{64, 32}, {96, 32}, {128, 32}, {160, 32}, {192, 64}, {64, 64}};
    for (int bf16 = 0; bf16 < 2; bf16++) {
        kz_kernel_params p = {.bf16 = bf16, .n_inputs = 1};
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && own(bf16); i++) {
            p.kind = KZ_KERNEL_CONV;
            p.in_channels[0] = shapes[i][0];
            p.out_channels = shapes[i][1];
            bench(p, 160);
        }
        p.kind = KZ_KERNEL_PHASE;
        if (own(bf16))
            bench(p, 160);
        p.kind = KZ_KERNEL_LAST;
        p.out_channels = 1;
        if (own(bf16))
            bench(p, 640);
        p.kind = KZ_KERNEL_FIRST;
        p.in_channels[0] = 1;
        p.out_channels = 64;
        if (own(bf16))
            bench(p, 160);
    }
}

static const struct check_case cases[] = {
    {"convolution agrees", convolution_agrees},
    {"large convolution agrees", large_convolution_agrees},
    {"upsampling agrees", upsampling_agrees},
    {"weights are rounded together", weights_are_rounded_together},
    {"flat pictures come out right", flat_pictures_come_out_right},
    {"large tiles keep flat pictures", large_tiles_keep_flat_pictures},
    {"first agrees", first_agrees},
    {"last agrees", last_agrees},
    {"shuffle agrees", shuffle_agrees},
    {"cuts don't matter", cuts_do_not_matter},
    {"large cuts don't matter", large_cuts_do_not_matter},
    {"tone agrees", tone_agrees},
    {"small: first agrees", small_first_agrees},
    {"small: convolution agrees", small_convolution_agrees},
    {"small: end agrees", small_end_agrees},
    {"small: cuts don't matter", small_cuts_do_not_matter},
    {"amx emulated: convolution agrees", emulated_convolution_agrees},
    {"amx emulated: upsampling agrees", emulated_upsampling_agrees},
    {"amx emulated: cuts don't matter", emulated_cuts_do_not_matter},
};

CHECK_CASES(cases)

int main(int argc, char **argv)
{
    const char *given = getenv("KIZUNA_SEED");
    seed = given ? (unsigned)atol(given) : (unsigned)time(NULL);
    kz_cpu_flush_denormals();
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench_all();
        return 0;
    }
    printf("# level %s, KIZUNA_SEED=%u\n", kz_cpu_level_name(level()), seed);
    return run_cases(argc, argv);
}
