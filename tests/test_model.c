/* The reader, on good and hostile files, and the rewrites, each against the definition. */
#include <math.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "check.h"
#include "graph_eval.h"
#include "model/luma_net.h"
#include "model/ncnn.h"
#include "model/registry.h"
#include "model/rewrite.h"
#include "model/safetensors.h"
#include "random_graph.h"

static const kz_luma_weights bt709 = {0.2126f, 0.7152f, 0.0722f};

/* ---- rewrites ---- */

enum { WIDTH = 7, HEIGHT = 5 };

static float *evaluate(const kz_graph *graph, const float *in)
{
    const kz_node *output = &graph->nodes[graph->output];
    size_t pixels = (size_t)(WIDTH * output->scale) * (size_t)(HEIGHT * output->scale);
    float *out = kz_alloc(pixels * (size_t)output->channels, sizeof(*out));
    CHECK(out && graph_eval(graph, in, graph->nodes[0].channels, HEIGHT, WIDTH, out) == 0);
    return out;
}

static void fill(float *in, int count, unsigned seed)
{
    for (int i = 0; i < count; i++)
        in[i] = random_unit(&seed);
}

static void check_equal(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK_NEAR(a[i], b[i], 1e-5 * (1 + fabs((double)b[i])));
}

static void check_rewrite(kz_graph *graph, int (*rewrite)(kz_graph *))
{
    float in[3 * WIDTH * HEIGHT];
    int scale = graph->nodes[graph->output].scale;
    int channels = graph->nodes[graph->output].channels;
    fill(in, 3 * WIDTH * HEIGHT, 3);
    float *before = evaluate(graph, in);
    CHECK(rewrite(graph) == 0);
    CHECK(kz_graph_check(graph, "rewritten", NULL) == 0);
    float *after = evaluate(graph, in);
    check_equal(after, before, (size_t)(WIDTH * HEIGHT * scale * scale * channels));
    kz_free(before);
    kz_free(after);
}

static int rewrite_all(kz_graph *graph)
{
    return kz_rewrite_all(graph, bt709, NULL);
}

static int count(const kz_graph *graph, enum kz_op op)
{
    int found = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        found += graph->nodes[i].op == op;
    return found;
}

static void activations_fuse(void)
{
    kz_graph *graph = random_srvgg(3, 8, 2, 1);
    CHECK(count(graph, KZ_OP_ACTIVATION) == 3);
    check_rewrite(graph, kz_rewrite_fuse_activation);
    CHECK(count(graph, KZ_OP_ACTIVATION) == 0);
    kz_graph_close(&graph);
}

static void additions_fuse(void)
{
    kz_graph *graph = random_rrdb(2, 8, 4, 2);
    CHECK(count(graph, KZ_OP_ADD) == 9);
    check_rewrite(graph, kz_rewrite_fuse_add);
    CHECK(count(graph, KZ_OP_ADD) == 0);
    kz_graph_close(&graph);
}

static void phases_replace_upsampling(void)
{
    kz_graph *graph = random_rrdb(1, 8, 4, 3);
    double before = kz_graph_macs(graph);
    check_rewrite(graph, kz_rewrite_phase);
    CHECK(count(graph, KZ_OP_UPSAMPLE) == 0 && count(graph, KZ_OP_PHASE_CONV) == 2);
    CHECK(kz_graph_macs(graph) < before);
    kz_graph_close(&graph);
}

/* The luma of N(Y, Y, Y), against the folded network's output for Y. */
static void check_luma(kz_graph *graph)
{
    float rgb[3 * WIDTH * HEIGHT];
    int scale = graph->nodes[graph->output].scale;
    size_t pixels = (size_t)(WIDTH * HEIGHT * scale * scale);
    fill(rgb, WIDTH * HEIGHT, 5);
    memcpy(rgb + WIDTH * HEIGHT, rgb, WIDTH * HEIGHT * sizeof(*rgb));
    memcpy(rgb + 2 * WIDTH * HEIGHT, rgb, WIDTH * HEIGHT * sizeof(*rgb));
    float *before = evaluate(graph, rgb);
    for (size_t i = 0; i < pixels; i++)
        before[i] =
            bt709.r * before[i] + bt709.g * before[pixels + i] + bt709.b * before[2 * pixels + i];
    CHECK(kz_rewrite_luma(graph, bt709, NULL) == 0);
    CHECK(kz_graph_check(graph, "folded", NULL) == 0);
    CHECK(graph->nodes[0].channels == 1 && graph->nodes[graph->output].channels == 1);
    float *after = evaluate(graph, rgb);
    check_equal(after, before, pixels);
    CHECK(kz_rewrite_all(graph, bt709, NULL) == 0);
    float *all = evaluate(graph, rgb);
    check_equal(all, before, pixels);
    kz_free(before);
    kz_free(after);
    kz_free(all);
    kz_graph_close(&graph);
}

