#include "model/tone.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum { LEVELS = 256 };

#define SMALLEST 1e-3f
#define LARGEST 0.1f
#define LEAST_SLOPE 0.5f

/* ---- a flat picture through the graph: one number for each channel ---- */

static float activate(const kz_node *n, int channel, float x)
{
    float slope = n->act == KZ_ACT_PRELU ? n->slopes[channel] : n->slope;
    return n->act == KZ_ACT_NONE || x >= 0 ? x : slope * x;
}

/* Every tap sees the same value, so a kernel counts by its sum. All phases of a phase convolution
 * sum up the same kernel. */
static void convolve(const kz_node *n, int in_channels, int taps, const float *in, float *out)
{
    for (int o = 0; o < n->channels; o++) {
        double sum = n->bias ? n->bias[o] : 0;
        for (int i = 0; i < in_channels; i++) {
            const float *w =
                n->weights + ((size_t)o * (size_t)in_channels + (size_t)i) * (size_t)taps;
            double kernel = 0;
            for (int t = 0; t < taps; t++)
                kernel += w[t];
            sum += kernel * in[i];
        }
        out[o] = activate(n, o, (float)sum);
    }
}

static void shuffle(const kz_node *n, const float *in, float *out)
{
    int phases = n->factor * n->factor;
    for (int c = 0; c < n->channels; c++) {
        float sum = 0;
        for (int p = 0; p < phases; p++)
            sum += in[c * phases + p];
        out[c] = sum / (float)phases;
    }
}

static void concatenate(const kz_graph *g, const kz_node *n, float *const *values, float *out)
{
    for (int i = 0; i < n->n_inputs; i++) {
        int channels = g->nodes[n->inputs[i]].channels;
        memcpy(out, values[n->inputs[i]], (size_t)channels * sizeof(*out));
        out += channels;
    }
}

static void add_scaled(const kz_node *n, int first, float *const *values, float *out)
{
    for (int i = first; i < n->n_inputs; i++)
        for (int c = 0; c < n->channels; c++)
            out[c] += n->coefs[i] * values[n->inputs[i]][c];
}

static void evaluate(const kz_graph *g, const kz_node *n, float *const *values, float *out)
{
    const float *in = n->n_inputs ? values[n->inputs[0]] : NULL;
    switch (n->op) {
    case KZ_OP_INPUT:
        break;
    case KZ_OP_CONV:
    case KZ_OP_PHASE_CONV:
        convolve(n, kz_graph_in_channels(g, n), n->op == KZ_OP_CONV ? n->kernel * n->kernel : 4, in,
                 out);
        add_scaled(n, 1, values, out);
        break;
    case KZ_OP_ACTIVATION:
        for (int c = 0; c < n->channels; c++)
            out[c] = activate(n, c, in[c]);
        break;
    case KZ_OP_ADD:
        memset(out, 0, (size_t)n->channels * sizeof(*out));
        add_scaled(n, 0, values, out);
        break;
    case KZ_OP_CONCAT:
        concatenate(g, n, values, out);
        break;
    case KZ_OP_UPSAMPLE:
        memcpy(out, in, (size_t)n->channels * sizeof(*out));
        break;
    case KZ_OP_PIXEL_SHUFFLE:
        shuffle(n, in, out);
        break;
    }
}

/* A number for each channel of each node, in one block. */
static float **alloc_values(const kz_graph *g)
{
    size_t count = 0;
    for (int i = 0; i < g->n_nodes; i++)
        count += (size_t)g->nodes[i].channels;
    float **values = kz_alloc((size_t)g->n_nodes, sizeof(*values));
    float *block = kz_alloc(count, sizeof(*block));
    if (!values || !block) {
        kz_free(values);
        kz_free(block);
        return NULL;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        values[i] = block;
        block += g->nodes[i].channels;
    }
    return values;
}

static void free_values(float **values)
{
    kz_free(values[0]);
    kz_free(values);
}

static float respond(const kz_graph *g, float **values, float in)
{
    values[0][0] = in;
    for (int i = 1; i < g->n_nodes; i++)
        evaluate(g, &g->nodes[i], values, values[i]);
    return values[g->output][0];
}

int kz_tone_response(float *out, const kz_graph *graph, float in)
{
    float **values = alloc_values(graph);
    if (!values)
        return KZ_ERROR_MEMORY;
    *out = respond(graph, values, in);
    free_values(values);
    return 0;
}

/* ---- its inverse ---- */

/* The levels around the middle over which brightness is only bent. Near black and white some
 * networks saturate: there the inverse would make noise of what little is left. */
struct bent {
    int from, to;
};

static bool is_bent_only(const float *response, int level)
{
    float slope = (response[level + 1] - response[level]) * LEVELS;
    return slope >= LEAST_SLOPE && slope <= 1 / LEAST_SLOPE; /* false for NaN too */
}

static struct bent find_bent(const float *response)
{
    struct bent bent = {LEVELS / 2, LEVELS / 2};
    while (bent.from > 0 && is_bent_only(response, bent.from - 1))
        bent.from--;
    while (bent.to < LEVELS && is_bent_only(response, bent.to))
        bent.to++;
    return bent;
}

/* Worth undoing, and possible. */
static bool is_mild(const float *response, struct bent bent)
{
    float worst = 0;
    for (int i = bent.from; i <= bent.to; i++)
        worst = fmaxf(worst, fabsf(response[i] - (float)i / LEVELS));
    return bent.to - bent.from >= LEVELS / 2 && worst >= SMALLEST && worst <= LARGEST;
}

/* Straight from black to the first bent level, and from the last one to white. */
static void straighten_ends(float *response, struct bent bent)
{
    /* Rising in any case, also where the bent part itself reaches beyond black or white. */
    float low = fminf(0, response[bent.from] - LEAST_SLOPE * (float)bent.from / LEVELS);
    float high = fmaxf(1, response[bent.to] + LEAST_SLOPE * (float)(LEVELS - bent.to) / LEVELS);
    for (int i = 0; i < bent.from; i++)
        response[i] = low + (response[bent.from] - low) * (float)i / (float)bent.from;
    for (int i = LEVELS; i > bent.to; i--)
        response[i] =
            high + (response[bent.to] - high) * (float)(LEVELS - i) / (float)(LEVELS - bent.to);
}

static void invert(kz_tone *tone, const float *response)
{
    tone->low = response[0];
    tone->scale = KZ_TONE_STEPS / (response[LEVELS] - response[0]);
    int level = 0;
    for (int i = 0; i <= KZ_TONE_STEPS; i++) {
        float value = tone->low + (float)i / tone->scale;
        while (level < LEVELS - 1 && response[level + 1] < value)
            level++;
        float share = (value - response[level]) / (response[level + 1] - response[level]);
        tone->table[i] = ((float)level + share) / LEVELS;
    }
}

int kz_tone_measure(kz_tone *tone, bool *needed, const kz_graph *graph)
{
    float response[LEVELS + 1];
    float **values = alloc_values(graph);
    if (!values)
        return KZ_ERROR_MEMORY;
    for (int i = 0; i <= LEVELS; i++)
        response[i] = respond(graph, values, (float)i / LEVELS);
    free_values(values);
    struct bent bent = find_bent(response);
    *needed = is_mild(response, bent);
    if (*needed) {
        straighten_ends(response, bent);
        invert(tone, response);
    }
    return 0;
}
