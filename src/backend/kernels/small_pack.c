/* Weights of small networks' kernels. */
#include "backend/kernels/near.h"
#include "backend/kernels/pack.h"
#include "backend/kernels/small.h"

enum { TILE = KZ_NEAR_TILE };

size_t kz_small_bytes(const kz_kernel *k)
{
    size_t element = k->ops->bf16 ? sizeof(uint16_t) : sizeof(float);
    return (size_t)(TILE * TILE * k->in_lanes * k->out_lanes) * element;
}

/* Filter g in position i. */
static double transformed(double G[TILE][3], const float *g, int i)
{
    double u = 0;
    for (int tap = 0; tap < 9; tap++)
        u += G[i / TILE][tap / 3] * G[i % TILE][tap % 3] * (double)g[tap];
    return u;
}

/* [position][panel of outputs][channels / step][outputs of the panel][step]. */
void kz_small_pack(kz_kernel *k, const kz_kernel_params *p)
{
    const int inputs = p->in_channels[0];
    const size_t position = (size_t)k->in_lanes * (size_t)k->out_lanes;
    double G[TILE][3];
    kz_near_filters(G);
    for (int n = 0; n < p->out_channels; n++)
        for (int c = 0; c < inputs; c++) {
            const float *g = p->weights + ((size_t)n * (size_t)inputs + (size_t)c) * 9;
            const size_t at = kz_panel_place(k, n, c);
            for (int i = 0; i < TILE * TILE; i++)
                kz_put_weight(k->weights, k->ops->bf16, at + (size_t)i * position,
                              transformed(G, g, i));
        }
}

/* ---- the end ---- */

size_t kz_small_end_bytes(const kz_kernel *k)
{
    return (size_t)(TILE * TILE * k->in_lanes * 4) * sizeof(float);
}

/* [position][vector of fp32 channels][element of a part][part][output][step]; in bf16 a vector
 * holds two tiles, with the same weights. */
void kz_small_end_pack(kz_kernel *k, const kz_kernel_params *p)
{
    const int step = k->ops->bf16 ? 2 : 1, channels = k->ops->panel;
    const int inputs = p->in_channels[0];
    double G[TILE][3];
    size_t at = 0;
    kz_near_filters(G);
    for (int i = 0; i < TILE * TILE; i++)
        for (int first = 0; first < k->in_lanes; first += channels)
            for (int lane = 0; lane < 4 * k->ops->panel * step; lane++, at++) {
                int element = lane / (k->ops->panel * step), rest = lane % (k->ops->panel * step);
                int part = rest / (4 * step), n = rest / step % 4;
                int c = first + ((part * 4 + element) * step + rest % step) % channels;
                if (c < inputs)
                    kz_put_weight(k->weights, step == 2, at,
                                  transformed(G, p->weights + (n * inputs + c) * 9, i));
            }
    for (int lane = 4; lane < k->out_lanes; lane++)
        k->bias[lane] = k->bias[lane % 4];
}