static void luma_folds(void)
{
    check_luma(random_rrdb(2, 8, 4, 6));
    check_luma(random_srvgg(2, 8, 4, 7));
    check_luma(random_srvgg(1, 6, 2, 8));
}

static int put(kz_graph *graph, kz_node node)
{
    snprintf(node.name, sizeof(node.name), "n%d", graph->n_nodes);
    int index = kz_graph_add(graph, &node);
    CHECK(index >= 0);
    return index;
}

static int put_conv(kz_graph *graph, int input, int in, int out)
{
    unsigned seed = (unsigned)graph->n_nodes;
    kz_node node = {.op = KZ_OP_CONV, .inputs = {input}, .n_inputs = 1, .channels = out};
    node.kernel = 3;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = 1;
    node.weights = kz_alloc((size_t)(in * out) * 9, sizeof(float));
    CHECK(node.weights);
    for (int i = 0; i < in * out * 9; i++)
        node.weights[i] = random_unit(&seed) / 3;
    return put(graph, node);
}

/* The network's input, and the same enlarged: what a convolution reads needn't be the input. */
static kz_graph *open_enlarged(int *up)
{
    kz_graph *graph;
    CHECK(kz_graph_open(&graph) == 0);
    put(graph, (kz_node){.op = KZ_OP_INPUT, .channels = 3, .scale = 1});
    *up = put(graph, (kz_node){.op = KZ_OP_UPSAMPLE, .inputs = {0}, .n_inputs = 1, .factor = 2});
    return graph;
}

static void what_only_enlarges_the_input_folds(void)
{
    int up;
    kz_graph *graph = open_enlarged(&up);
    int twice =
        put(graph,
            (kz_node){.op = KZ_OP_ADD, .inputs = {up, up}, .coefs = {0.75f, -0.5f}, .n_inputs = 2});
    int body = put_conv(graph, put_conv(graph, up, 3, 4), 4, 4);
    int other = put_conv(graph, twice, 3, 4);
    int sum =
        put(graph,
            (kz_node){.op = KZ_OP_ADD, .inputs = {body, other}, .coefs = {0.5f, 1}, .n_inputs = 2});
    int last = put_conv(graph, sum, 4, 3);
    graph->output = put(graph, (kz_node){.op = KZ_OP_ADD,
                                         .inputs = {last, up, twice},
                                         .coefs = {1, 1, 0.25f},
                                         .n_inputs = 3});
    CHECK(kz_graph_check(graph, "enlarged", NULL) == 0);
    check_luma(graph);
}

/* Its weights would need the three channels one by one. */
static void a_joined_or_added_input_doesnt_fold(void)
{
    int up;
    kz_graph *graph = open_enlarged(&up);
    int joined = put(
        graph,
        (kz_node){.op = KZ_OP_CONCAT, .inputs = {put_conv(graph, up, 3, 4), up}, .n_inputs = 2});
    graph->output = put_conv(graph, joined, 7, 3);
    CHECK(kz_graph_check(graph, "joined", NULL) == 0);
    CHECK(kz_rewrite_luma(graph, bt709, NULL) == KZ_ERROR_FAILED);
    kz_graph_close(&graph);

    graph = open_enlarged(&up);
    int added = put(graph, (kz_node){.op = KZ_OP_ADD,
                                     .inputs = {put_conv(graph, up, 3, 3), up},
                                     .coefs = {1, 1},
                                     .n_inputs = 2});
    graph->output = put_conv(graph, added, 3, 3);
    CHECK(kz_graph_check(graph, "added", NULL) == 0);
    CHECK(kz_rewrite_luma(graph, bt709, NULL) == KZ_ERROR_FAILED);
    kz_graph_close(&graph);
}

static void what_isnt_linear_doesnt_fold(void)
{
    kz_graph *graph = random_srvgg(2, 8, 2, 9);
    graph->output = 2; /* a PReLU */
    CHECK(kz_rewrite_luma(graph, bt709, NULL) == KZ_ERROR_FAILED);
    kz_graph_close(&graph);
}

static void a_copy_is_its_own(void)
{
    kz_graph *graph = random_srvgg(2, 8, 2, 10), *copy;
    float in[3 * WIDTH * HEIGHT];
    fill(in, 3 * WIDTH * HEIGHT, 3);
    float *before = evaluate(graph, in);
    CHECK(kz_graph_copy(&copy, graph) == 0);
    kz_graph_close(&graph);
    float *after = evaluate(copy, in);
    CHECK(memcmp(before, after, WIDTH * HEIGHT * 4 * 3 * sizeof(*in)) == 0);
    kz_graph_close(&copy);
    kz_free(before);
    kz_free(after);
}

