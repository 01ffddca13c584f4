/* How the CUDA back end chooses among others' engines and keeps what it chose, on the host
 * (cuda/twin), with a library of engines that are right, wrong, slow or failing as asked. */
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#include "cuda/device.h"
#include "fake_rival.h"
#include "kept.h"
#include "model/rewrite.h"
#include "notes.h"
#include "random_graph.h"

/* ---- runs ---- */

/* Everything as new, with these engines. */
static void set_up(const char *first, const char *second, const char *third)
{
    memset(&fake, 0, sizeof(fake));
    fake.version = 7;
    fake.list[0] = first;
    fake.list[1] = second;
    fake.list[2] = third;
    kept_open();
}

static struct notes *open_notes(void)
{
    struct notes *notes = kz_alloc(1, sizeof(*notes));
    CHECK(notes);
    notes_open(notes, KZ_LOG_VERBOSE);
    return notes;
}

static void close_notes(struct notes *notes)
{
    notes_close(notes);
    kz_free(notes);
}

struct opened {
    kz_device *device;
    kz_plan *plan;
    struct notes *notes;
    int width, height, scale;
};

static kz_graph *folded(kz_graph *graph)
{
    static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};
    CHECK(kz_rewrite_all(graph, bt709, NULL) == 0);
    return graph;
}

/* 16 channels: convolutions with residuals in slices, phases, bands. */
static kz_graph *dense(void)
{
    return folded(random_rrdb(1, 16, 8, 3));
}

/* Two convolutions that are one layer with other weights; ×2 would be one kernel. */
static kz_graph *small(void)
{
    return folded(random_srvgg(2, 16, 4, 5));
}

static void compile(struct opened *o, kz_graph *graph, enum kz_precision precision)
{
    const kz_plan_params plan = {o->width, o->height, precision};
    fake.measuring = true;
    CHECK(kz_backend_cuda.compile(o->device, &o->plan, graph, &plan, o->notes->log) == 0);
    fake.measuring = false;
    o->scale = graph->nodes[graph->output].scale;
    kz_graph_close(&graph);
}

static struct opened open_plan(kz_graph *graph, enum kz_precision precision)
{
    struct opened o = {.notes = open_notes(), .width = 6, .height = 10};
    const kz_device_params device = {.threads = 1};
    CHECK(kz_backend_cuda.open(&o.device, &device, o.notes->log) == 0);
    compile(&o, graph, precision);
    return o;
}

static void close_plan(struct opened *o)
{
    kz_backend_cuda.close_plan(&o->plan);
    kz_backend_cuda.close(&o->device);
    close_notes(o->notes);
}

struct picture {
    float *data;
    int count;
};

static struct picture run_tile(const struct opened *o, kz_tile tile)
{
    struct picture in = {kz_alloc((size_t)(o->width * o->height), sizeof(float)), 0};
    struct picture out = {.count = o->width * o->height * o->scale * o->scale};
    out.data = kz_alloc((size_t)out.count, sizeof(float));
    CHECK(in.data && out.data);
    unsigned seed = 8;
    for (int i = 0; i < o->width * o->height; i++)
        in.data[i] = random_unit(&seed) * 0.5f + 0.5f;
    const kz_plane src = {.data = in.data,
                          .stride = o->width * 4,
                          .width = o->width,
                          .height = o->height,
                          .bytes = 4,
                          .depth = 8};
    const kz_plane dst = {.data = out.data,
                          .stride = o->width * o->scale * 4,
                          .width = o->width * o->scale,
                          .height = o->height * o->scale,
                          .bytes = 4,
                          .depth = 8};
    const kz_run run = {.src = &src,
                        .src_levels = {0, 1},
                        .dst = &dst,
                        .dst_levels = {0, 1},
                        .tiles = &tile,
                        .n_tiles = 1};
    CHECK(kz_backend_cuda.run(o->plan, &run) == 0);
    kz_free(in.data);
    return out;
}

static struct picture run_whole(const struct opened *o)
{
    return run_tile(o, (kz_tile){0, 0, o->width, o->height, 0, 0, o->width, o->height});
}

