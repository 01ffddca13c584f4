/* The format, as far as these networks use it: every layer's weights follow one another in the .bin
 * in the order of the .param, little-endian. A convolution's weights begin with a word that tells
 * how they are stored; biases and PReLU slopes are plain fp32. */
#include "model/ncnn.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "model/ncnn_param.h"
#include "model/number.h"

#define FLAG_FP32 0u
#define FLAG_FP32_TAGGED 0x0002C056u
#define FLAG_FP16 0x01306B47u
#define PARAM_LIMIT ((size_t)4 << 20)
#define BIN_LIMIT ((size_t)1 << 30)

enum { MAX_CHANNELS = 4096, MAX_KERNEL = 7 };

struct loader {
    kz_graph *graph;
    const kz_ncnn_param *param;
    const char *param_name, *bin_name;
    kz_reader bin;
    kz_log *log;
    int *values; /* blob number to node; a layer reads blobs of earlier layers only */
};

static int refuse(const struct loader *l, const kz_ncnn_layer *layer, const char *why)
{
    return kz_fail(l->log, KZ_ERROR_FAILED, "%s: line %d: layer %s (%s): %s", l->param_name,
                   layer->line, layer->name, layer->type, why);
}

/* ---- weights ---- */

/* Reads `count` numbers of `size` bytes, the whole padded to four. */
static int take_numbers(struct loader *l, const kz_ncnn_layer *layer, size_t count, size_t size,
                        float **numbers)
{
    size_t bytes = (count * size + 3) & ~(size_t)3, left = l->bin.size - l->bin.position;
    const uint8_t *in = kz_reader_take(&l->bin, bytes);
    if (!in)
        return kz_fail(l->log, KZ_ERROR_FAILED,
                       "%s: layer %s needs %zu bytes, the file ends after %zu of them", l->bin_name,
                       layer->name, bytes, left);
    *numbers = kz_alloc_raw(count, sizeof(**numbers));
    if (!*numbers)
        return kz_fail_memory(l->log, l->bin_name);
    for (size_t i = 0; i < count; i++)
        (*numbers)[i] = size == 2 ? kz_number_f16(in + 2 * i) : kz_number_f32(in + 4 * i);
    return 0;
}

static int take_weights(struct loader *l, const kz_ncnn_layer *layer, size_t count, float **weights)
{
    uint32_t flag;
    if (kz_reader_u32(&l->bin, &flag))
        return kz_fail(l->log, KZ_ERROR_FAILED, "%s: the file ends before layer %s", l->bin_name,
                       layer->name);
    if (flag != FLAG_FP32 && flag != FLAG_FP32_TAGGED && flag != FLAG_FP16)
        return kz_fail(l->log, KZ_ERROR_FAILED,
                       "%s: layer %s: weights stored as 0x%08x aren't supported", l->bin_name,
                       layer->name, (unsigned)flag);
    return take_numbers(l, layer, count, flag == FLAG_FP16 ? 2 : 4, weights);
}

/* ---- layers ---- */

static int add_node(struct loader *l, const kz_ncnn_layer *layer, kz_node *node)
{
    memcpy(node->name, layer->name, sizeof(node->name));
    if (layer->n_out != 1) {
        kz_free(node->weights);
        kz_free(node->bias);
        kz_free(node->slopes);
        return refuse(l, layer, "it has more than one result");
    }
    int index = kz_graph_add(l->graph, node);
    if (index < 0)
        return kz_fail_memory(l->log, l->param_name);
    l->values[layer->out[0]] = index;
    return 0;
}

static bool take_inputs(const struct loader *l, const kz_ncnn_layer *layer, kz_node *node)
{
    if (layer->n_in > KZ_MAX_INPUTS)
        return false;
    node->n_inputs = layer->n_in;
    for (int i = 0; i < layer->n_in; i++)
        node->inputs[i] = l->values[layer->in[i]];
    return true;
}

static bool is_whole(double value, int least, int most)
{
    return value >= least && value <= most && value == floor(value);
}

/* 0 or absent is the default of a stride, a dilation and a group alike: one. */
static bool is_default(double value)
{
    return value == 0 || value == 1;
}

/* Stride, dilation, group and padding value are the usual ones, and both axes agree: what isn't
 * looked at here would silently give another picture. */
static bool is_plain_conv(const double *v)
{
    bool square = v[11] == 0 || v[11] == v[1];
    for (int side = 14; side <= 16; side++)
        square = square && (v[side] == 0 || v[side] == v[4]);
    return square && is_default(v[2]) && is_default(v[3]) && is_default(v[7]) &&
           is_default(v[12]) && is_default(v[13]) && v[8] == 0 && v[18] == 0 && v[19] == 0;
}

