#include "pixel/tone.h"

void kz_tone_apply(const kz_tone *tone, float *values, int count)
{
    for (int i = 0; i < count; i++) {
        float place = (values[i] - tone->low) * tone->scale;
        float inside = !(place > 0) ? 0 : place > KZ_TONE_STEPS ? KZ_TONE_STEPS : place;
        int step = (int)inside;
        step = step < KZ_TONE_STEPS ? step : KZ_TONE_STEPS - 1;
        float share = inside - (float)step;
        float on_table = tone->table[step] + share * (tone->table[step + 1] - tone->table[step]);
        values[i] = on_table + (place - inside) / tone->scale;
    }
}