static double psnr(const struct picture *a, const struct picture *b)
{
    double sum = 0;
    CHECK(a->count == b->count);
    for (int i = 0; i < a->count; i++)
        sum += pow((double)a->data[i] - (double)b->data[i], 2);
    return -10 * log10(sum / a->count + 1e-20);
}

static bool equal(const struct picture *a, const struct picture *b)
{
    return a->count == b->count && memcmp(a->data, b->data, (size_t)a->count * sizeof(float)) == 0;
}

/* With our own kernels alone. */
static struct picture run_plain(kz_graph *graph, enum kz_precision precision)
{
    fake.absent = true;
    struct opened o = open_plan(graph, precision);
    struct picture out = run_whole(&o);
    close_plan(&o);
    fake.absent = false;
    return out;
}

static int count_layers_of(const struct opened *o, const char *name)
{
    kz_layer layers[100];
    const int n = kz_backend_cuda.layers(o->plan, layers, 100);
    int found = 0;
    for (int i = 0; i < n; i++)
        found += strcmp(layers[i].kernel, name) == 0;
    return found;
}

static int count_layers(const struct opened *o)
{
    return count_layers_of(o, "fake");
}

/* ---- choosing ---- */

static void expect_computes(kz_graph *graph, enum kz_precision precision, double bound)
{
    kz_graph *again;
    CHECK(kz_graph_copy(&again, graph) == 0);
    struct picture plain = run_plain(again, precision);
    struct opened o = open_plan(graph, precision);
    CHECK(count_layers(&o) > 0);
    const int before = fake.runs;
    struct picture out = run_whole(&o);
    CHECK(fake.runs > before);
    CHECK_NEAR(fmin(psnr(&out, &plain), bound), bound, 0);
    fake.marks = true;
    struct picture marked = run_whole(&o);
    CHECK(psnr(&marked, &plain) < 20);
    fake.marks = false;
    close_plan(&o);
    kz_free(plain.data);
    kz_free(out.data);
    kz_free(marked.data);
}

static void the_fastest_computes(void)
{
    set_up("fast", NULL, NULL);
    expect_computes(dense(), KZ_PRECISION_FP16, 60);
    expect_computes(dense(), KZ_PRECISION_BF16, 42);
    expect_computes(dense(), KZ_PRECISION_FP32, 100);
    expect_computes(dense(), KZ_PRECISION_TF32, 60);
    expect_computes(small(), KZ_PRECISION_FP16, 60);
    kept_close();
}

static void expect_none(const char *engine, const char *line)
{
    set_up(engine, NULL, NULL);
    struct picture plain = run_plain(small(), KZ_PRECISION_FP16);
    struct opened o = open_plan(small(), KZ_PRECISION_FP16);
    CHECK(fake.lists > 0 && count_layers(&o) == 0);
    CHECK(!line || notes_count(o.notes, line) > 0);
    const int before = fake.runs;
    struct picture out = run_whole(&o);
    CHECK(fake.runs == before && equal(&out, &plain));
    CHECK(!strstr(kz_backend_cuda.identity(o.device), "fake"));
    close_plan(&o);
    kz_free(plain.data);
    kz_free(out.data);
    kept_close();
}

static void a_wrong_one_is_dropped(void)
{
    expect_none("wrong", "doesn't compute what it should");
    expect_none("nan", "doesn't compute what it should");
    expect_none("fails", "doesn't compute what it should");
}

static void a_slow_one_is_not_taken(void)
{
    expect_none("slow", NULL);
}

static void what_is_not_there_is_not_taken(void)
{
    expect_none("unknown", NULL);
    expect_none(NULL, NULL);
}

static void the_right_one_of_several(void)
{
    set_up("wrong", "slow", "fast");
    struct opened o = open_plan(dense(), KZ_PRECISION_FP16);
    const int layers = count_layers(&o);
    CHECK(layers > 0 && notes_count(o.notes, ": fast") == fake.lists && fake.lists < layers);
    close_plan(&o);
    kept_close();
}