static int add_conv(struct loader *l, const kz_ncnn_layer *layer)
{
    const double *v = layer->value;
    kz_node node = {.op = KZ_OP_CONV};
    if (layer->n_in != 1 || !is_whole(v[0], 1, MAX_CHANNELS) || !is_whole(v[1], 1, MAX_KERNEL) ||
        !is_whole(v[4], 0, MAX_KERNEL) || !is_whole(v[6], 1, 1 << 27))
        return refuse(l, layer, "its sizes aren't usable");
    if (!is_plain_conv(v) || (v[9] != 0 && v[9] != 2) ||
        (v[9] == 2 && layer->array_length[10] != 1))
        return refuse(l, layer,
                      "its stride, dilation, groups, padding or activation aren't supported");
    take_inputs(l, layer, &node);
    node.channels = (int)v[0];
    node.kernel = (int)v[1];
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = (int)v[4];
    node.act = v[9] == 2 ? KZ_ACT_LEAKY : KZ_ACT_NONE;
    node.slope = v[9] == 2 ? (float)layer->array[10][0] : 0;
    double expected = v[0] * l->graph->nodes[node.inputs[0]].channels * v[1] * v[1];
    if (expected != v[6])
        return refuse(l, layer, "its number of weights doesn't fit its channels");
    int error = take_weights(l, layer, (size_t)v[6], &node.weights);
    if (!error && v[5] != 0)
        error = take_numbers(l, layer, (size_t)node.channels, 4, &node.bias);
    if (error) {
        kz_free(node.weights);
        return error;
    }
    return add_node(l, layer, &node);
}

static int add_prelu(struct loader *l, const kz_ncnn_layer *layer)
{
    kz_node node = {.op = KZ_OP_ACTIVATION, .act = KZ_ACT_PRELU};
    if (layer->n_in != 1)
        return refuse(l, layer, "it needs one input");
    take_inputs(l, layer, &node);
    node.channels = l->graph->nodes[node.inputs[0]].channels;
    if (layer->value[0] != node.channels)
        return refuse(l, layer, "its number of slopes isn't its number of channels");
    int error = take_numbers(l, layer, (size_t)node.channels, 4, &node.slopes);
    return error ? error : add_node(l, layer, &node);
}

static int add_relu(struct loader *l, const kz_ncnn_layer *layer)
{
    kz_node node = {.op = KZ_OP_ACTIVATION, .act = KZ_ACT_LEAKY, .slope = (float)layer->value[0]};
    if (layer->n_in != 1)
        return refuse(l, layer, "it needs one input");
    take_inputs(l, layer, &node);
    node.channels = l->graph->nodes[node.inputs[0]].channels;
    return add_node(l, layer, &node);
}

static int add_sum(struct loader *l, const kz_ncnn_layer *layer)
{
    bool eltwise = strcmp(layer->type, "Eltwise") == 0;
    kz_node node = {.op = KZ_OP_ADD};
    int given = layer->array_length[1];
    if (layer->n_in < 2 || !take_inputs(l, layer, &node) ||
        (eltwise && given && given != layer->n_in))
        return refuse(l, layer, "its inputs and coefficients don't fit");
    /* Eltwise 0=1 is a sum (0=0 a product), BinaryOp 0=0 one too, 1=1 with a number instead. */
    if (eltwise ? (layer->value[0] != 1) : (layer->value[0] != 0 || layer->value[1] != 0))
        return refuse(l, layer, "only sums are supported");
    for (int i = 0; i < layer->n_in; i++)
        node.coefs[i] = eltwise && given ? (float)layer->array[1][i] : 1;
    node.channels = l->graph->nodes[node.inputs[0]].channels;
    return add_node(l, layer, &node);
}

static int add_concat(struct loader *l, const kz_ncnn_layer *layer)
{
    kz_node node = {.op = KZ_OP_CONCAT};
    if (layer->n_in < 1 || layer->value[0] != 0 || !take_inputs(l, layer, &node))
        return refuse(l, layer, "only up to 8 inputs along the channels are supported");
    for (int i = 0; i < layer->n_in; i++)
        node.channels += l->graph->nodes[node.inputs[i]].channels;
    if (node.channels > MAX_CHANNELS)
        return refuse(l, layer, "it has too many channels");
    return add_node(l, layer, &node);
}

static int add_interp(struct loader *l, const kz_ncnn_layer *layer)
{
    const double *v = layer->value;
    kz_node node = {.op = KZ_OP_UPSAMPLE};
    if (layer->n_in != 1 || v[0] != 1 || v[1] != v[2] || !is_whole(v[1], 2, 16) || v[3] != 0 ||
        v[4] != 0)
        return refuse(l, layer, "only nearest-neighbour enlargement by 2 to 16 is supported");
    take_inputs(l, layer, &node);
    node.factor = (int)v[1];
    node.channels = l->graph->nodes[node.inputs[0]].channels;
    return add_node(l, layer, &node);
}

