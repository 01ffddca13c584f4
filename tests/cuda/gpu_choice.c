/* Networks with the engines that a run would choose for their layers, cuDNN's among them where it
 * is there: how long choosing takes, what is chosen, and a film with it, replayed from graphs,
 * beside our own kernels. JSON lines as gpu_check's. gpu_choice MODEL PICTURES SIZE…    exit code
 * 0; 1: something is wrong; 3: there is no GPU. What is chosen is kept in $XDG_CACHE_HOME. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "gpu_check.h"

#define LEAST_PSNR 55.0

/* What the back end says: on stderr, and for us to read. */
struct said {
    FILE *text, *both;
    char *lines;
    size_t size;
    kz_log *log;
};

static ssize_t say_twice(void *cookie, const char *text, size_t size)
{
    const struct said *s = cookie;
    fwrite(text, 1, size, stderr);
    return (ssize_t)fwrite(text, 1, size, s->text);
}

static void open_said(struct said *s)
{
    s->text = open_memstream(&s->lines, &s->size);
    s->both = s->text ? fopencookie(s, "w", (cookie_io_functions_t){.write = say_twice}) : NULL;
    if (!s->both || kz_log_open(&s->log, s->both, KZ_LOG_VERBOSE))
        stop("memory", "short");
    setvbuf(s->both, NULL, _IOLBF, 0);
}

static void close_said(struct said *s)
{
    kz_log_close(&s->log);
    fclose(s->both);
    fclose(s->text);
    free(s->lines);
}

/* How many lines so far hold these words; prints those behind them as engines of the size. */
static int find_lines(struct said *s, const char *words, const char *size)
{
    int count = 0;
    fflush(s->both);
    fflush(s->text);
    for (const char *at = s->lines; at && (at = strstr(at, words)); count++) {
        at += strlen(words);
        if (size)
            printf("{\"kind\":\"chosen\",\"size\":\"%s\",\"engine\":\"%.*s\"}\n", size,
                   (int)strcspn(at, "\n"), at);
    }
    return count;
}

/* ---- films ---- */

enum { UNDER_WAY = 2, FILMS = 3 };

struct studio {
    kz_device *device;
    kz_plan *plan;
    kz_plane in, out[UNDER_WAY];
};

static void open_studio(struct studio *s, const struct model *m, struct size size, kz_log *log)
{
    s->device = open_device(&kz_backend_cuda, log);
    s->plan = NULL;
    s->in = draw(size, 4);
    for (int i = 0; i < UNDER_WAY; i++) {
        s->out[i] = open_plane(times(size, m->scale), 4, 8);
        kz_backend_cuda.pin(s->device, s->out[i].data, samples_of(&s->out[i]) * sizeof(float));
    }
}

static void close_studio(struct studio *s)
{
    kz_backend_cuda.close_plan(&s->plan);
    for (int i = 0; i < UNDER_WAY; i++) {
        kz_backend_cuda.unpin(s->device, s->out[i].data);
        kz_free(s->out[i].data);
    }
    kz_backend_cuda.close(&s->device);
    kz_free(s->in.data);
}

static void run_film(const struct studio *s, struct size size, int pictures)
{
    const kz_backend *b = &kz_backend_cuda;
    const kz_tiling tiling = whole(size);
    const kz_tile tile = kz_tiling_get(&tiling, 0);
    for (int i = 0; i < pictures; i++) {
        const kz_run run = {.src = &s->in,
                            .src_levels = levels_of(&s->in),
                            .dst = &s->out[i % UNDER_WAY],
                            .dst_levels = levels_of(&s->out[0]),
                            .tiles = &tile,
                            .n_tiles = 1,
                            .deferred = true};
        if (b->run(s->plan, &run))
            stop("a run", b->error(s->device));
        b->end_picture(s->device);
        if (i && b->wait(s->device, 1))
            stop("a run", b->error(s->device));
    }
    if (b->wait(s->device, 0))
        stop("a run", b->error(s->device));
}