static void short_memory_is_no_failure(void)
{
    set_up("fast", NULL, NULL);
    fake.no_memory = true;
    struct opened o = open_plan(small(), KZ_PRECISION_FP16);
    CHECK(count_layers(&o) == 0 && notes_count(o.notes, "no memory") == 1);
    close_plan(&o);
    kept_close();
}

static void absence_is_said_once(void)
{
    set_up("fast", NULL, NULL);
    fake.absent = true;
    struct opened o = open_plan(small(), KZ_PRECISION_FP16);
    kz_backend_cuda.close_plan(&o.plan);
    compile(&o, small(), KZ_PRECISION_FP16);
    CHECK(notes_count(o.notes, "\n") == 1 && notes_count(o.notes, "can't be used here") == 1);
    close_plan(&o);
    kept_close();
}

/* KiB: enough, but not for a second side. */
#define ONE_SIDED "100"

static void need_bounds_memory(void)
{
    const kz_plan_params params = {6, 10, KZ_PRECISION_FP16};
    for (int taken = 0; taken < 2; taken++) {
        set_up(taken ? "fast" : "slow", NULL, NULL);
        setenv("KIZUNA_TWIN_MEMORY", ONE_SIDED, 1);
        kz_graph *graph = small();
        struct opened o = open_plan(small(), KZ_PRECISION_FP16);
        unsetenv("KIZUNA_TWIN_MEMORY");
        CHECK(o.device->one_sided == 1);
        kz_plan_info info;
        kz_backend_cuda.info(o.plan, &info);
        const size_t need = kz_backend_cuda.need(o.device, graph, &params).bytes;
        CHECK(taken ? need == info.memory : need > info.memory);
        close_plan(&o);
        kz_graph_close(&graph);
        kept_close();
    }
}

/* ---- running ---- */

static void smaller_tiles_have_our_kernels(void)
{
    const kz_tile tile = {0, 0, 6, 9, 0, 0, 6, 5};
    set_up("fast", NULL, NULL);
    fake.absent = true;
    struct opened o = open_plan(dense(), KZ_PRECISION_FP16);
    struct picture plain = run_tile(&o, tile);
    close_plan(&o);
    fake.absent = false;
    o = open_plan(dense(), KZ_PRECISION_FP16);
    CHECK(count_layers(&o) > 0);
    const int before = fake.runs;
    struct picture out = run_tile(&o, tile);
    CHECK(fake.runs == before && equal(&out, &plain));
    close_plan(&o);
    kz_free(plain.data);
    kz_free(out.data);
    kept_close();
}

static void a_failing_one_is_left(void)
{
    set_up("fast", NULL, NULL);
    struct picture plain = run_plain(dense(), KZ_PRECISION_FP16);
    struct opened o = open_plan(dense(), KZ_PRECISION_FP16);
    fake.fails = true;
    int before = fake.runs;
    struct picture out = run_whole(&o);
    /* Each layer's engine is asked once, and that is said. */
    CHECK(fake.runs > before && fake.runs - before <= fake.lists);
    CHECK(notes_count(o.notes, "has failed") == fake.runs - before && equal(&out, &plain));
    before = fake.runs;
    kz_free(out.data);
    out = run_whole(&o);
    CHECK(fake.runs == before && equal(&out, &plain) && count_layers(&o) == 0);
    close_plan(&o);
    kz_free(plain.data);
    kz_free(out.data);
    kept_close();
}

/* ---- replaying ---- */

/* What run_whole() makes goes to `out`. */
static size_t launches_of(const struct opened *o, struct picture *out)
{
    const size_t before = kz_gpu_launches(o->device->gpu);
    kz_free(out->data);
    *out = run_whole(o);
    return kz_gpu_launches(o->device->gpu) - before;
}