/* ---- files ---- */

static const char good_param[] = "7767517\n"
                                 "5 6\n"
                                 "Input in 0 1 data\n"
                                 "Split split 1 2 data d0 d1\n"
                                 "Convolution conv 1 1 d0 a 0=3 1=3 4=1 5=1 6=81 9=2 -23310=1,0.2\n"
                                 "PReLU act 1 1 a b 0=3\n"
                                 "Eltwise sum 2 1 b d1 output 0=1 -23301=2,0.5,1.0\n";

enum { GOOD_BIN = 4 + 164 + 12 + 12 }; /* flag, 81 halves padded, biases, slopes */

static void make_bin(uint8_t *bin)
{
    memset(bin, 0, GOOD_BIN);
    bin[0] = 0x47, bin[1] = 0x6b, bin[2] = 0x30, bin[3] = 0x01;
    for (int i = 0; i < 81; i++)
        bin[4 + 2 * i + 1] = 0x3c; /* 1.0, but for one subnormal and one negative */
    bin[4] = 1, bin[5] = 0, bin[7] = 0xbc;
}

/* Every failure is one line that names the file. */
static int parse(const char *param, const uint8_t *bin, size_t size, kz_graph **graph)
{
    char *lines = NULL;
    size_t length;
    kz_log *log;
    FILE *stream = open_memstream(&lines, &length);
    CHECK(stream && kz_log_open(&log, stream, KZ_LOG_VERBOSE) == 0);
    kz_bytes text = {(uint8_t *)(uintptr_t)param, strlen(param)};
    kz_bytes bytes = {(uint8_t *)(uintptr_t)bin, size};
    int error = kz_ncnn_parse(graph, text, "x.param", bytes, "x.bin", log);
    kz_log_close(&log);
    fclose(stream);
    bool named = strstr(lines, "x.param: ") || strstr(lines, "x.bin: ");
    bool one = strcspn(lines, "\n") + 1 == length;
    free(lines);
    CHECK(error ? named && one : !length);
    return error;
}

static void a_good_file_is_read(void)
{
    uint8_t bin[GOOD_BIN];
    kz_graph *graph;
    make_bin(bin);
    CHECK(parse(good_param, bin, sizeof(bin), &graph) == 0);
    CHECK(graph->n_nodes == 4 && graph->nodes[0].channels == 3);
    const kz_node *conv = &graph->nodes[1];
    CHECK(conv->act == KZ_ACT_LEAKY && conv->slope == 0.2f && conv->bias);
    CHECK(conv->weights[0] == ldexpf(1, -24) && conv->weights[1] == -1 && conv->weights[2] == 1);
    CHECK(graph->nodes[3].coefs[0] == 0.5f && graph->nodes[3].inputs[1] == 0);
    kz_graph_close(&graph);
}

static void a_cut_or_longer_bin_is_refused(void)
{
    uint8_t bin[GOOD_BIN + 8];
    kz_graph *graph;
    make_bin(bin);
    for (size_t size = 0; size < sizeof(bin); size++)
        if (size != GOOD_BIN) {
            CHECK(parse(good_param, bin, size, &graph) == KZ_ERROR_FAILED);
            CHECK(!graph);
        }
}

static void weights_that_arent_numbers_are_refused(void)
{
    uint8_t bin[GOOD_BIN];
    kz_graph *graph;
    make_bin(bin);
    bin[4 + 51] = 0x7c; /* infinity */
    CHECK(parse(good_param, bin, sizeof(bin), &graph) == KZ_ERROR_FAILED);
    make_bin(bin);
    memset(bin + GOOD_BIN - 4, 0xff, 4); /* a slope that is no number */
    CHECK(parse(good_param, bin, sizeof(bin), &graph) == KZ_ERROR_FAILED);
    make_bin(bin);
    bin[3] = 7; /* an unknown way to store */
    CHECK(parse(good_param, bin, sizeof(bin), &graph) == KZ_ERROR_FAILED);
}