/* Seconds for a picture. */
static double time_film(const struct studio *s, struct size size, int pictures)
{
    double seconds[FILMS];
    run_film(s, size, pictures);
    for (int i = 0; i < FILMS; i++) {
        const double began = kz_now();
        run_film(s, size, pictures);
        seconds[i] = (kz_now() - began) / pictures;
    }
    return median(seconds, FILMS);
}

static double psnr(const kz_plane *a, const kz_plane *b)
{
    const float *x = a->data, *y = b->data;
    double sum = 0;
    for (size_t i = 0; i < samples_of(a); i++)
        sum += (double)((x[i] - y[i]) * (x[i] - y[i]));
    return fmin(200, -10 * log10(sum / (double)samples_of(a) + 1e-30));
}

/* ---- choosing ---- */

typedef int compile(kz_device *device, kz_plan **plan, const kz_graph *graph,
                    const kz_plan_params *params, kz_log *log);

static double time_compile(struct studio *s, compile *run, const struct model *m, struct size size,
                           kz_log *log)
{
    const kz_plan_params params = {size.width, size.height, KZ_PRECISION_FP16};
    const double began = kz_now();
    kz_backend_cuda.close_plan(&s->plan);
    if (run(s->device, &s->plan, m->graph, &params, log))
        stop("a plan", m->stem);
    return kz_now() - began;
}

/* The last two pictures, of which each may have been computed on a side of its own. */
static double nearness(const struct studio *a, const struct studio *b)
{
    double least = INFINITY;
    for (int i = 0; i < UNDER_WAY; i++) {
        const double near = psnr(&a->out[i], &b->out[i]);
        least = near < least ? near : isnan(near) ? 0 : least;
    }
    return least;
}

/* Chosen anew, by a device that knows nothing; then again, from what was kept. */
static int choose(const struct model *m, const char *text, int pictures)
{
    const struct size size = size_of(text);
    struct said said = {0};
    struct studio own, other;
    open_said(&said);
    open_studio(&own, m, size, said.log);
    open_studio(&other, m, size, said.log);
    const double plain = time_compile(&own, kz_cuda_compile_own, m, size, said.log);
    const double alone = time_film(&own, size, pictures);
    kz_backend_cuda.close_plan(&own.plan);
    const double first = time_compile(&other, kz_backend_cuda.compile, m, size, said.log);
    const int layers = find_lines(&said, "engine for ", text);
    const double again = time_compile(&other, kz_backend_cuda.compile, m, size, said.log);
    const double film = time_film(&other, size, pictures), near = nearness(&own, &other);
    const int lost = find_lines(&said, "a graph can't be", NULL);
    const int failed = find_lines(&said, "has failed", NULL);
    const bool ok = near >= LEAST_PSNR && !lost && !failed;
    printf("{\"kind\":\"choice\",\"model\":\"%s\",\"size\":\"%s\",\"layers\":%d,\"plain\":%.6g,"
           "\"first\":%.6g,\"again\":%.6g,\"alone\":%.6g,\"film\":%.6g,\"psnr\":%.2f,\"lost\":%d,"
           "\"failed\":%d,\"identity\":\"%s\",\"ok\":%s}\n",
           m->stem, text, layers, plain, first, again, alone, film, near, lost, failed,
           kz_backend_cuda.identity(other.device), ok ? "true" : "false");
    close_studio(&own);
    close_studio(&other);
    close_said(&said);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    int failed = 0;
    kz_log *log;
    if (argc < 4 || atoi(argv[2]) < UNDER_WAY)
        stop("called", "MODEL PICTURES SIZE…");
    if (kz_log_open(&log, stderr, KZ_LOG_INFO))
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct model m = read_model(argv[1], log);
    for (char **size = argv + 3; *size; size++)
        failed |= choose(&m, *size, atoi(argv[2]));
    kz_graph_close(&m.graph);
    kz_log_close(&log);
    return failed;
}