static int add_shuffle(struct loader *l, const kz_ncnn_layer *layer)
{
    kz_node node = {.op = KZ_OP_PIXEL_SHUFFLE};
    if (layer->n_in != 1 || !is_whole(layer->value[0], 2, 16) || layer->value[1] != 0)
        return refuse(l, layer, "its factor isn't usable");
    take_inputs(l, layer, &node);
    node.factor = (int)layer->value[0];
    int channels = l->graph->nodes[node.inputs[0]].channels;
    if (channels % (node.factor * node.factor))
        return refuse(l, layer, "its channels don't divide into phases");
    node.channels = channels / (node.factor * node.factor);
    return add_node(l, layer, &node);
}

static int add_split(struct loader *l, const kz_ncnn_layer *layer)
{
    if (layer->n_in != 1)
        return refuse(l, layer, "it needs one input");
    for (int i = 0; i < layer->n_out; i++)
        l->values[layer->out[i]] = l->values[layer->in[0]];
    return 0;
}

/* The file doesn't tell the input's channels: these networks read RGB, or luma alone, and the first
 * convolution's weights tell which. */
static int input_channels(const kz_ncnn_param *param)
{
    for (int i = 0; i < param->n_layers; i++) {
        const kz_ncnn_layer *c = &param->layers[i];
        if (strcmp(c->type, "Convolution") == 0 && c->value[0] >= 1 && c->value[1] >= 1) {
            double channels = c->value[6] / (c->value[0] * c->value[1] * c->value[1]);
            return is_whole(channels, 1, MAX_CHANNELS) ? (int)channels : 0;
        }
    }
    return 0;
}

static int add_input(struct loader *l, const kz_ncnn_layer *layer)
{
    kz_node node = {.op = KZ_OP_INPUT, .scale = 1, .channels = input_channels(l->param)};
    if (l->graph->n_nodes || layer->n_in || node.channels < 1)
        return refuse(l, layer, "one input of known channels must come first");
    return add_node(l, layer, &node);
}

static int add_layer(struct loader *l, const kz_ncnn_layer *layer)
{
    static const struct {
        const char *type;
        int (*add)(struct loader *l, const kz_ncnn_layer *layer);
    } types[] = {{"Convolution", add_conv}, {"PReLU", add_prelu},          {"ReLU", add_relu},
                 {"Eltwise", add_sum},      {"BinaryOp", add_sum},         {"Concat", add_concat},
                 {"Interp", add_interp},    {"PixelShuffle", add_shuffle}, {"Split", add_split}};
    if (strcmp(layer->type, "Input") == 0)
        return add_input(l, layer);
    if (!l->graph->n_nodes)
        return refuse(l, layer, "the first layer must be the input");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(layer->type, types[i].type) == 0)
            return types[i].add(l, layer);
    return refuse(l, layer, "layers of this type aren't supported");
}

/* ---- files ---- */

static int load(struct loader *l)
{
    int error = 0;
    for (int i = 0; i < l->param->n_layers && !error; i++)
        error = add_layer(l, &l->param->layers[i]);
    if (error)
        return error;
    size_t left = l->bin.size - l->bin.position;
    if (left)
        return kz_fail(l->log, KZ_ERROR_FAILED, "%s: %zu bytes are left over after the last layer",
                       l->bin_name, left);
    l->graph->output = l->values[l->param->output];
    error = kz_graph_check(l->graph, l->bin_name, l->log);
    if (!error && kz_graph_prune(l->graph))
        error = kz_fail_memory(l->log, l->bin_name);
    return error;
}

int kz_ncnn_parse(kz_graph **graph, kz_bytes text, const char *param_name, kz_bytes bin,
                  const char *bin_name, kz_log *log)
{
    kz_ncnn_param param;
    *graph = NULL;
    int error = kz_ncnn_param_parse(&param, text, param_name, log);
    if (error)
        return error;
    struct loader l = {.param = &param,
                       .param_name = param_name,
                       .bin_name = bin_name,
                       .bin = {bin.data, bin.size, 0},
                       .log = log,
                       .values = kz_alloc((size_t)param.n_blobs, sizeof(*l.values))};
    if (!l.values || kz_graph_open(&l.graph))
        error = kz_fail_memory(log, param_name);
    else
        error = load(&l);
    kz_free(l.values);
    kz_ncnn_param_free(&param);
    if (error)
        kz_graph_close(&l.graph);
    *graph = l.graph;
    return error;
}

int kz_ncnn_read(kz_graph **graph, const char *param_path, const char *bin_path, kz_log *log)
{
    kz_bytes text = {0}, bin = {0};
    *graph = NULL;
    int error = kz_file_read(&text, param_path, PARAM_LIMIT, log);
    if (!error)
        error = kz_file_read(&bin, bin_path, BIN_LIMIT, log);
    if (!error)
        error = kz_ncnn_parse(graph, text, param_path, bin, bin_path, log);
    kz_free(text.data);
    kz_free(bin.data);
    return error;
}
