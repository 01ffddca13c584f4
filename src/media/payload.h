/* A packet's content apart from how a container wraps it: without ADTS headers, start codes and
 * length prefixes, and the parameter sets that some containers keep outside. */
#ifndef KZ_MEDIA_PAYLOAD_H
#define KZ_MEDIA_PAYLOAD_H

#include <libavutil/hash.h>

#include "media/internal.h"

/* Adds the content of `packet`, a packet of a stream like `par`, to `hash`. Returns its bytes. */
size_t kz_payload_hash(struct AVHashContext *hash, const AVPacket *packet,
                       const AVCodecParameters *par);

/* Bytes of the packet's ADTS header (ISO/IEC 13818-7, 6.2); 0: there is none. */
int kz_adts_header(const AVPacket *packet);

#endif