/* It goes on as before, uncaptured. */
static void what_cannot_be_captured_stays(void)
{
    set_up("fast", NULL, NULL);
    struct opened o = open_plan(dense(), KZ_PRECISION_FP16);
    const int layers = count_layers(&o);
    struct picture first = run_whole(&o), out = {0};
    for (int i = 0; i < 4; i++) {
        const int before = fake.runs;
        launches_of(&o, &out);
        CHECK(equal(&out, &first) && fake.runs - before >= layers);
    }
    /* Once for either part of the network. */
    CHECK(notes_count(o.notes, "can't be captured") == 2 &&
          notes_count(o.notes, "has failed") == 0);
    CHECK(layers > 0 && count_layers(&o) == layers);
    close_plan(&o);
    kz_free(first.data);
    kz_free(out.data);
    kept_close();
}

/* A graph that was captured before would go on with it. */
static void what_is_left_is_not_replayed(void)
{
    set_up("clears", NULL, NULL);
    struct picture plain = run_plain(small(), KZ_PRECISION_FP16);
    struct opened o = open_plan(small(), KZ_PRECISION_FP16);
    struct picture first = run_whole(&o), out = {0};
    const size_t few = launches_of(&o, &out);
    const int before = fake.runs;
    CHECK(few == 3 && !equal(&first, &plain) && equal(&out, &first));
    CHECK(launches_of(&o, &out) == few && equal(&out, &first) && fake.runs == before);
    fake.fails = true;
    CHECK(count_layers(&o) == 0); /* which runs them one by one */
    for (int i = 0; i < 4; i++) {
        launches_of(&o, &out);
        CHECK(equal(&out, &plain));
    }
    CHECK(launches_of(&o, &out) == few && equal(&out, &plain));
    close_plan(&o);
    kz_free(plain.data);
    kz_free(first.data);
    kz_free(out.data);
    kept_close();
}

/* ---- keeping ---- */

/* Opens, counts what is listed and run, and closes. */
static int lists_of_one_opening(char identity[300], const char *line)
{
    const int before = fake.lists;
    struct opened o = open_plan(small(), KZ_PRECISION_FP16);
    const int lists = fake.lists - before;
    CHECK(count_layers(&o) > 0);
    CHECK(!line || notes_count(o.notes, line) == 1);
    snprintf(identity, 300, "%s", kz_backend_cuda.identity(o.device));
    close_plan(&o);
    return lists;
}

static void choices_are_kept(void)
{
    char first[300], second[300], third[300];
    set_up("fast", "slow", NULL);
    const int lists = lists_of_one_opening(first, NULL);
    fake.list[0] = "faster"; /* than what is kept: it isn't asked */
    fake.list[1] = NULL;
    fake.runs = 0;
    CHECK(lists > 0 && lists_of_one_opening(second, NULL) == 0);
    CHECK(strcmp(first, second) == 0 && strstr(first, "fake 7, engines "));
    fake.version = 8; /* of another version others may be the fastest */
    CHECK(lists_of_one_opening(third, NULL) == lists && strcmp(first, third) != 0);
    CHECK(strncmp(strstr(first, "engines"), strstr(third, "engines"), 24) != 0);
    kept_close();
}

/* Our own kernel is a choice, too. */
static void that_none_won_is_kept(void)
{
    set_up("slow", NULL, NULL);
    struct opened o = open_plan(small(), KZ_PRECISION_FP16);
    close_plan(&o);
    fake.list[0] = "fast";
    fake.lists = fake.runs = 0;
    o = open_plan(small(), KZ_PRECISION_FP16);
    CHECK(fake.lists == 0 && fake.runs == 0 && count_layers(&o) == 0);
    close_plan(&o);
    kept_close();
}

static void expect_measured_again(const char *path, const char *data, size_t size)
{
    char identity[300];
    kept_write(path, data, size);
    CHECK(lists_of_one_opening(identity, "measured again") > 0);
    CHECK(lists_of_one_opening(identity, NULL) == 0);
}

/* With the digest that belongs to it. */
static void expect_refused(const char *path, const char *header, const char *rest, size_t size)
{
    char *text = kz_alloc_raw(strlen(header) + size + KZ_DIGEST_TEXT, 1);
    CHECK(text);
    const size_t length = strlen(header) + size;
    memcpy(text, header, strlen(header));
    memcpy(text + strlen(header), rest, size);
    kz_digest_of(text, length, text + length);
    text[length + KZ_DIGEST_TEXT - 1] = '\n';
    expect_measured_again(path, text, length + KZ_DIGEST_TEXT);
    kz_free(text);
}