static void hostile_text_is_refused(void)
{
    static const struct {
        const char *from, *to;
    } edits[] = {{"7767517", "7767518"},
                 {"5 6", "5 99999999"},
                 {"5 6", "6 6"},
                 {"5 6", "4 6"},
                 {"5 6", "-1 6"},
                 {"5 6", "5 2"},
                 {"Convolution", "Deconv"},
                 {"0=3 1=3", "0=9999"},
                 {"0=3 1=3", "0=3 1=0"},
                 {"0=3 1=3", "0=nan 1=3"},
                 {"6=81", "6=82"},
                 {"6=81", "6=8e300"},
                 {"4=1", "4=0"},
                 {"4=1", "4=1 3=2"},
                 {"4=1", "4=1 13=2"},
                 {"4=1", "4=1 12=2"},
                 {"4=1", "4=1 14=2"},
                 {"4=1", "4=1 18=0.5"},
                 {"4=1", "4=1 8=1"},
                 {"-23310=1", "-23310=9"},
                 {"-23310=1,0.2", "-23310"},
                 {"a 0=3", "zz 0=3"},
                 {"b d1 output", "b d9 output"},
                 {"a b", "a a"},
                 {"Input in 0 1", "Input in 1 1"},
                 {"0=1 -23301=2", "0=0 -23301=2"},
                 {"1 2 data", "1 99 data"}};
    uint8_t bin[GOOD_BIN];
    kz_graph *graph;
    make_bin(bin);
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        char text[1000];
        const char *at = strstr(good_param, edits[i].from);
        CHECK(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good_param), good_param, edits[i].to,
                 at + strlen(edits[i].from));
        if (parse(text, bin, sizeof(bin), &graph) != KZ_ERROR_FAILED)
            check_failed("'%s' instead of '%s' was taken", edits[i].to, edits[i].from);
    }
}

static void a_cut_text_is_refused(void)
{
    uint8_t bin[GOOD_BIN];
    char text[sizeof(good_param)];
    kz_graph *graph;
    make_bin(bin);
    size_t last_line = (size_t)(strstr(good_param, "Eltwise") - good_param);
    for (size_t length = 0; length <= last_line; length++) {
        memcpy(text, good_param, length);
        text[length] = 0;
        CHECK(parse(text, bin, sizeof(bin), &graph) == KZ_ERROR_FAILED);
    }
}

/* ---- our own networks' files ---- */

static const char net_header[] =
    "{\"__metadata__\":{\"architecture\":\"kizuna\",\"version\":\"1\",\"scale\":\"2\",\"skip\":"
    "\"1\"},"
    "\"layers.0.weight\":{\"dtype\":\"F16\",\"shape\":[3,1,3,3],\"data_offsets\":[0,54]},"
    "\"layers.0.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[54,66]},"
    "\"layers.0.slope\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[66,78]},"
    "\"layers.2.weight\":{\"dtype\":\"F32\",\"shape\":[4,3,3,3],\"data_offsets\":[264,696]},"
    "\"layers.2.bias\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[696,712]},"
    "\"layers.1.weight\":{\"dtype\":\"F16\",\"shape\":[3,3,3,3],\"data_offsets\":[78,240]},"
    "\"layers.1.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[240,252]},"
    "\"layers.1.slope\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[252,264]}}  ";

enum { NET_DATA = 712, NET_ROOM = 8 + 1200 + NET_DATA };

/* The whole file, in NET_ROOM bytes; all its numbers are small and finite. */
static size_t make_net(uint8_t *file, const char *header)
{
    const size_t length = strlen(header);
    CHECK(8 + length + NET_DATA <= NET_ROOM);
    memset(file, 0, 8);
    file[0] = (uint8_t)length;
    file[1] = (uint8_t)(length >> 8);
    memcpy(file + 8, header, length);
    memset(file + 8 + length, 0x3c, NET_DATA);
    return 8 + length + NET_DATA;
}

/* Every failure is one line that names the file. */
static int parse_net(const uint8_t *file, size_t size, kz_graph **graph)
{
    char *lines = NULL;
    size_t length;
    kz_log *log;
    FILE *stream = open_memstream(&lines, &length);
    CHECK(stream && kz_log_open(&log, stream, KZ_LOG_VERBOSE) == 0);
    uint8_t *exact = kz_alloc(size ? size : 1, 1); /* a sanitizer sees a byte too many */
    CHECK(exact);
    memcpy(exact, file, size);
    int error = kz_luma_net_parse(graph, (kz_bytes){exact, size}, "x.safetensors", log);
    kz_free(exact);
    kz_log_close(&log);
    fclose(stream);
    bool named = strstr(lines, "x.safetensors: "), one = strcspn(lines, "\n") + 1 == length;
    free(lines);
    CHECK(error ? named && one && !*graph : !length);
    return error;
}

