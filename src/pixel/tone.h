/* A curve over brightness, as a table. */
#ifndef KZ_PIXEL_TONE_H
#define KZ_PIXEL_TONE_H

enum { KZ_TONE_STEPS = 512 };

/* Values from low to low + KZ_TONE_STEPS / scale lie on the table, in between on straight lines;
 * those outside move as its ends do. */
typedef struct kz_tone {
    float low, scale;
    float table[KZ_TONE_STEPS + 1];
} kz_tone;

/* Replaces `count` values by the curve's; what is no number stays none. */
void kz_tone_apply(const kz_tone *tone, float *values, int count);

#endif
