/* A small network in one kernel beside the same layer by layer: the part small. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "cuda/net.h"
#include "gpu_check.h"
#include "model/rewrite.h"
#include "random_graph.h"

enum { HIDDEN = 5, WARM_UP = 2, MOST_ROUNDS = 1000 };

jmp_buf check_escape; /* where random_graph.c goes when memory is short */

kz_graph *small_graph(int channels)
{
    static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};
    if (setjmp(check_escape))
        stop("memory", "short");
    kz_graph *graph = random_luma_net(HIDDEN + 1, channels, true, 1);
    if (kz_rewrite_all(graph, bt709, NULL))
        stop("can't rewrite", "a random network");
    return graph;
}

/* One of the two ways: what it makes, how long it takes. */
struct way {
    float *out;
    double seconds;
    size_t memory;
    bool whole;
};

static void time_net(kz_net *net, kz_gpu *gpu, const kz_view *in, int rounds, struct way *way)
{
    double seconds[MOST_ROUNDS];
    for (int i = -WARM_UP; i < rounds; i++) {
        kz_gpu_mark(gpu, 0);
        kz_net_run(net, in, NULL);
        kz_gpu_mark(gpu, 1);
        if (kz_gpu_wait(gpu))
            stop("a run failed", kz_gpu_error(gpu));
        if (i >= 0)
            seconds[i] = kz_gpu_between(gpu);
    }
    way->seconds = median(seconds, rounds);
}

/* No shared memory to plan with: layer by layer. */
static struct way run_way(kz_gpu *gpu, const kz_graph *graph, const kz_view *in, int shared_bytes,
                          int rounds, kz_log *log)
{
    const kz_program_params params = {in->width, in->height, KZ_PRECISION_FP16, shared_bytes};
    const size_t row = (size_t)in->width * 2 * sizeof(float);
    struct way way = {.out = taken((size_t)in->height * 2, row)};
    kz_layer layers[2];
    kz_net *net;
    if (kz_net_open(&net, gpu, graph, &params, log))
        stop("can't be run", "a random network");
    time_net(net, gpu, in, rounds, &way);
    const kz_view out = kz_net_run(net, in, NULL);
    kz_gpu_copy_out(gpu, way.out, (ptrdiff_t)row, out.data, row, row, in->height * 2);
    way.memory = kz_net_memory(net);
    way.whole = kz_net_layers(net, in, layers, 2) == 1;
    kz_net_close(&net);
    return way;
}

static kz_view send_drawing(kz_gpu *gpu, struct size s)
{
    kz_plane drawn = draw(s, 4);
    kz_view in = {NULL, KZ_ELEMENT_FP32, 1, 1, s.width, s.height, 1};
    const size_t row = (size_t)s.width * sizeof(float);
    in.data = kz_gpu_alloc(gpu, row * (size_t)s.height);
    if (!in.data)
        stop("memory", "short");
    kz_gpu_copy_in(gpu, in.data, row, drawn.data, drawn.stride, row, s.height);
    if (kz_gpu_wait(gpu))
        stop("a copy failed", kz_gpu_error(gpu));
    kz_free(drawn.data);
    return in;
}

/* CHANNELS ROUNDS SIZE */
int part_small(char **arguments, kz_log *log)
{
    const int channels = atoi(arguments[0]), rounds = atoi(arguments[1]);
    const struct size s = size_of(arguments[2]);
    kz_device *device = open_device(&kz_backend_cuda, log);
    kz_gpu *gpu = device->gpu;
    kz_graph *graph = small_graph(channels);
    if (rounds < 1 || rounds > MOST_ROUNDS)
        stop("not a number of rounds", arguments[1]);
    kz_view in = send_drawing(gpu, s);
    struct way one = run_way(gpu, graph, &in, kz_gpu_get_info(gpu)->shared_bytes, rounds, log);
    struct way layers = run_way(gpu, graph, &in, 0, rounds, log);
    const size_t bytes = (size_t)s.width * (size_t)s.height * 4 * sizeof(float);
    const bool same = memcmp(one.out, layers.out, bytes) == 0;
    printf("{\"kind\":\"small\",\"channels\":%d,\"size\":\"%dx%d\",\"fits\":%s,\"ok\":%s,"
           "\"one\":%.6g,\"layers\":%.6g,\"memory\":%zu,\"layers_memory\":%zu}\n",
           channels, s.width, s.height, one.whole ? "true" : "false", same ? "true" : "false",
           one.seconds, layers.seconds, one.memory, layers.memory);
    kz_free(one.out);
    kz_free(layers.out);
    kz_gpu_free(gpu, in.data);
    kz_graph_close(&graph);
    kz_backend_cuda.close(&device);
    return same ? 0 : 1;
}
