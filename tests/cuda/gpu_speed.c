/* How fast: the parts peak, speed and stages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gpu_check.h"

enum { MOST_LAYERS = 2048, MOST_RUNS = 1000, WARM_UP = 2 };

/* A shape's runs end after so many seconds, when there are a few. */
enum { LONGEST = 12 };

/* ---- part: peak ---- */

/* Whether all products are done: twice the steps are twice the sums. */
static bool is_peak_right(kz_gpu *gpu, enum kz_element element)
{
    const size_t count = (size_t)kz_cuda_peak_blocks(gpu) * KZ_PEAK_THREADS;
    const size_t bytes = count * sizeof(float);
    float *there = kz_gpu_alloc(gpu, bytes), *here = taken(2 * count, sizeof(*here));
    bool ok = there, any = false;
    for (int i = 0; i < 2 && ok; i++) {
        kz_cuda_peak(gpu, element, i + 1, there);
        kz_gpu_copy_out(gpu, here + (size_t)i * count, (ptrdiff_t)bytes, there, bytes, bytes, 1);
        ok = kz_gpu_wait(gpu) == 0;
    }
    for (size_t i = 0; i < count; i++) {
        ok = ok && here[count + i] == 2 * here[i];
        any = any || here[i] != 0;
    }
    kz_gpu_free(gpu, there);
    kz_free(here);
    return ok && any;
}

/* SECONDS */
int part_peak(char **arguments, kz_log *log)
{
    static const struct {
        const char *name;
        enum kz_precision precision;
        enum kz_element element;
    } all[] = {{"fp16", KZ_PRECISION_FP16, KZ_ELEMENT_FP16},
               {"bf16", KZ_PRECISION_BF16, KZ_ELEMENT_BF16},
               {"tf32", KZ_PRECISION_TF32, KZ_ELEMENT_FP32}};
    const double seconds = atof(arguments[0]);
    kz_device *device = open_device(&kz_backend_cuda, log);
    int failed = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const double macs = kz_backend_cuda.peak(device, all[i].precision, seconds);
        const bool ok = macs == 0 || is_peak_right(device->gpu, all[i].element);
        printf("{\"kind\":\"peak\",\"precision\":\"%s\",\"flops\":%.6g,\"ok\":%s}\n", all[i].name,
               2 * macs, ok ? "true" : "false");
        failed |= !ok;
    }
    printf("{\"kind\":\"bandwidth\",\"bytes\":%.6g}\n", kz_backend_cuda.bandwidth(device, seconds));
    kz_backend_cuda.close(&device);
    return failed;
}

/* ---- part: speed ---- */

struct shape {
    const struct model *model;
    const char *precision;
    struct size size;
    kz_device *device;
    kz_plan *plan;
    kz_plane in, out;
};

static void say_shape(const struct shape *s, const char *kind)
{
    printf("{\"kind\":\"%s\",\"model\":\"%s\",\"precision\":\"%s\",\"size\":\"%dx%d\",", kind,
           s->model->stem, s->precision, s->size.width, s->size.height);
}

/* 8 bits in, 10 bits out, in page-locked memory as a run's pictures are. */
static int open_shape(struct shape *s, kz_log *log)
{
    const kz_plan_params params = {s->size.width, s->size.height, precision_of(s->precision)};
    s->in = draw(s->size, 1);
    s->out = open_plane(times(s->size, s->model->scale), 2, 10);
    kz_backend_cuda.pin(s->device, s->in.data, samples_of(&s->in));
    kz_backend_cuda.pin(s->device, s->out.data, samples_of(&s->out) * 2);
    return kz_backend_cuda.compile(s->device, &s->plan, s->model->graph, &params, log);
}

static void close_plane(const struct shape *s, kz_plane *p)
{
    kz_backend_cuda.unpin(s->device, p->data);
    kz_free(p->data);
}

static void close_shape(struct shape *s)
{
    kz_backend_cuda.close_plan(&s->plan);
    close_plane(s, &s->in);
    close_plane(s, &s->out);
}

