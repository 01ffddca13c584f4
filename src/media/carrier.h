/* An input's other streams on their way into one container: which of them, in which form, under
 * which number. Not thread-safe. */
#ifndef KZ_MEDIA_CARRIER_H
#define KZ_MEDIA_CARRIER_H

#include "media/carry.h"
#include "media/text.h"

typedef struct kz_carrier {
    const kz_input *input;
    enum kz_carry *forms; /* per input stream, as the next two */
    kz_text **texts;      /* NULL where nothing is converted */
    int *map;             /* the output stream, -1: not there */
    int streams;          /* of the output */
} kz_carrier;

/* Settles everything for `vessel`. With `refuse` what the container can't hold is named and an
 * error, as kz_carry_plan() does it; else it stays KZ_CARRY_MISSING. `input` must outlive the
 * carrier, which is closed in any case. */
int kz_carrier_open(kz_carrier *carrier, const kz_input *input, const kz_vessel *vessel,
                    bool refuse, kz_log *log);
void kz_carrier_close(kz_carrier *carrier);

/* Turns a packet into the one that the output gets, or into NULL where it gets none. On failure the
 * packet is freed. 0, KZ_ERROR_FAILED or KZ_ERROR_MEMORY; reported. */
int kz_carrier_convert(kz_carrier *carrier, kz_packet **packet);

#endif