static void a_network_of_our_own_is_read(void)
{
    uint8_t file[NET_ROOM];
    kz_graph *graph;
    size_t size = make_net(file, net_header), data = size - NET_DATA;
    memcpy(file + data + 54, (uint8_t[]){0, 0, 0x80, 0xbf}, 4);  /* the first bias: -1 */
    memcpy(file + data + 240, (uint8_t[]){0, 0, 0x00, 0xc0}, 4); /* of the second layer: -2 */
    CHECK(parse_net(file, size, &graph) == 0);
    CHECK(graph->n_nodes == 10 && graph->nodes[0].channels == 1 && graph->output == 9);
    CHECK(graph->nodes[9].scale == 2 && graph->nodes[9].channels == 1);
    CHECK(graph->nodes[1].bias[0] == -1 && graph->nodes[3].bias[0] == -2);
    CHECK(graph->nodes[1].weights[0] == 0x1.0fp0f && graph->nodes[6].weights[0] < 0.02f);
    const kz_node *skip = &graph->nodes[5];
    CHECK(skip->op == KZ_OP_ADD && skip->inputs[0] == 4 && skip->inputs[1] == 2);
    CHECK(graph->nodes[8].op == KZ_OP_UPSAMPLE && graph->nodes[8].inputs[0] == 0);
    CHECK(kz_graph_reach(graph) == 3);
    kz_graph_close(&graph);
}

static void a_cut_or_longer_network_is_refused(void)
{
    uint8_t file[NET_ROOM + 8] = {0};
    kz_graph *graph;
    size_t good = make_net(file, net_header);
    for (size_t size = 0; size < good + 8; size++)
        if (size != good)
            CHECK(parse_net(file, size, &graph) == KZ_ERROR_FAILED);
    for (int byte = 0; byte < 8; byte++) { /* of the header's length */
        make_net(file, net_header);
        file[byte] ^= 0x40;
        CHECK(parse_net(file, good, &graph) == KZ_ERROR_FAILED);
    }
    make_net(file, net_header);
    memset(file + good - 4, 0xff, 4); /* a bias that is no number */
    CHECK(parse_net(file, good, &graph) == KZ_ERROR_FAILED);
}

static void a_hostile_network_is_refused(void)
{
    static const struct {
        const char *from, *to;
    } edits[] = {{"{", "["},
                 {"}}  ", "}}x "},
                 {"\"kizuna\"", "\"kizun\""},
                 {"\"version\":\"1\"", "\"version\":1"},
                 {"\"scale\":\"2\"", "\"scale\":\"4\""},
                 {"\"skip\":\"1\"", "\"skip\":\"2\""},
                 {"__metadata__", "metadata"},
                 {"F16", "BF16"},
                 {"\"dtype\":\"F16\"", "\"dtype\":16"},
                 {"[3,1,3,3]", "[1,3,3,3]"},
                 {"[3,1,3,3]", "[27]"},
                 {"[3,1,3,3]", "[3,1,3,3,1]"},
                 {"[3,1,3,3]", "[3,1.5,3,2]"},
                 {"[3,1,3,3]", "[-3,-1,3,3]"},
                 {"[3,1,3,3]", "[0,1,3,3]"},
                 {"[3,1,3,3]", "[1048576,1048576,1048576,1048576]"},
                 {"[3,1,3,3]", "[1e300,1,3,3]"},
                 {"[3,1,3,3]", "\"3\""},
                 {"[3,3,3,3]", "[3,3,9,1]"},
                 {"[4,3,3,3]", "[3,4,3,3]"},
                 {"[0,54]", "[0,55]"},
                 {"[0,54]", "[0,53]"},
                 {"[0,54]", "[54,0]"},
                 {"[0,54]", "[-54,0]"},
                 {"[0,54]", "[0,54,1]"},
                 {"[0,54]", "[0]"},
                 {"[0,54]", "[0,1e300]"},
                 {"[54,66]", "[66,78]"}, /* overlap, and a gap */
                 {"[696,712]", "[680,696]"},
                 {"layers.0.bias", "layers.0.slope"}, /* twice */
                 {"layers.0.bias", "layers.0.other"},
                 {"layers.1.slope", "layers.2.slope"},
                 {"layers.2.weight", "__metadata__"}};
    uint8_t file[NET_ROOM];
    kz_graph *graph;
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        char text[1300];
        const char *at = strstr(net_header, edits[i].from);
        CHECK(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - net_header), net_header, edits[i].to,
                 at + strlen(edits[i].from));
        if (parse_net(file, make_net(file, text), &graph) != KZ_ERROR_FAILED)
            check_failed("'%s' instead of '%s' was taken", edits[i].to, edits[i].from);
    }
}

