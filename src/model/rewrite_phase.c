/* After nearest ×2 upsampling, the three rows that a 3×3 convolution reads are two rows of the
 * original, one of them twice. For output row 2 y + a:
 *   a = 0: rows y-1, y, y    so  w[0] | w[1] + w[2]   on rows y-1, y
 *   a = 1: rows y, y, y+1    so  w[0] + w[1] | w[2]   on rows y, y+1
 * and the same for columns. The upsampled picture's zero padding is the original's. */
#include "base/mem.h"
#include "model/readers.h"
#include "model/rewrite.h"

/* Which of the two rows tap k falls on. */
static int place(int phase, int k)
{
    return phase ? k == 2 : k > 0;
}

static void fill_phase(float *out, const float *weights, size_t filters, int phase)
{
    for (size_t f = 0; f < filters; f++)
        for (int ky = 0; ky < 3; ky++)
            for (int kx = 0; kx < 3; kx++)
                out[f * 4 + (size_t)(place(phase / 2, ky) * 2 + place(phase % 2, kx))] +=
                    weights[f * 9 + (size_t)(ky * 3 + kx)];
}

static int rewrite(kz_graph *graph, kz_node *conv)
{
    const kz_node *up = &graph->nodes[conv->inputs[0]];
    if (up->op != KZ_OP_UPSAMPLE || up->factor != 2 || conv->kernel != 3 || conv->pad_top != 1 ||
        conv->pad_left != 1)
        return 0;
    size_t filters = (size_t)conv->channels * (size_t)kz_graph_in_channels(graph, conv);
    float *weights = kz_alloc(filters * 16, sizeof(*weights));
    if (!weights)
        return KZ_ERROR_MEMORY;
    for (int phase = 0; phase < 4; phase++)
        fill_phase(weights + filters * 4 * (size_t)phase, conv->weights, filters, phase);
    kz_free(conv->weights);
    conv->weights = weights;
    conv->op = KZ_OP_PHASE_CONV;
    conv->kernel = 2;
    conv->factor = 2;
    conv->pad_top = conv->pad_left = conv->pad_bottom = conv->pad_right = 0;
    conv->inputs[0] = up->inputs[0];
    return 0;
}

int kz_rewrite_phase(kz_graph *graph)
{
    for (int i = 1; i < graph->n_nodes; i++)
        if (graph->nodes[i].op == KZ_OP_CONV) {
            int error = rewrite(graph, &graph->nodes[i]);
            if (error)
                return error;
        }
    return kz_graph_prune(graph);
}