/* Returns how many there were. */
static int time_runs(const struct shape *s, double *seconds, int most)
{
    const kz_tiling tiling = whole(s->size);
    double passed = 0;
    int count = 0;
    for (int i = 0; i < WARM_UP; i++)
        if (run_tiles(&kz_backend_cuda, s->plan, &tiling, &s->in, &s->out))
            stop("a run", "failed");
    while (count < most && (count < FEW || passed < LONGEST)) {
        const double began = kz_now();
        if (run_tiles(&kz_backend_cuda, s->plan, &tiling, &s->in, &s->out))
            stop("a run", "failed");
        seconds[count] = kz_now() - began;
        passed += seconds[count++];
    }
    return count;
}

enum { FILM = 16 };

/* Seconds for a picture of a few, of which two are under way. */
static double time_film(const struct shape *s)
{
    const kz_backend *b = &kz_backend_cuda;
    const kz_tiling tiling = whole(s->size);
    const kz_tile tile = kz_tiling_get(&tiling, 0);
    const kz_run run = {.src = &s->in,
                        .src_levels = levels_of(&s->in),
                        .dst = &s->out,
                        .dst_levels = levels_of(&s->out),
                        .tiles = &tile,
                        .n_tiles = 1,
                        .deferred = true};
    const double began = kz_now();
    for (int i = 0; i < FILM; i++) {
        if (b->run(s->plan, &run))
            stop("a run", "failed");
        b->end_picture(s->device);
        if (i && b->wait(s->device, 1))
            stop("a run", "failed");
    }
    if (b->wait(s->device, 0))
        stop("a run", "failed");
    return (kz_now() - began) / FILM;
}

/* As a run makes pictures; the first film warms up, where there is time for others. */
static double measure_film(const struct shape *s)
{
    double seconds[FEW], passed = 0;
    int count = 0;
    for (int i = -1; i < FEW && passed < LONGEST; i++) {
        count = i < 0 ? 1 : i + 1;
        seconds[count - 1] = time_film(s);
        passed += seconds[count - 1] * FILM;
    }
    return median(seconds, count);
}

static void measure_shape(const struct shape *s, int runs)
{
    double seconds[MOST_RUNS];
    const double pixels = (double)s->size.width * s->size.height;
    kz_plan_info info;
    kz_backend_cuda.info(s->plan, &info);
    const int count = time_runs(s, seconds, runs);
    const double middle = median(seconds, count), film = measure_film(s);
    say_shape(s, "speed");
    printf("\"film\":%.6g,\"runs\":%d,\"seconds\":%.6g,\"least\":%.6g,\"most\":%.6g,"
           "\"nominal\":%.6g,\"executed\":%.6g,\"memory\":%zu}\n",
           film, count, middle, seconds[0], seconds[count - 1], 2 * s->model->nominal * pixels,
           2 * info.macs, info.memory);
    fflush(stdout);
}

/* MODEL PRECISION RUNS SIZE…: frames from host memory, one at a time and two under way. */
int part_speed(char **arguments, kz_log *log)
{
    struct model m = read_model(arguments[0], log);
    kz_device *device = open_device(&kz_backend_cuda, log);
    const int runs = atoi(arguments[2]);
    int failed = 0;
    if (runs < 1 || runs > MOST_RUNS)
        stop("not a number of runs", arguments[2]);
    for (char **size = arguments + 3; *size; size++) {
        struct shape s = {&m, arguments[1], size_of(*size), device, NULL, {0}, {0}};
        const int error = open_shape(&s, log);
        if (!error)
            measure_shape(&s, runs);
        else {
            say_shape(&s, "speed");
            printf("\"error\":%d}\n", error);
            failed |= error == KZ_ERROR_FAILED;
        }
        close_shape(&s);
    }
    kz_backend_cuda.close(&device);
    kz_graph_close(&m.graph);
    return failed;
}

/* ---- part: stages ---- */