static void a_name_stands_for_one_tensor(void)
{
    static const char once[] =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[89],\"data_offsets\":[0,356]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[89],\"data_offsets\":[356,712]}}";
    uint8_t file[NET_ROOM];
    char twice[sizeof(once)];
    kz_safetensors *tensors;
    size_t size = make_net(file, once);
    CHECK(kz_safetensors_open(&tensors, (kz_bytes){file, size}, "x", NULL) == 0);
    CHECK(kz_safetensors_count(tensors) == 2 && kz_safetensors_find(tensors, "b")->begin == 356);
    kz_safetensors_close(&tensors);
    memcpy(twice, once, sizeof(once));
    *strchr(twice, 'b') = 'a';
    make_net(file, twice);
    CHECK(kz_safetensors_open(&tensors, (kz_bytes){file, size}, "x", NULL) == KZ_ERROR_FAILED);
    CHECK(!tensors);
}

/* ---- a network applied to its own result ---- */

static void twice_is_one_after_the_other(void)
{
    kz_graph *once = random_luma_net(2, 6, true, 11), *twice;
    float in[WIDTH * HEIGHT], between[4 * WIDTH * HEIGHT], expected[16 * WIDTH * HEIGHT];
    fill(in, WIDTH * HEIGHT, 4);
    CHECK(graph_eval(once, in, 1, HEIGHT, WIDTH, between) == 0);
    CHECK(graph_eval(once, between, 1, 2 * HEIGHT, 2 * WIDTH, expected) == 0);
    CHECK(kz_graph_twice(&twice, once, "random", NULL) == 0);
    CHECK(twice->nodes[twice->output].scale == 4);
    CHECK(kz_graph_reach(once) == 3 && kz_graph_reach(twice) == 5);
    CHECK_NEAR(kz_graph_macs(twice), 5 * kz_graph_macs(once), 0.5);
    kz_graph_close(&once);
    float *got = evaluate(twice, in);
    check_equal(got, expected, sizeof(expected) / sizeof(*expected));
    kz_free(got);
    check_rewrite(twice, rewrite_all);
    CHECK(count(twice, KZ_OP_ACTIVATION) == 0 && count(twice, KZ_OP_ADD) == 2);
    kz_graph_close(&twice);
}

/* ---- the real networks ---- */

static kz_model *open_real(const char *name)
{
    char *dir = getenv("KIZUNA_DATA_DIR");
    kz_model *model = NULL;
    if (!dir)
        printf("# KIZUNA_DATA_DIR isn't set: %s is left out\n", name);
    else
        CHECK(kz_model_open(&model, name, &dir, 1, NULL) == 0);
    return model;
}

static void check_macs(const char *name, double nominal, double executed)
{
    kz_model *model = open_real(name);
    if (!model)
        return;
    CHECK_NEAR(kz_graph_macs(model->graph), nominal, 0.5);
    CHECK(kz_rewrite_all(model->graph, bt709, NULL) == 0);
    CHECK_NEAR(kz_graph_macs(model->graph), executed, 0.5);
    CHECK(count(model->graph, KZ_OP_ADD) <= 1 && count(model->graph, KZ_OP_ACTIVATION) == 0);
    kz_model_close(&model);
}

/* 718,848 more for each further block; folding takes 2 × 576 from the first convolution and 2 ×
 * 9,216 from the last, phases 5/9 of both enlargements. */
static void real_networks_cost_what_they_should(void)
{
    check_macs("anime-6b", 5706432 - 0.0,
               5706432 - 1152 - 18432 - 147456 * 5 / 9.0 - 589824 * 5 / 9.0);
    check_macs("x4plus", 5706432 + 17 * 718848.0,
               5706432 + 17 * 718848.0 - 1152 - 18432 - 147456 * 5 / 9.0 - 589824 * 5 / 9.0);
    check_macs("animevideov3", 619200, 619200 - 1152 - 18432);
}

static void unknown_models_are_refused(void)
{
    char *dir = "/nowhere";
    kz_model *model;
    CHECK(kz_model_open(&model, "nope", &dir, 1, NULL) == KZ_ERROR_USAGE);
    CHECK(kz_model_open(&model, "/nowhere/x.txt", &dir, 1, NULL) == KZ_ERROR_USAGE);
    CHECK(kz_model_open(&model, "/nowhere/x.param", &dir, 1, NULL) == KZ_ERROR_FAILED);
    CHECK(!model);
}

static void write_file(const char *dir, const char *name, const void *data, size_t size)
{
    char *path = kz_asprintf("%s/%s", dir, name);
    FILE *stream = path ? fopen(path, "w") : NULL;
    CHECK(stream && fwrite(data, 1, size, stream) == size && fclose(stream) == 0);
    kz_free(path);
}

