/* What reuse did, for looking at. */
#ifndef KZ_UPSCALE_DRAW_H
#define KZ_UPSCALE_DRAW_H

#include "upscale/reuse.h"

/* Draws over a copy of the input: what was reused becomes darker, new cells red, those that were
 * computed only to check blue; each part that went through the network gets a white border. */
void kz_reuse_draw(const kz_reuse *reuse, const kz_picture *picture, const kz_upscale_side *in);

#endif
