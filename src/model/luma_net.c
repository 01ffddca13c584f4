#include "model/luma_net.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/safetensors.h"

enum { SCALE = 2, MAX_CHANNELS = 256, MAX_LAYERS = 64 };

struct loader {
    kz_graph *graph;
    const kz_safetensors *file;
    const char *name;
    kz_log *log;
    int layers;
    bool skip;
    int hidden; /* the first layer's result */
};

static int refuse(const struct loader *l, const char *why)
{
    return kz_fail(l->log, KZ_ERROR_FAILED, "%s: %s", l->name, why);
}

/* ---- what the file says of itself ---- */

static bool says(const struct loader *l, const char *key, const char *value)
{
    const char *text = kz_safetensors_text(l->file, key);
    return text && strcmp(text, value) == 0;
}

/* Its weights, biases and slopes are all there is. */
static int count_layers(struct loader *l)
{
    const int count = kz_safetensors_count(l->file);
    l->layers = (count + 1) / 3;
    if (l->layers < 2 || l->layers > MAX_LAYERS || l->layers * 3 - 1 != count)
        return refuse(l,
                      "its tensors aren't three for each of 2 to 64 layers, and two of the last");
    return 0;
}

static int read_metadata(struct loader *l)
{
    if (!says(l, "architecture", "kizuna") || !says(l, "version", "1"))
        return refuse(l, "its metadata doesn't say architecture kizuna and version 1");
    if (!says(l, "scale", "2"))
        return refuse(l, "its metadata doesn't say scale 2");
    if (!says(l, "skip", "0") && !says(l, "skip", "1"))
        return refuse(l, "its metadata doesn't say skip 0 or 1");
    l->skip = says(l, "skip", "1");
    return count_layers(l);
}

/* ---- layers ---- */

static bool has_shape(const kz_tensor *t, int rank, const int *shape)
{
    return t && t->rank == rank && memcmp(t->shape, shape, (size_t)rank * sizeof(*shape)) == 0;
}

/* The numbers of `layers.INDEX.part`, which must have this shape. */
static int take(const struct loader *l, int index, const char *part, int rank, const int *shape,
                float **numbers)
{
    char name[40];
    snprintf(name, sizeof(name), "layers.%d.%s", index, part);
    const kz_tensor *t = kz_safetensors_find(l->file, name);
    if (!has_shape(t, rank, shape))
        return kz_fail(l->log, KZ_ERROR_FAILED, "%s: tensor %s: %s", l->name, name,
                       t ? "its shape doesn't fit its neighbours'" : "it is missing");
    *numbers = kz_tensor_numbers(t);
    return *numbers ? 0 : kz_fail_memory(l->log, l->name);
}

/* The output channels of a layer, which only its own weights tell. 0: they don't. */
static int channels_of(const struct loader *l, int index)
{
    char name[40];
    snprintf(name, sizeof(name), "layers.%d.weight", index);
    const kz_tensor *t = kz_safetensors_find(l->file, name);
    return t && t->rank == 4 && t->shape[0] <= MAX_CHANNELS ? t->shape[0] : 0;
}

static int add(const struct loader *l, kz_node node)
{
    const int index = kz_graph_add(l->graph, &node);
    return index < 0 ? kz_fail_memory(l->log, l->name) : index;
}

static int add_slopes(const struct loader *l, int index, int input, int channels)
{
    kz_node node = {.op = KZ_OP_ACTIVATION,
                    .act = KZ_ACT_PRELU,
                    .inputs = {input},
                    .n_inputs = 1,
                    .channels = channels};
    snprintf(node.name, sizeof(node.name), "layers.%d.slope", index);
    int error = take(l, index, "slope", 1, &channels, &node.slopes);
    return error ? error : add(l, node);
}

/* A convolution, and its activation where one follows; returns the value's index or an error. */
static int add_layer(const struct loader *l, int index, int input)
{
    const bool last = index == l->layers - 1;
    const int in = l->graph->nodes[input].channels;
    const int channels = last ? SCALE * SCALE : channels_of(l, index);
    kz_node node = {.op = KZ_OP_CONV,
                    .inputs = {input},
                    .n_inputs = 1,
                    .channels = channels,
                    .kernel = 3,
                    .pad_top = 1,
                    .pad_left = 1,
                    .pad_bottom = 1,
                    .pad_right = 1};
    snprintf(node.name, sizeof(node.name), "layers.%d", index);
    int error = take(l, index, "weight", 4, (int[]){channels, in, 3, 3}, &node.weights);
    if (!error)
        error = take(l, index, "bias", 1, &channels, &node.bias);
    if (error) {
        kz_free(node.weights);
        return error;
    }
    const int conv = add(l, node);
    return conv < 0 || last ? conv : add_slopes(l, index, conv, channels);
}

static int add_skip(const struct loader *l, int value)
{
    kz_node node = {.op = KZ_OP_ADD,
                    .name = "skip",
                    .inputs = {value, l->hidden},
                    .n_inputs = 2,
                    .coefs = {1, 1},
                    .channels = l->graph->nodes[value].channels};
    if (value == l->hidden)
        return refuse(l, "a network of one hidden layer can't skip to itself");
    return add(l, node);
}

/* Shuffled, and the input's nearest pixels added. */
static int add_end(const struct loader *l, int value)
{
    const int shuffle = add(l, (kz_node){.op = KZ_OP_PIXEL_SHUFFLE,
                                         .name = "shuffle",
                                         .inputs = {value},
                                         .n_inputs = 1,
                                         .factor = SCALE});
    const int nearest = shuffle < 0 ? shuffle
                                    : add(l, (kz_node){.op = KZ_OP_UPSAMPLE,
                                                       .name = "nearest",
                                                       .inputs = {0},
                                                       .n_inputs = 1,
                                                       .factor = SCALE});
    return nearest < 0 ? nearest
                       : add(l, (kz_node){.op = KZ_OP_ADD,
                                          .name = "sum",
                                          .inputs = {shuffle, nearest},
                                          .n_inputs = 2,
                                          .coefs = {1, 1}});
}

static int add_layers(struct loader *l)
{
    int value = add(l, (kz_node){.op = KZ_OP_INPUT, .name = "input", .channels = 1, .scale = 1});
    for (int i = 0; i < l->layers && value >= 0; i++) {
        value = add_layer(l, i, value);
        if (i == 0)
            l->hidden = value;
        if (value >= 0 && l->skip && i == l->layers - 2)
            value = add_skip(l, value);
    }
    if (value >= 0)
        value = add_end(l, value);
    l->graph->output = value;
    return value < 0 ? value : 0;
}

static int load(struct loader *l)
{
    int error = read_metadata(l);
    if (!error && kz_graph_open(&l->graph))
        error = kz_fail_memory(l->log, l->name);
    if (!error)
        error = add_layers(l);
    return error ? error : kz_graph_check(l->graph, l->name, l->log);
}

int kz_luma_net_parse(kz_graph **graph, kz_bytes bytes, const char *name, kz_log *log)
{
    kz_safetensors *file;
    *graph = NULL;
    int error = kz_safetensors_open(&file, bytes, name, log);
    if (error)
        return error;
    struct loader l = {.file = file, .name = name, .log = log};
    error = load(&l);
    kz_safetensors_close(&file);
    if (error)
        kz_graph_close(&l.graph);
    *graph = l.graph;
    return error;
}
