#include "model/tone.h"

#include <math.h>

#include "model/flat.h"

enum { LEVELS = 256 };

#define SMALLEST 1e-3f
#define LARGEST 0.1f
#define LEAST_SLOPE 0.5f

static float respond(kz_flat *flat, const kz_graph *graph, float in)
{
    kz_flat_run(flat, &in);
    return kz_flat_values(flat, graph->output)[0];
}

int kz_tone_response(float *out, const kz_graph *graph, float in)
{
    kz_flat *flat;
    int error = kz_flat_open(&flat, graph, 1);
    if (!error)
        *out = respond(flat, graph, in);
    kz_flat_close(&flat);
    return error;
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
    kz_flat *flat;
    int error = kz_flat_open(&flat, graph, 1);
    for (int i = 0; i <= LEVELS && !error; i++)
        response[i] = respond(flat, graph, (float)i / LEVELS);
    kz_flat_close(&flat);
    if (error)
        return error;
    struct bent bent = find_bent(response);
    *needed = is_mild(response, bent);
    if (*needed) {
        straighten_ends(response, bent);
        invert(tone, response);
    }
    return 0;
}
