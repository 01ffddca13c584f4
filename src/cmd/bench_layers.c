#include "cmd/bench_layers.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "job/describe.h"

static double share_of_peak(const kz_layer *layer, const kz_roofline *r)
{
    double possible = layer->seconds * r->peak / r->threads;
    return possible > 0 ? 100 * layer->executed / possible : 0;
}

/* GFLOP/s of all threads, as if they all did nothing else. */
static double rate(double macs, const kz_layer *layer, const kz_roofline *r)
{
    return layer->seconds > 0 ? 2e-9 * macs * r->threads / layer->seconds : 0;
}

static void print_line(const kz_layer *layer, int count, double total, const kz_roofline *r)
{
    printf("%-28s %4d %9.2f %6.1f%% %9.1f %9.1f", layer->kernel, count,
           1e3 * layer->seconds / r->threads, 100 * layer->seconds / total,
           rate(layer->macs, layer, r), rate(layer->executed, layer, r));
    if (r->peak > 0)
        printf(" %6.1f%%", share_of_peak(layer, r));
    printf("  %s\n", layer->name);
}

static void add(kz_layer *to, const kz_layer *layer)
{
    to->macs += layer->macs;
    to->executed += layer->executed;
    to->seconds += layer->seconds;
}

/* Layers of the same kernel and work are one line, named by the first. */
static bool alike(const kz_layer *a, const kz_layer *b)
{
    double least = a->macs < b->macs ? a->macs : b->macs;
    double most = a->macs + b->macs - least;
    return strcmp(a->kernel, b->kernel) == 0 && least >= 0.9 * most;
}

static void print_table(kz_layer *layers, int n, const kz_roofline *r)
{
    kz_layer all = {.kernel = "all", .name = ""};
    for (int i = 0; i < n; i++)
        add(&all, &layers[i]);
    printf("%-28s %4s %9s %7s %9s %9s %7s\n", "kernel", "n", "ms", "time", "GFLOP/s", "executed",
           r->peak > 0 ? "of peak" : "");
    for (int i = 0; i < n; i++) {
        kz_layer sum = layers[i];
        int count = 1;
        if (!sum.kernel)
            continue;
        for (int j = i + 1; j < n; j++)
            if (layers[j].kernel && alike(&layers[i], &layers[j])) {
                add(&sum, &layers[j]);
                layers[j].kernel = NULL;
                count++;
            }
        print_line(&sum, count, all.seconds, r);
    }
    print_line(&all, n, all.seconds, r);
    printf("peak %.1f GFLOP/s from registers, copy %.1f GB/s, %d thread%s\n", 2e-9 * r->peak,
           1e-9 * r->bandwidth, r->threads, r->threads == 1 ? "" : "s");
}

static int print_json(const kz_layer *layers, int n, const kz_roofline *r, kz_log *log)
{
    printf(",\"peak_gflops\":%.2f,\"copy_gbytes\":%.2f,\"layers\":[", 2e-9 * r->peak,
           1e-9 * r->bandwidth);
    for (int i = 0; i < n; i++) {
        char *name = kz_json_string(layers[i].name), *kernel = kz_json_string(layers[i].kernel);
        if (name && kernel)
            printf("%s{\"name\":%s,\"kernel\":%s,\"seconds\":%.6f,\"gflops\":%.2f,"
                   "\"executed_gflops\":%.2f,\"share_of_peak\":%.4f}",
                   i ? "," : "", name, kernel, layers[i].seconds / r->threads,
                   rate(layers[i].macs, &layers[i], r), rate(layers[i].executed, &layers[i], r),
                   share_of_peak(&layers[i], r) / 100);
        bool failed = !name || !kernel;
        kz_free(name);
        kz_free(kernel);
        if (failed)
            return kz_fail_memory(log, "the report");
    }
    printf("]");
    return 0;
}

int kz_bench_layers(const kz_upscaler *upscaler, const kz_roofline *roofline, bool json,
                    kz_log *log)
{
    int n = kz_upscaler_layers(upscaler, NULL, 0), error = 0;
    kz_layer *layers = kz_alloc((size_t)n, sizeof(*layers));
    if (!layers)
        return kz_fail_memory(log, "the report");
    kz_upscaler_layers(upscaler, layers, n);
    if (json)
        error = print_json(layers, n, roofline, log);
    else if (n)
        print_table(layers, n, roofline);
    else
        printf("this device has no times for its layers\n");
    kz_free(layers);
    return error;
}