static void damaged_files_are_measured_again(void)
{
    char path[300], identity[300], header[500];
    kz_bytes good;
    set_up("fast", NULL, NULL);
    CHECK(lists_of_one_opening(identity, NULL) > 0);
    kept_find(path);
    CHECK(kz_file_read(&good, path, 1 << 20, NULL) == 0);
    char *const data = (char *)good.data;
    snprintf(header, sizeof(header), "%.*s\n", (int)strcspn(data, "\n"), data);
    expect_measured_again(path, "", 0);
    expect_measured_again(path, "\n", 1);
    for (size_t at = 0; at < good.size; at += good.size / 5) {
        expect_measured_again(path, data, at);
        data[at] ^= 1;
        expect_measured_again(path, data, good.size);
        data[at] ^= 1;
    }
    expect_measured_again(path, data, good.size - 1);
    expect_refused(path, header, "x", 1);
    expect_refused(path, header, "x\n", 2);
    expect_refused(path, header, "\tx\n", 3);
    expect_refused(path, header, "x\t\n", 3);
    expect_refused(path, header, "x\ty\0\n", 5);
    expect_refused(path, header, "x\ty\tz\n", 6);
    expect_refused(path, header, "x\ty\nx", 5);
    expect_refused(path, header, "x\033[0m\ty\n", 8);
    kz_free(good.data);
    kept_close();
}

static void long_texts_are_refused(void)
{
    static const struct {
        int layer, engine;
    } sizes[] = {{KZ_CHOICE_LAYER, 1}, {1, KZ_CHOICE_ENGINE}, {100000, 100000}};
    char path[300], identity[300], header[500];
    kz_bytes good;
    set_up("fast", NULL, NULL);
    CHECK(lists_of_one_opening(identity, NULL) > 0);
    kept_find(path);
    CHECK(kz_file_read(&good, path, 1 << 20, NULL) == 0);
    snprintf(header, sizeof(header), "%.*s\n", (int)strcspn((char *)good.data, "\n"),
             (char *)good.data);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *line = kz_asprintf("%0*d\t%0*d\n", sizes[i].layer, 0, sizes[i].engine, 0);
        CHECK(line);
        expect_refused(path, header, line, strlen(line));
        kz_free(line);
    }
    kz_free(good.data);
    kept_close();
}

/* A file may be whole and name an engine that computes something else. */
static void kept_engines_are_compared(void)
{
    char path[300], identity[300];
    kz_bytes good;
    set_up("fast", NULL, NULL);
    CHECK(lists_of_one_opening(identity, NULL) > 0);
    kept_find(path);
    CHECK(kz_file_read(&good, path, 1 << 20, NULL) == 0);
    char *const data = (char *)good.data;
    for (char *at = data; (at = strstr(at, "\tfast\n"));)
        memcpy(at, "\tnan\n\n", 6); /* as long, then shortened */
    size_t size = 0;
    for (size_t i = 0; i < good.size - KZ_DIGEST_TEXT; i++)
        if (data[i] != '\n' || data[i - 1] != '\n')
            data[size++] = data[i];
    kz_digest_of(data, size, data + size);
    data[size + KZ_DIGEST_TEXT - 1] = '\n';
    kept_write(path, data, size + KZ_DIGEST_TEXT);
    CHECK(lists_of_one_opening(identity, NULL) > 0);
    CHECK(lists_of_one_opening(identity, NULL) == 0);
    kz_free(good.data);
    kept_close();
}

static void choices_may_be_lost(void)
{
    static const char *const folders[] = {"/dev/null/cache", "relative", ""};
    char identity[300];
    set_up("fast", NULL, NULL);
    CHECK(setenv("HOME", "nowhere", 1) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(setenv("XDG_CACHE_HOME", folders[i], 1) == 0);
        for (int j = 0; j < 2; j++)
            CHECK(lists_of_one_opening(identity, i ? NULL : "measured again") > 0);
        CHECK(access("relative", F_OK) != 0);
    }
    kept_close();
}