static const kz_node *node_called(const kz_graph *graph, const char *name)
{
    for (int i = 0; i < graph->n_nodes; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return &graph->nodes[i];
    return NULL;
}

/* Returns the seconds of all layers; each one's are the median of a few. */
static double say_layers(const struct shape *s, int rounds)
{
    kz_layer *layers = taken((size_t)MOST_LAYERS, sizeof(*layers));
    double(*seconds)[MOST_RUNS] = taken((size_t)MOST_LAYERS, sizeof(*seconds)), sum = 0;
    int count = 0;
    for (int round = 0; round < rounds; round++) {
        count = kz_backend_cuda.layers(s->plan, layers, MOST_LAYERS);
        for (int i = 0; i < count; i++)
            seconds[i][round] = layers[i].seconds;
    }
    for (int i = 0; i < count; i++) {
        const kz_node *node = node_called(s->model->graph, layers[i].name);
        const double middle = median(seconds[i], rounds);
        say_shape(s, "layer");
        printf("\"name\":\"%s\",\"kernel\":\"%s\",\"conv\":%s,\"in\":%d,\"out\":%d,\"scale\":%d,"
               "\"executed\":%.6g,\"seconds\":%.6g}\n",
               layers[i].name, layers[i].kernel, layers[i].macs > 0 ? "true" : "false",
               node && node->n_inputs ? kz_graph_in_channels(s->model->graph, node) : 0,
               node ? node->channels : 0, node ? node->scale : 0, 2 * layers[i].executed, middle);
        sum += middle;
    }
    kz_free(layers);
    kz_free(seconds);
    return sum;
}

struct stage {
    kz_gpu *gpu;
    const kz_plane *plane;
    kz_surface samples; /* of the device */
    kz_view values;
};

static void copy_in(const struct stage *s)
{
    const kz_surface *there = &s->samples;
    kz_gpu_copy_in(s->gpu, there->data, there->pitch, s->plane->data, s->plane->stride,
                   there->pitch, there->height);
}

static void copy_out(const struct stage *s)
{
    const kz_surface *there = &s->samples;
    kz_gpu_copy_out(s->gpu, s->plane->data, s->plane->stride, there->data, there->pitch,
                    there->pitch, there->height);
}

static void load(const struct stage *s)
{
    kz_cuda_load(s->gpu, &(kz_patch){s->samples, s->values, 0, 0}, 1, levels_of(s->plane));
}

static void store(const struct stage *s)
{
    kz_cuda_store(s->gpu, &(kz_patch){s->samples, s->values, 0, 0}, 1, NULL, levels_of(s->plane),
                  NULL);
}

/* The host's clock for copies, which keep the host waiting; the device's for kernels. */
static double time_stage(const struct stage *s, void (*run)(const struct stage *), bool host,
                         int rounds)
{
    double seconds[MOST_RUNS];
    for (int i = 0; i < rounds + 1; i++) {
        const double began = kz_now();
        kz_gpu_mark(s->gpu, 0);
        run(s);
        kz_gpu_mark(s->gpu, 1);
        if (kz_gpu_wait(s->gpu))
            stop("a stage", kz_gpu_error(s->gpu));
        if (i)
            seconds[i - 1] = host ? kz_now() - began : kz_gpu_between(s->gpu);
    }
    return median(seconds, rounds);
}

static struct stage open_stage(kz_gpu *gpu, const kz_plane *plane)
{
    const kz_rect all = {0, 0, plane->width, plane->height};
    const size_t samples = samples_of(plane), bytes = samples * (size_t)plane->bytes;
    struct stage s = {.gpu = gpu, .plane = plane};
    s.samples = kz_surface_of(plane, all, kz_gpu_alloc(gpu, bytes));
    s.values = (kz_view){kz_gpu_alloc(gpu, samples * sizeof(float)),
                         KZ_ELEMENT_FP32,
                         1,
                         1,
                         plane->width,
                         plane->height,
                         1};
    if (!s.samples.data || !s.values.data)
        stop("a stage", "memory of the device is short");
    kz_gpu_clear(gpu, s.values.data, samples * sizeof(float));
    return s;
}

static void close_stage(struct stage *s)
{
    kz_gpu_free(s->gpu, s->samples.data);
    kz_gpu_free(s->gpu, s->values.data);
}

static void say_stage(const struct shape *s, const char *what, double seconds, size_t bytes)
{
    say_shape(s, "stage");
    printf("\"what\":\"%s\",\"seconds\":%.6g,\"bytes\":%zu}\n", what, seconds, bytes);
}

enum { MOST_TILES = 100, SIDE = 96 };

static struct size tile_size(const struct shape *s)
{
    return (struct size){s->size.width < SIDE ? s->size.width : SIDE,
                         s->size.height < SIDE ? s->size.height : SIDE};
}

/* Along the diagonal. */
static void place_tiles(const struct shape *s, int count, kz_tile *tiles)
{
    const int width = tile_size(s).width, height = tile_size(s).height;
    for (int i = 0; i < count; i++) {
        const int x = (s->size.width - width) * i / count;
        const int y = (s->size.height - height) * i / count;
        tiles[i] = (kz_tile){x, y, width, height, x, y, x + width, y + height};
    }
}

static double time_parts(const struct shape *s, kz_run run, int count)
{
    const double began = kz_now();
    for (int i = 0; i < count; i += run.n_tiles, run.tiles += run.n_tiles)
        if (kz_backend_cuda.run(s->plan, &run))
            stop("a run", "failed");
    if (kz_backend_cuda.wait(s->device, 0))
        stop("a run", "failed");
    return kz_now() - began;
}

/* Parts of a picture as reuse asks for them, in one run or each in its own, onto a canvas. */
static double time_tiles(const struct shape *s, int count, bool together, int rounds)
{
    double seconds[MOST_RUNS];
    kz_tile tiles[MOST_TILES];
    kz_run run = {.src = &s->in,
                  .src_levels = levels_of(&s->in),
                  .dst_levels = levels_of(&s->out),
                  .tiles = tiles,
                  .n_tiles = together ? count : 1,
                  .deferred = true};
    place_tiles(s, count, tiles);
    if (kz_backend_cuda.open_canvas(s->device, &run.canvas, s->out.width, s->out.height))
        stop("a canvas", "memory of the device is short");
    time_parts(s, run, count);
    for (int i = 0; i < rounds; i++)
        seconds[i] = time_parts(s, run, count);
    kz_backend_cuda.close_canvas(&run.canvas);
    return median(seconds, rounds);
}

static void say_tiles(const struct shape *s, int count, int rounds)
{
    const double together = time_tiles(s, count, true, rounds);
    const double apart = time_tiles(s, count, false, rounds);
    say_shape(s, "tiles");
    printf("\"count\":%d,\"tile\":\"%dx%d\",\"together\":%.6g,\"apart\":%.6g}\n", count,
           tile_size(s).width, tile_size(s).height, together, apart);
}

/* One of the two ways that a frame's kernels are launched. */
struct way {
    double device[MOST_RUNS], host[MOST_RUNS]; /* seconds: the stream is at work, the host asks */
    size_t launches;
};

static void time_way(const struct shape *s, const kz_run *run, struct way *way, int round)
{
    kz_gpu *gpu = s->device->gpu;
    const size_t before = kz_gpu_launches(gpu);
    kz_gpu_mark(gpu, 0);
    const double began = kz_now();
    if (kz_backend_cuda.run(s->plan, run))
        stop("a run", "failed");
    way->host[round] = kz_now() - began;
    kz_gpu_mark(gpu, 1);
    if (kz_gpu_wait(gpu))
        stop("a run", kz_gpu_error(gpu));
    way->device[round] = kz_gpu_between(gpu);
    way->launches = kz_gpu_launches(gpu) - before;
}

static void say_way(const char *name, struct way *way, int rounds)
{
    printf("\"%s\":{\"device\":%.6g,\"host\":%.6g,\"launches\":%zu},", name,
           median(way->device, rounds), median(way->host, rounds), way->launches);
}

/* A frame from the device's memory to a canvas, in turns replayed from graphs and layer by layer.
 * `busy`: seconds that its kernels take one by one. */
static void say_replays(const struct shape *s, const kz_surface *there, double busy, int rounds)
{
    struct way *ways = taken(2, sizeof(*ways));
    const kz_tiling tiling = whole(s->size);
    const kz_tile tile = kz_tiling_get(&tiling, 0);
    kz_plane in = s->in;
    in.there = (kz_plane_there){.data = there->data, .pitch = there->pitch, .step = 1};
    kz_run run = {.src = &in,
                  .src_levels = levels_of(&in),
                  .dst_levels = levels_of(&s->out),
                  .tiles = &tile,
                  .n_tiles = 1,
                  .deferred = true};
    if (kz_backend_cuda.open_canvas(s->device, &run.canvas, s->out.width, s->out.height))
        stop("a canvas", "memory of the device is short");
    for (int i = -WARM_UP; i < rounds; i++)
        for (int replayed = 0; replayed < 2; replayed++) {
            kz_cuda_let_replay(s->plan, replayed);
            time_way(s, &run, &ways[replayed], i < 0 ? 0 : i);
        }
    kz_backend_cuda.close_canvas(&run.canvas);
    say_shape(s, "replay");
    say_way("plain", &ways[0], rounds);
    say_way("replayed", &ways[1], rounds);
    printf("\"busy\":%.6g}\n", busy);
    kz_free(ways);
}

/* The two one after the other, and each on a side of its own, in turns. */
static void say_sides(const struct shape *s, int rounds)
{
    double seconds[2][MOST_RUNS];
    if (s->device->one_sided)
        return;
    for (int i = -1; i < rounds; i++)
        for (int beside = 0; beside < 2; beside++) {
            kz_gpu_take_side(s->device->gpu, 0);
            s->device->one_sided = !beside;
            seconds[beside][i < 0 ? 0 : i] = time_film(s);
        }
    s->device->one_sided = 0;
    kz_gpu_take_side(s->device->gpu, 0);
    say_shape(s, "sides");
    printf("\"one\":%.6g,\"two\":%.6g}\n", median(seconds[0], rounds), median(seconds[1], rounds));
}

/* MODEL PRECISION ROUNDS SIZE TILES: where a frame's time goes, and that of so many small tiles. */
int part_stages(char **arguments, kz_log *log)
{
    struct model m = read_model(arguments[0], log);
    kz_device *device = open_device(&kz_backend_cuda, log);
    const int rounds = atoi(arguments[2]), tiles = atoi(arguments[4]);
    struct shape s = {&m, arguments[1], size_of(arguments[3]), device, NULL, {0}, {0}};
    double seconds[MOST_RUNS];
    if (rounds < 1 || rounds > MOST_RUNS || tiles < 1 || tiles > MOST_TILES || open_shape(&s, log))
        stop("can't be run", arguments[1]);
    const int count = time_runs(&s, seconds, rounds);
    say_stage(&s, "frame", median(seconds, count), 0);
    const double network = say_layers(&s, rounds);
    say_stage(&s, "network", network, 0);
    struct stage in = open_stage(device->gpu, &s.in), out = open_stage(device->gpu, &s.out);
    const size_t in_bytes = kz_surface_bytes(&in.samples);
    const size_t out_bytes = kz_surface_bytes(&out.samples);
    say_stage(&s, "copy in", time_stage(&in, copy_in, true, rounds), in_bytes);
    const double loading = time_stage(&in, load, false, rounds);
    const double storing = time_stage(&out, store, false, rounds);
    say_stage(&s, "load", loading, in_bytes * 5);
    say_stage(&s, "store", storing, out_bytes * 3);
    say_stage(&s, "copy out", time_stage(&out, copy_out, true, rounds), out_bytes);
    say_replays(&s, &in.samples, network + loading + storing, rounds);
    close_stage(&in);
    close_stage(&out);
    say_sides(&s, rounds);
    say_tiles(&s, tiles, rounds);
    close_shape(&s);
    kz_backend_cuda.close(&device);
    kz_graph_close(&m.graph);
    return 0;
}
