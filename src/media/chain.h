/* The text of the filter chain that an input and the user's wishes need. */
#ifndef KZ_MEDIA_CHAIN_H
#define KZ_MEDIA_CHAIN_H

#include <libavutil/bprint.h>

#include "media/decode.h"
#include "media/fields.h"
#include "media/internal.h"

/* Adds to `chain` what comes before the frames' pixel format is settled: nothing, or filters with
 * commas between. `fields` is what was found in the input. Says what it does about interlacing. */
void kz_chain_build(AVBPrint *chain, const kz_filter_params *params, const kz_input *input,
                    kz_fields fields, kz_log *log);

/* The pixel format that kizuna carries and `format` becomes with the least loss; itself where it is
 * carried already; AV_PIX_FMT_NONE: there is none. */
enum AVPixelFormat kz_chain_carried(enum AVPixelFormat format);

/* Adds the conversion to `to`. RGB becomes limited-range BT.709; Y'CbCr keeps its range: `full`
 * tells which it has. */
void kz_chain_convert(AVBPrint *chain, enum AVPixelFormat from, enum AVPixelFormat to, bool full);

#endif