static void write_manifest(const char *dir, const char *name, const char *file)
{
    char *path = kz_asprintf("%s/models/%s.json", dir, name);
    FILE *stream = path ? fopen(path, "w") : NULL;
    CHECK(stream);
    fprintf(stream,
            "{\"name\": \"%s\", \"architecture\": \"a\", \"title\": \"t\", \"scale\": 4, "
            "\"halo\": 8, \"near\": 2, \"near_halo\": 8, \"bf16\": 60, \"licence\": \"MIT\", "
            "\"source\": \"s\", "
            "\"param\": {\"file\": \"%s\", \"sha256\": \"00\"}, "
            "\"bin\": {\"file\": \"b.bin\", \"sha256\": \"00\"}}",
            name, file);
    fclose(stream);
    kz_free(path);
}

/* The files, and the folders they were in, which are empty then. */
static void remove_all(const char *dir, const char *const *files, int count)
{
    for (int i = 0; i < count; i++) {
        char *path = kz_asprintf("%s/%s", dir, files[i]);
        CHECK(path && remove(path) == 0);
        kz_free(path);
    }
    CHECK(remove(dir) == 0);
}

/* ---- the program's own ---- */

enum { OWN_MODELS = 4 };

static const char *const own_models[OWN_MODELS] = {"kizuna-m", "kizuna-m-clean", "kizuna-s",
                                                   "kizuna-s-clean"};

static void the_programs_own_networks_open(void)
{
    kz_model_info *infos;
    int count;
    CHECK(kz_registry_list(&infos, &count, NULL, 0, NULL) == 0 && count == OWN_MODELS);
    for (int i = 0; i < OWN_MODELS; i++) {
        kz_model *m;
        CHECK(strcmp(infos[i].name, own_models[i]) == 0);
        CHECK(infos[i].embedded && infos[i].installed && infos[i].scale == 2);
        CHECK(kz_model_open(&m, own_models[i], NULL, 0, NULL) == 0);
        CHECK(strcmp(m->digest, m->info.weights_sha256) == 0);
        CHECK(m->info.halo == kz_graph_reach(m->graph) && m->info.near_halo == m->info.halo);
        kz_model_close(&m);
    }
    kz_registry_free(&infos, count);
}

static void a_network_runs_as_often_as_it_must(void)
{
    kz_model *m;
    CHECK(kz_model_open(&m, "kizuna-s", NULL, 0, NULL) == 0 && kz_model_most_scale(m) == 4);
    kz_model_use once = kz_model_use_for(m, 100, 50, 200, 100);
    CHECK(once.graph == m->graph && once.scale == 2 && once.halo == m->info.halo);
    CHECK(kz_model_use_for(m, 100, 50, 150, 75).graph == m->graph);
    kz_model_use twice = kz_model_use_for(m, 100, 50, 200, 101);
    CHECK(twice.graph == m->twice && twice.scale == 4 && twice.halo == kz_graph_reach(m->twice));
    CHECK(kz_model_use_for(m, 100, 50, 202, 100).graph == m->twice);
    CHECK(kz_model_use_for(m, 100, 50, 800, 400).graph == m->twice);
    m->info.scale = 4;
    kz_graph_close(&m->twice); /* as one that isn't our own */
    CHECK(kz_model_use_for(m, 100, 50, 800, 400).graph == m->graph && kz_model_most_scale(m) == 4);
    kz_model_close(&m);
}

/* Its manifest says another sha256 than its file has: that it is refused tells where it was found.
 */
static void a_data_directory_wins(void)
{
    static const char manifest[] =
        "{\"name\": \"kizuna-s\", \"architecture\": \"kizuna\", \"title\": \"t\", \"scale\": 2, "
        "\"near\": 2, \"bf16\": 60, \"licence\": \"MIT\", \"source\": \"s\", "
        "\"weights\": {\"file\": \"x.safetensors\", \"sha256\": \"00\"}}";
    static const char *const files[] = {"models/kizuna-s.json", "models/x.safetensors", "models"};
    char dir[] = "/tmp/kz-model-XXXXXX", *dirs = dir;
    uint8_t file[NET_ROOM];
    kz_model *m;
    CHECK(mkdtemp(dir));
    char *models = kz_asprintf("%s/models", dir), *path = kz_asprintf("%s/x.safetensors", models);
    CHECK(models && path && mkdir(models, 0700) == 0);
    write_file(dir, files[0], manifest, strlen(manifest));
    CHECK(kz_model_open(&m, "kizuna-s", &dirs, 1, NULL) == KZ_ERROR_FAILED); /* no weights */
    write_file(dir, files[1], file, make_net(file, net_header));
    CHECK(kz_model_open(&m, "kizuna-s", &dirs, 1, NULL) == KZ_ERROR_FAILED);
    CHECK(kz_model_open(&m, "kizuna-m", &dirs, 1, NULL) == 0 && m->info.embedded);
    kz_model_close(&m);
    CHECK(kz_model_open(&m, path, NULL, 0, NULL) == 0); /* by its name it needs no manifest */
    CHECK(m->info.halo == 3 && m->info.scale == 2 && m->twice && !m->info.embedded);
    kz_model_close(&m);
    remove_all(dir, files, 3);
    kz_free(models);
    kz_free(path);
}