static void home_will_do(void)
{
    char identity[300], path[300];
    set_up("fast", NULL, NULL);
    CHECK(unsetenv("XDG_CACHE_HOME") == 0 && setenv("HOME", kept_folder, 1) == 0);
    CHECK(lists_of_one_opening(identity, NULL) > 0);
    CHECK(lists_of_one_opening(identity, NULL) == 0);
    snprintf(path, sizeof(path), "%s/.cache/kizuna", kept_folder);
    CHECK(access(path, F_OK) == 0);
    kept_close();
}

/* ---- our own kernel for Hopper ---- */

/* Which of two is faster on the host says nothing: what is kept decides, and is compared. Without
 * another library, and beside one that has the same layers. */
static void expect_wgmma(bool alone, const char *way)
{
    set_up("slow", NULL, NULL);
    struct picture plain = run_plain(folded(random_srvgg(2, 32, 4, 5)), KZ_PRECISION_FP16);
    CHECK(setenv("KIZUNA_TWIN_HOPPER", "1", 1) == 0);
    fake.absent = alone;
    struct opened o = open_plan(folded(random_srvgg(2, 32, 4, 5)), KZ_PRECISION_FP16);
    CHECK(notes_count(o.notes, "timing engines (wgmma 2, tail 1") == 1);
    CHECK(notes_count(o.notes, "engine for") > 0);
    CHECK(notes_count(o.notes, "doesn't compute what it should") == 0);
    close_plan(&o);
    kept_replace(way, way);
    o = open_plan(folded(random_srvgg(2, 32, 4, 5)), KZ_PRECISION_FP16);
    CHECK(notes_count(o.notes, "timing") == 0 && notes_count(o.notes, "doesn't compute") == 0);
    CHECK(count_layers_of(&o, "wgmma") > 0 && count_layers(&o) == 0);
    CHECK(strstr(kz_backend_cuda.identity(o.device), alone ? "tail 1, engines" : "tail 1, fake"));
    struct picture out = run_whole(&o), again = {0};
    CHECK_NEAR(fmin(psnr(&out, &plain), 60), 60, 0);
    for (int i = 0; i < 3; i++)
        CHECK(launches_of(&o, &again) == 3 && equal(&again, &out)); /* one is the network */
    close_plan(&o);
    CHECK(unsetenv("KIZUNA_TWIN_HOPPER") == 0);
    kz_free(plain.data);
    kz_free(out.data);
    kz_free(again.data);
    kept_close();
}

static void hoppers_kernel_is_one_of_them(void)
{
    expect_wgmma(true, "one");
    expect_wgmma(false, "march");
}

static const struct check_case cases[] = {
    {"the fastest computes", the_fastest_computes},
    {"a wrong one is dropped", a_wrong_one_is_dropped},
    {"a slow one is not taken", a_slow_one_is_not_taken},
    {"what isn't there isn't taken", what_is_not_there_is_not_taken},
    {"the right one of several", the_right_one_of_several},
    {"short memory is no failure", short_memory_is_no_failure},
    {"absence is said once", absence_is_said_once},
    {"need bounds memory", need_bounds_memory},
    {"smaller tiles have our kernels", smaller_tiles_have_our_kernels},
    {"a failing one is left", a_failing_one_is_left},
    {"what can't be captured stays", what_cannot_be_captured_stays},
    {"what is left isn't replayed", what_is_left_is_not_replayed},
    {"choices are kept", choices_are_kept},
    {"that none won is kept", that_none_won_is_kept},
    {"damaged files are measured again", damaged_files_are_measured_again},
    {"long texts are refused", long_texts_are_refused},
    {"kept engines are compared", kept_engines_are_compared},
    {"choices may be lost", choices_may_be_lost},
    {"home will do", home_will_do},
    {"Hopper's kernel is one of them", hoppers_kernel_is_one_of_them},
};

CHECK_MAIN(cases)
