/* Networks trained on photographs and drawings don't keep brightness: animevideov3 makes a light
 * grey six code values lighter. On a flat picture every layer's values are flat too (away from the
 * border), so the whole curve can be computed exactly, without running a picture through it; its
 * inverse, applied to the output, gives every flat area its own brightness back. */
#ifndef KZ_MODEL_TONE_H
#define KZ_MODEL_TONE_H

#include "model/graph.h"
#include "pixel/tone.h"

/* What a network with one channel in and out makes of a flat picture of value `in`, far from the
 * border, as the mean over the pixels that one input pixel becomes. 0 or KZ_ERROR_MEMORY. */
int kz_tone_response(float *out, const kz_graph *graph, float in);

/* The inverse of that response over black to white. *needed is false, and the tone left alone,
 * where the network keeps brightness (within 1/1000), or changes it so much (over 1/10) or so
 * unevenly that it is meant to. 0 or KZ_ERROR_MEMORY (not reported). */
int kz_tone_measure(kz_tone *tone, bool *needed, const kz_graph *graph);

#endif