/* One convolution sees a pixel around. */
static void a_halo_is_no_larger_than_what_a_network_sees(void)
{
    static const char *const files[] = {"x.param", "x.bin"};
    char dir[] = "/tmp/kz-model-XXXXXX";
    uint8_t bin[GOOD_BIN];
    kz_model *m;
    CHECK(mkdtemp(dir));
    make_bin(bin);
    write_file(dir, files[0], good_param, strlen(good_param));
    write_file(dir, files[1], bin, sizeof(bin));
    char *path = kz_asprintf("%s/x.param", dir);
    CHECK(path && kz_model_open(&m, path, NULL, 0, NULL) == 0);
    CHECK(m->info.halo == 1 && m->info.near_halo == 1);
    kz_model_close(&m);
    remove_all(dir, files, 2);
    kz_free(path);
}

/* The one whose file lies elsewhere is left out with a warning; the others are there, sorted. */
static void manifests_are_listed(void)
{
    char dir[] = "/tmp/kz-model-XXXXXX", *dirs = dir, *lines = NULL;
    size_t length;
    kz_log *log;
    kz_model_info *infos;
    int count;
    static const char *const files[] = {"models/b.json", "models/a.json", "models/c.json",
                                        "models"};
    CHECK(mkdtemp(dir));
    char *models = kz_asprintf("%s/models", dir);
    CHECK(models && mkdir(models, 0700) == 0);
    write_manifest(dir, "b", "b.param");
    write_manifest(dir, "a", "a.param");
    write_manifest(dir, "c", "../../c.param");
    FILE *stream = open_memstream(&lines, &length);
    CHECK(stream && kz_log_open(&log, stream, KZ_LOG_VERBOSE) == 0);
    int error = kz_registry_list(&infos, &count, &dirs, 1, log);
    kz_log_close(&log);
    fclose(stream);
    remove_all(dir, files, 4);
    CHECK(error == 0 && count == 2 + OWN_MODELS); /* those inside the program come later: k */
    CHECK(strcmp(infos[0].name, "a") == 0 && strcmp(infos[1].name, "b") == 0);
    CHECK(!infos[0].installed && infos[0].scale == 4 && infos[0].halo == 8);
    CHECK(strstr(lines, "models/c.json: "));
    CHECK(strcspn(lines, "\n") + 1 == length);
    kz_registry_free(&infos, count);
    kz_free(models);
    free(lines);
}

static const struct check_case cases[] = {
    {"activations fuse", activations_fuse},
    {"additions fuse", additions_fuse},
    {"phases replace upsampling", phases_replace_upsampling},
    {"luma folds", luma_folds},
    {"what only enlarges the input folds", what_only_enlarges_the_input_folds},
    {"a joined or added input doesn't fold", a_joined_or_added_input_doesnt_fold},
    {"what isn't linear doesn't fold", what_isnt_linear_doesnt_fold},
    {"a copy is its own", a_copy_is_its_own},
    {"a good file is read", a_good_file_is_read},
    {"a cut or longer .bin is refused", a_cut_or_longer_bin_is_refused},
    {"weights that aren't numbers are refused", weights_that_arent_numbers_are_refused},
    {"hostile text is refused", hostile_text_is_refused},
    {"a cut text is refused", a_cut_text_is_refused},
    {"a network of our own is read", a_network_of_our_own_is_read},
    {"a cut or longer network is refused", a_cut_or_longer_network_is_refused},
    {"a hostile network is refused", a_hostile_network_is_refused},
    {"a name stands for one tensor", a_name_stands_for_one_tensor},
    {"twice is one after the other", twice_is_one_after_the_other},
    {"real networks cost what they should", real_networks_cost_what_they_should},
    {"a halo is no larger than what a network sees", a_halo_is_no_larger_than_what_a_network_sees},
    {"manifests are listed", manifests_are_listed},
    {"the program's own networks open", the_programs_own_networks_open},
    {"a network runs as often as it must", a_network_runs_as_often_as_it_must},
    {"a data directory wins", a_data_directory_wins},
    {"unknown models are refused", unknown_models_are_refused},
};

CHECK_MAIN(cases)
