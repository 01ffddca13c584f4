/* Where packed weights go, and as what. */
#ifndef KZ_BACKEND_KERNELS_PACK_H
#define KZ_BACKEND_KERNELS_PACK_H

#include <stdint.h>
#include <string.h>

#include "backend/kernels/kernel.h"

/* weights[at] in fp32 or bf16: to nearest, ties to even; `value` is finite. */
static inline void kz_put_weight(void *weights, bool bf16, size_t at, double value)
{
    const float x = (float)value;
    uint32_t bits;
    if (!bf16) {
        ((float *)weights)[at] = x;
        return;
    }
    memcpy(&bits, &x, sizeof(bits));
    ((uint16_t *)weights)[at] = (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* First output of the panel that has output n. */
static inline int kz_panel_of(const kz_kernel *k, int n)
{
    return n / k->ops->panel * k->ops->panel;
}

/* Outputs of the panel that begins at `panel`: the last one may have fewer. */
static inline int kz_panel_width(const kz_kernel *k, int panel)
{
    const int left = k->out_lanes - panel;
    return left < k->ops->panel ? left : k->ops->panel;
}

/* Index of lane c's weight for output n within a Winograd position:
 * [panel of outputs][channels / step][outputs of the panel][step]. */
static inline size_t kz_panel_place(const kz_kernel *k, int n, int c)
{
    const int step = k->ops->bf16 ? 2 : 1, panel = kz_panel_of(k, n);
    return (size_t)panel * (size_t)k->in_lanes +
           (size_t)((c / step * kz_panel_width(k, panel) + (n - panel)) * step + c % step);
}

#endif
